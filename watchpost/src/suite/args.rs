//! The flags of the whole suite: few, because its defaults are the point.

use std::{path::PathBuf, str::FromStr};

use service::{LifecycleArgs, WebArgs, units::Span};

#[derive(Clone, Debug, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where the console and the receiver listen and how they are protected; by default on 127.0.0.1:9201
    #[command(flatten)]
    pub web: WebArgs,
    /// Where the exporter of this machine listens
    #[arg(
        long = "exporter.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9100",
        help_heading = "Web"
    )]
    pub exporter_listen_address: String,
    /// Where the blackbox exporter listens
    #[arg(
        long = "blackbox.listen-address",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:9115",
        help_heading = "Web"
    )]
    pub blackbox_listen_address: String,
    /// Folder for everything that is kept [default: ~/.local/share/watchpost, for root /var/lib/watchpost]
    #[arg(long = "storage.path", value_name = "FOLDER", help_heading = "Storage")]
    pub storage_path: Option<PathBuf>,
    /// Without one, a PostgreSQL of our own.
    #[command(flatten)]
    pub database: receiver::db::Args,
    /// How long samples are kept, in whole days, such as 90d; for ever if not given
    #[arg(long = "storage.retention", value_name = "DURATION", help_heading = "Storage")]
    pub retention: Option<Span>,
    /// How long the series of a selector are kept, shorter or longer than others: `{job="debug"}=7d`; repeatable, the
    /// first that selects a series decides
    #[arg(
        long = "storage.retention-for",
        value_name = "SELECTOR=DURATION",
        help_heading = "Storage"
    )]
    pub retention_for: Vec<receiver::storage::retention::Rule>,
    /// Keep the hours of every series, for SQL over long times, and for how long, in whole days, such as 5y; some
    /// 30 % more space for as long as the samples are there
    #[arg(long = "storage.rollups", value_name = "DURATION", help_heading = "Storage")]
    pub rollups: Option<Span>,
    #[command(flatten)]
    pub limits: receiver::ingest::LimitArgs,
    /// Serve /api/v1/admin, by which series can be deleted
    #[arg(long = "web.enable-admin-api", help_heading = "Web")]
    pub admin_api: bool,
    /// Ask for a bearer token on loopback, too; on other addresses one is needed unless --web.config.file asks for
    /// passwords or certificates
    #[arg(long = "web.require-token", help_heading = "Web")]
    pub require_token: bool,
    #[command(flatten)]
    pub queries: receiver::query::Args,
    /// Where the programs postgres and initdb lie, if they are not found
    #[arg(long = "postgres.bin-dir", value_name = "FOLDER", help_heading = "Storage")]
    pub postgres_bin_dir: Option<PathBuf>,
    /// A mirror of github.com/theseus-rs/postgresql-binaries/releases/download, for machines without PostgreSQL
    #[arg(long = "postgres.download-url", value_name = "URL", help_heading = "Storage")]
    pub postgres_download_url: Option<String>,
    #[command(flatten)]
    pub paths: exporter::Paths,
    /// How often this machine is scraped
    #[arg(
        long = "scrape.interval",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = interval,
        help_heading = "Scraping"
    )]
    pub scrape_interval: Span,
    /// Something to probe, by the module `http_2xx` or by another: `https://example.org`, `tcp_connect=db:5432`; repeatable
    #[arg(long = "probe.target", value_name = "[MODULE=]TARGET", help_heading = "Scraping")]
    pub probe_targets: Vec<ProbeTarget>,
    /// How often each target is probed
    #[arg(
        long = "probe.interval",
        value_name = "DURATION",
        default_value = "15s",
        value_parser = interval,
        help_heading = "Scraping"
    )]
    pub probe_interval: Span,
    /// File with rules about what is taken in, as `--config.file` of the receiver; read anew on SIGHUP and by /-/reload
    #[arg(long = "receiver.config-file", value_name = "FILE", help_heading = "Storage")]
    pub receiver_config_file: Option<PathBuf>,
    #[command(flatten)]
    pub lifecycle: LifecycleArgs,
    /// File with the modules of probes, as blackbox_exporter has it; built-in ones if not given; read anew on SIGHUP and by the
    /// blackbox exporter's /-/reload
    #[arg(long = "blackbox.config-file", value_name = "FILE", help_heading = "Scraping")]
    pub blackbox_config_file: Option<PathBuf>,
}

/// A target and the module that probes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeTarget {
    pub module: String,
    pub target: String,
}

#[derive(Debug, thiserror::Error)]
#[error("there is no target in `{text}`: write it like https://example.org or tcp_connect=db:5432")]
pub struct NoTarget {
    text: String,
}

impl FromStr for ProbeTarget {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        // A URL may hold `=`, but not before its first colon or slash; names of modules hold neither.
        let (module, target) = match text.split_once('=') {
            Some((module, target)) if !module.contains([':', '/', '?']) => (module, target),
            _ => ("http_2xx", text),
        };
        if module.is_empty() || target.is_empty() {
            return Err(NoTarget { text: text.to_owned() });
        }
        Ok(Self { module: module.to_owned(), target: target.to_owned() })
    }
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|err: service::units::UnitError| err.to_string())?;
    if span.0.is_zero() {
        return Err("an interval must be longer than nothing".to_owned());
    }
    Ok(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_may_name_their_module() {
        for (text, module, target) in [
            ("https://example.org/?a=b", "http_2xx", "https://example.org/?a=b"),
            ("example.org", "http_2xx", "example.org"),
            ("tcp_connect=db:5432", "tcp_connect", "db:5432"),
            ("http_post_2xx=https://x/?a=b", "http_post_2xx", "https://x/?a=b"),
        ] {
            let expected = ProbeTarget { module: module.to_owned(), target: target.to_owned() };
            assert_eq!(text.parse::<ProbeTarget>().unwrap(), expected);
        }
        for text in ["", "tcp_connect=", "=x"] {
            assert!(text.parse::<ProbeTarget>().is_err(), "{text}");
        }
    }
}
