//! Files good and bad, through the whole collector.

use std::fs;

use super::*;

struct Folder {
    folder: tempfile::TempDir,
    collector: TextFile,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let collector = TextFile {
            directories: vec![folder.path().to_str().unwrap().to_owned()],
            complaints: HashMap::new(),
            buf: Vec::new(),
        };
        Self { folder, collector }
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    /// What is shown, without the times of the files.
    fn collect(&mut self) -> (String, bool) {
        let mut out = Exposition::new();
        self.collector.collect(&mut out).unwrap();
        let text = out.to_text();
        let has_error = text.contains(&format!("{} 1\n", OWN.textfile_error));
        let lines = text.lines().filter(|line| !line.contains("_textfile_"));
        (lines.flat_map(|line| [line, "\n"]).collect(), has_error)
    }
}

#[test]
fn files_are_shown_together() {
    let mut folder = Folder::new();
    folder.write("a.prom", "# HELP x_total X\\n\\\\.\n# TYPE x_total counter\nx_total{a=\"1\",b=\"q\\\"\\\\\\n\",} 1\nx_total 2\n# EOF\n\n");
    folder.write(
        "b.prom",
        "  y { } +Inf \n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n",
    );
    folder.write("ignored.txt", "garbage");
    let (text, has_error) = folder.collect();
    assert!(!has_error, "{text}");
    let y_help =
        format!("# HELP y Metric read from {}\n", folder.folder.path().join("b.prom").display());
    assert!(text.contains(&y_help), "{text}");
    assert!(
        text.contains("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 2\nh_count 1\n"),
        "{text}"
    );
    assert!(text.contains("# HELP x_total X\\n\\\\.\n# TYPE x_total counter\nx_total{a=\"1\",b=\"q\\\"\\\\\\n\"} 1\nx_total 2\n"), "{text}");
}

#[test]
fn one_bad_file_does_not_spoil_the_others() {
    for (bad, reason) in [
        ("y 1 1700000000000\n", "a timestamp"),
        ("y\n", "no number"),
        ("y one\n", "no number"),
        ("1y 1\n", "no metric name"),
        ("{} 1\n", "no metric name"),
        ("y{a=1} 1\n", "labels are"),
        ("y{a=\"1} 1\n", "labels are"),
        ("y{a=\"1\" b=\"2\"} 1\n", "labels are"),
        ("y{a=\"1\",a=\"2\"} 1\n", "a label appears twice"),
        ("y{a:b=\"1\"} 1\n", "labels are"),
        ("y 1\ny 2\n", "the same series"),
        ("y{a=\"\"} 1\ny 2\n", "the same series"),
        ("good 5\n", "the same series"),
        ("# TYPE y nonsense\n", "unknown metric type"),
        ("# TYPE y gauge\n# TYPE y gauge\n", "the type appears twice"),
        ("y 1\n# TYPE y gauge\n", "the type appears twice"),
        ("# TYPE good counter\ngood{a=\"1\"} 5\n", "the type appears twice"),
        ("# TYPE 1y gauge\n", "no metric name"),
        ("y\u{0} 1\n", "no number"),
    ] {
        let mut folder = Folder::new();
        folder.write("a.prom", "good 1\n");
        folder.write("b.prom", format!("fine_until_here 1\n{bad}"));
        let (text, has_error) = folder.collect();
        assert!(has_error, "{bad}");
        assert!(text.contains("good 1\n") && !text.contains("fine_until_here"), "{bad}: {text}");
        let complaint = folder.collector.complaints.values().next().unwrap();
        assert!(complaint.contains(reason), "{bad}: {complaint}");
    }
}

#[test]
fn help_of_the_first_file_wins() {
    let mut folder = Folder::new();
    folder.write("a.prom", "# HELP x One.\nx{f=\"a\"} 1\n");
    folder.write("b.prom", "# HELP x Two.\nx{f=\"b\"} 2\n");
    let (text, has_error) = folder.collect();
    assert!(has_error);
    assert_eq!(text, "# HELP x One.\n# TYPE x untyped\nx{f=\"a\"} 1\nx{f=\"b\"} 2\n");
}

#[cfg(unix)]
#[test]
fn files_that_are_no_files() {
    let mut folder = Folder::new();
    folder.write("good.prom", "good 1\n");
    let fifo = folder.folder.path().join("fifo.prom");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    fs::create_dir(folder.folder.path().join("folder.prom")).unwrap();
    std::os::unix::fs::symlink("/nowhere", folder.folder.path().join("dangling.prom")).unwrap();
    folder.write("binary.prom", b"\xff\xfe\n");
    let (text, has_error) = folder.collect();
    assert!(has_error && text.contains("good 1\n"), "{text}");
    assert_eq!(folder.collector.complaints.len(), 3, "{:?}", folder.collector.complaints);
    assert_eq!(folder.collector.complaints[&fifo], "it is not a regular file");
}

#[test]
fn a_huge_file_is_not_read() {
    let mut folder = Folder::new();
    folder.write("good.prom", "good 1\n");
    let huge = fs::File::create(folder.folder.path().join("huge.prom")).unwrap();
    huge.set_len(100 << 20).unwrap();
    let (text, has_error) = folder.collect();
    assert!(has_error && text.contains("good 1\n"), "{text}");
    assert!(folder.collector.buf.capacity() < 1 << 20);
}

#[test]
fn folders_are_found_by_pattern() {
    let folder = Folder::new();
    for name in ["one", "two"] {
        fs::create_dir(folder.folder.path().join(name)).unwrap();
        folder.write(&format!("{name}/x.prom"), format!("from_{name} 1\n"));
    }
    let pattern = folder.folder.path().join("*").to_str().unwrap().to_owned();
    let mut by_pattern =
        TextFile { directories: vec![pattern], complaints: HashMap::new(), buf: Vec::new() };
    let mut out = Exposition::new();
    by_pattern.collect(&mut out).unwrap();
    let text = out.to_text();
    assert!(text.contains("from_one 1\n") && text.contains("from_two 1\n"), "{text}");
    let missing = folder.folder.path().join("missing").to_str().unwrap().to_owned();
    by_pattern.directories = vec![missing];
    let mut out = Exposition::new();
    by_pattern.collect(&mut out).unwrap();
    assert!(out.to_text().contains(&format!("{} 1\n", OWN.textfile_error)));
}
