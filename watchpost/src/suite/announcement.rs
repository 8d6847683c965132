//! A few lines for the person who started us.

use std::{io::Write, net::SocketAddr};

use super::Suite;

/// Says what runs where, on standard output; the log goes to standard error.
pub(super) fn print(suite: &Suite) {
    // A closed standard output is no reason to stop.
    let _ = std::io::stdout().write_all(text(suite).as_bytes());
}

fn text(suite: &Suite) -> String {
    let addresses = suite.addresses();
    let scheme = if addresses.is_tls { "https" } else { "http" };
    format!(
        "\nWatchpost {} is running.\n\n\
         \x20 console   {}\n\
         \x20 exporter  {}\n\
         \x20 blackbox  {}\n\
         \x20 database  {}\n\n\
         Stop it with Ctrl-C.\n",
        env!("CARGO_PKG_VERSION"),
        urls(scheme, &addresses.receiver, "/"),
        urls(scheme, &addresses.exporter, "/metrics"),
        urls(scheme, &addresses.blackbox, "/"),
        suite.database.describe(&suite.folder),
    )
}

fn urls(scheme: &str, addresses: &[SocketAddr], path: &str) -> String {
    let urls: Vec<String> = addresses.iter().map(|a| format!("{scheme}://{a}{path}")).collect();
    urls.join(" ")
}
