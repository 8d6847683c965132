//! The flags of the whole suite: few, because its defaults are the point.

use std::path::PathBuf;

use service::{WebArgs, units::Span};

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
    /// Folder for everything that is kept [default: ~/.local/share/watchpost, for root /var/lib/watchpost]
    #[arg(long = "storage.path", value_name = "FOLDER", help_heading = "Storage")]
    pub storage_path: Option<PathBuf>,
    /// An existing PostgreSQL to use instead of one of our own: `postgres://user:password@host:5432/database`
    #[arg(
        long = "database-url",
        value_name = "URL",
        env = "DATABASE_URL",
        hide_env_values = true,
        help_heading = "Storage"
    )]
    pub database_url: Option<String>,
    /// Where the programs postgres and initdb lie, if they are not found
    #[arg(long = "postgres.bin-dir", value_name = "FOLDER", help_heading = "Storage")]
    pub postgres_bin_dir: Option<PathBuf>,
    /// How often this machine is scraped
    #[arg(
        long = "scrape.interval",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = interval,
        help_heading = "Scraping"
    )]
    pub scrape_interval: Span,
}

fn interval(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|err: service::units::UnitError| err.to_string())?;
    if span.0.is_zero() {
        return Err("an interval must be longer than nothing".to_owned());
    }
    Ok(span)
}
