//! What the tests are made of: processes, ports, a Prometheus, and what is in PostgreSQL.

pub(crate) mod browser;
pub(crate) mod inbox;
pub(crate) mod process;
pub(crate) mod prometheus;
pub(crate) mod stored;

use std::{
    env,
    path::PathBuf,
    time::{Duration, Instant},
};

/// How long anything may take before a test gives up on it; generous, since the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
pub(crate) const POLL: Duration = Duration::from_millis(50);

/// For how long samples flow.
pub(crate) fn flow_time() -> Duration {
    let seconds = env::var("WATCHPOST_E2E_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(20))
}

/// Where a tool is, or a loud word that the test is skipped without it. `WATCHPOST_E2E_<NAME>`, by the first name, says
/// which of several to take, such as another Prometheus.
pub(crate) fn find_tool(names: &[&str]) -> Option<PathBuf> {
    let variable = format!("WATCHPOST_E2E_{}", names[0].to_uppercase().replace('-', "_"));
    if let Some(given) = env::var_os(variable) {
        return Some(given.into());
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .flat_map(|dir| names.iter().map(move |name| dir.join(name)))
        .find(|candidate| candidate.is_file());
    if found.is_none() {
        eprintln!("SKIPPED: this test needs {} on the PATH", names.join(" or "));
    }
    found
}

/// Waits until `condition` gives a value; says `what` did not happen otherwise.
pub(crate) async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{} s passed and not yet: {what}", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

/// A port that is free now. Where a server has to come back on the same port, or cannot tell which it took.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

/// A client that leaves loopback alone.
pub(crate) fn http() -> reqwest::Client {
    // A second installation changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap()
}
