//! What a person sees: the page opens, shows this machine, and its numbers move without anybody touching it.

use receiver::db::testing;

use crate::{all_in_one, harness::browser::Page};

/// The numbers of a page, in order.
fn numbers(text: &str) -> Vec<String> {
    let words = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    words.filter(|word| word.contains(|c: char| c.is_ascii_digit())).map(str::to_owned).collect()
}

#[tokio::test]
async fn the_first_page_shows_this_machine_live() {
    let folder = testing::folder();
    let running = all_in_one::start(folder.path()).await;
    let Some(mut page) = Page::open(folder.path(), &running.console).await else {
        return running.process.stop().await;
    };
    let host = service::host_name();
    let first = page
        .text_when("this machine and its load in percent", |text| {
            text.contains(&host) && text.contains('%')
        })
        .await;
    let before = numbers(&first);
    page.text_when("numbers that moved", |text| numbers(text) != before).await;
    assert_eq!(page.complaints, Vec::<String>::new(), "the page is content");
    drop(page);
    running.process.stop().await;
}

#[tokio::test]
async fn the_monitors_page_shows_the_first_probe() {
    let folder = testing::folder();
    let running = all_in_one::start(folder.path()).await;
    let url = format!("{}monitors", running.console);
    let Some(mut page) = Page::open(folder.path(), &url).await else {
        return running.process.stop().await;
    };
    page.text_when("the console's own probe, up", |text| {
        text.contains("/-/ready") && text.contains("Up")
    })
    .await;
    assert_eq!(page.complaints, Vec::<String>::new(), "the page is content");
    drop(page);
    running.process.stop().await;
}
