//! A text that was read as an exposition says the same after it was written and read again, in every format, and becomes a
//! remote write request.

use std::time::Duration;

use proto::{exposition::Exposition, remote_write::Message, scrape::Target};

pub fn target(data: &[u8]) {
    let mut read = Exposition::new();
    if !exporter::parse_textfile(data, &mut read) {
        return;
    }
    let text = read.to_text();
    let mut again = Exposition::new();
    assert!(exporter::parse_textfile(text.as_bytes(), &mut again), "{text}");
    assert_eq!(again.to_text(), text);
    assert!(read.to_open_metrics().ends_with("# EOF\n"));
    let mut target = Target::new(&[("instance", "a"), ("job", "b")]);
    for _ in 0..2 {
        let request = target.scraped(&read, 1_000, Duration::from_millis(1)).encode_to_vec();
        super::walk::target(&request);
    }
}
