//! `watchpost-blackbox probe`: what a person sees, and what a script gets.

use tokio::process::Command;

use super::harness::canned;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Exit code, standard output and standard error.
async fn probe(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_watchpost-blackbox"))
        .arg("probe")
        .args(args)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn one_probe_from_the_terminal() {
    let url = format!("http://{}/", canned(OK).await);
    let (code, out, err) = probe(&[&url]).await;
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with(&format!("up    {url}  (http_2xx, ")), "{out}");
    for part in ["processing", "status       200", "body         2 bytes"] {
        assert!(out.contains(part), "{part}: {out}");
    }

    let (code, out, err) = probe(&["tcp://127.0.0.1:1"]).await;
    assert_eq!((code, err.as_str()), (Some(1), ""), "{out}");
    assert!(out.starts_with("DOWN  127.0.0.1:1  (tcp_connect, "), "{out}");
    assert!(out.contains("connect: refused"), "{out}");

    let (code, out, err) = probe(&["--module", "nope", "x"]).await;
    assert_eq!((code, out.as_str(), err.as_str()), (Some(2), "", "Unknown module \"nope\"\n"));
}

#[tokio::test]
async fn one_probe_for_programs() {
    let url = format!("http://{}/", canned(OK).await);
    let (code, out, _) = probe(&["--output=json", &url]).await;
    assert_eq!(code, Some(0), "{out}");
    let told: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&told["success"], &told["module"]), (&true.into(), &"http_2xx".into()));
    assert!(told["phases_seconds"]["processing"].as_f64().unwrap() > 0.0, "{told}");
    assert!(told["failure"].is_null(), "{told}");

    let (code, out, _) = probe(&["--output=metrics", "http://127.0.0.1:1/"]).await;
    assert_eq!(code, Some(1));
    assert!(out.contains("\nprobe_success 0\n"), "{out}");
    assert!(out.contains("probe_failure_info{phase=\"connect\",reason=\"refused\"} 1\n"), "{out}");
}
