//! `watchpost storage`: the command line's way to the report and to deletions.

use std::sync::Arc;

use promql::model::{Labels, Matcher};
use receiver::{
    db::testing,
    model::{Sample, now_ms},
    storage::{
        Options, Storage,
        commit::{Committed, Incoming, Listener},
    },
};

use crate::harness::process;

struct Nobody;

impl Listener for Nobody {
    fn is_interested(&self) -> bool {
        false
    }

    fn committed(&self, _: Arc<Committed>) {}
}

/// Standard output, or standard error of what fails.
fn storage(url: &str, words: &[&str]) -> Result<String, String> {
    let mut command = process::watchpost();
    command.arg("storage").arg(words[0]).args(["--database-url", url]).args(&words[1..]);
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

#[tokio::test]
async fn report_and_delete_from_the_command_line() {
    let database = testing::database().await;
    let url = database.url();
    let options = Options::new(url.to_owned(), "test".to_owned());
    let (store, closing) = Storage::open(options, Arc::new(Nobody)).await.unwrap();
    for job in ["debug", "app"] {
        let labels = Labels::from_pairs([("__name__", "up"), ("job", job)]).unwrap();
        let known = store.catalogue().resolve(&[&labels]).await.unwrap()[0];
        let sample = |i: i64| Sample { ts: now_ms() - i * 1000, value: i as f64 };
        let samples = (0..500).map(|i| Incoming { known, sample: sample(i) }).collect();
        store.append(samples).await.unwrap();
    }
    store.housekeep(now_ms()).await.unwrap();

    let report = storage(url, &["report"]).unwrap();
    for part in
        ["samples                         1000", "days left", "up  ", "debug  ", "not known"]
    {
        assert!(report.contains(part), "{part}: {report}");
    }
    let report = storage(url, &["report", "--output=json", "--size-limit", "1GB"]).unwrap();
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    assert_eq!((&report["samples"], &report["byJob"][0]["series"]), (&1000.into(), &1.into()));

    let selector = ["delete", "--match", "{job=\"debug\"}", "--end", "2100-01-01T00:00:00Z"];
    let dry = storage(url, &selector).unwrap();
    assert!(dry.starts_with("would delete 500 samples of 1 series, about "), "{dry}");
    let all = storage(url, &["delete", "--match", "{job=~\".+\"}"]).unwrap();
    assert!(all.starts_with("would delete 1000 samples of 2 series"), "{all}");
    let done = storage(url, &[&selector[..], &["--yes"]].concat()).unwrap();
    assert!(done.starts_with("deleted 1 series"), "{done}");
    let left = storage(url, &["delete", "--match", "up"]).unwrap();
    assert!(left.starts_with("would delete 500 samples of 2 series"), "{left}");
    let wrong = storage(url, &["delete", "--match", "up{"]).unwrap_err();
    assert!(wrong.contains("selector `up{`"), "{wrong}");
    assert!(storage(url, &["delete"]).unwrap_err().contains("--match"));
    assert!(storage(url, &["delete", "--match", "up", "--start", "noon"]).is_err());

    // The receiver that runs beside it learns of it within seconds.
    let ids = store.reader().select(&[Matcher::equal("__name__", "up")], 10);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        let read = store.reader().read(&ids, 0, i64::MAX).await.unwrap();
        let n: Vec<usize> = read.iter().map(|series| series.samples.len()).collect();
        if n == [0, 500] {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{n:?}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    drop(store);
    closing.finished().await;
}
