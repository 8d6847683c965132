//! `watchpost storage`: looking after what is stored, without a receiver.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::{Subcommand, ValueEnum};
use receiver::{
    db,
    storage::{
        catalogue::Catalogue,
        delete::{self, Request},
        report::{self, Part, Report},
    },
};
use service::units::ByteSize;

#[derive(Clone, Debug, Subcommand)]
pub enum Storage {
    /// Say what takes how much space, how fast it grows, and how long there is room for it
    Report {
        #[command(flatten)]
        database: db::Args,
        /// How many metrics and jobs
        #[arg(long, value_name = "N", default_value_t = 20)]
        top: i32,
        /// How much space there is, such as 500GB: says for how many days more
        #[arg(long, value_name = "SIZE")]
        size_limit: Option<ByteSize>,
        #[arg(long, value_enum, default_value_t = Output::Text)]
        output: Output,
    },
    /// Delete series by selector; says what it would do unless --yes is given
    Delete {
        #[command(flatten)]
        database: db::Args,
        /// Which series: `up{job="debug"}`; repeatable
        #[arg(long = "match", value_name = "SELECTOR", required = true)]
        selectors: Vec<String>,
        /// From this time on: 2026-11-21T08:00:00Z or seconds since 1970
        #[arg(long, value_name = "TIME", value_parser = time)]
        start: Option<i64>,
        /// Up to this time
        #[arg(long, value_name = "TIME", value_parser = time)]
        end: Option<i64>,
        /// Really delete
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Output {
    Text,
    Json,
}

fn time(text: &str) -> Result<i64, String> {
    receiver::time::parse(text)
        .ok_or_else(|| "write it like 2026-11-21T08:00:00Z or 1795248000".to_owned())
}

/// Does it, and turns the outcome into an exit code.
pub fn run(command: &Storage) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(execute(command)),
        Err(err) => Err(err.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(err) => {
            // Nobody may be reading; the exit code is what counts.
            let _ = writeln!(io::stderr(), "{}", service::error::chain(err.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: &Storage) -> anyhow::Result<()> {
    let mut out = io::stdout();
    match command {
        Storage::Report { database, top, size_limit, output } => {
            let db = db::open(&database.required_url()?).await?;
            let limit = size_limit.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX));
            let report = report::report(&db, limit, *top).await?;
            match output {
                Output::Json => writeln!(out, "{:#}", receiver::http::status::as_json(&report))?,
                Output::Text => print(&mut out, &report)?,
            }
            db.close().await;
        }
        Storage::Delete { database, selectors, start, end, yes } => {
            let (from, to) = (start.unwrap_or(i64::MIN), end.unwrap_or(i64::MAX));
            let request = Request::new(selectors.clone(), from, to)?;
            let db = db::open(&database.required_url()?).await?;
            let catalogue = Catalogue::load(db.clone()).await?;
            if *yes {
                let (_, n_series) = delete::create(&db, &catalogue, &request).await?;
                writeln!(
                    out,
                    "deleted {n_series} series; receivers stop showing them within seconds, and free the space later"
                )?;
            } else {
                let preview = delete::preview(&db, &catalogue, &request).await?;
                let at_most = if preview.is_exact { "" } else { "at most " };
                writeln!(
                    out,
                    "would delete {at_most}{} samples of {} series, about {}; give --yes to do it",
                    preview.samples,
                    preview.series,
                    size(preview.bytes as f64)
                )?;
            }
            db.close().await;
        }
    }
    Ok(())
}

fn print(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let percent = |bytes: i64| 100.0 * bytes as f64 / (report.total_bytes as f64).max(1.0);
    writeln!(out, "{:<24}{:>12}", "total", size(report.total_bytes as f64))?;
    for (name, bytes) in [
        ("  final days", report.final_bytes),
        ("  merged", report.merged_bytes),
        ("  flushed", report.recent_bytes),
        ("  log", report.log_bytes),
        ("  catalogue", report.catalogue_bytes),
        ("  rollups", report.rollup_bytes),
        ("  other", report.other_bytes),
    ] {
        writeln!(out, "{name:<24}{:>12} {:>5.1} %", size(bytes as f64), percent(bytes))?;
    }
    writeln!(out, "{:<24}{:>12}", "series", report.series)?;
    writeln!(out, "{:<24}{:>12}", "samples", report.samples)?;
    let mut known = |name: &str, value: Option<String>| {
        writeln!(out, "{name:<24}{:>12}", value.unwrap_or_else(|| "not known".to_owned()))
    };
    known("bytes a sample", report.bytes_per_sample.map(|bytes| format!("{bytes:.2}")))?;
    known("grows by, a day", report.bytes_per_day.map(size))?;
    known("samples a day", report.samples_per_day.map(|samples| format!("{samples:.0}")))?;
    known("days left", report.days_left.map(|days| format!("{days:.0}")))?;
    table(out, "metric", &report.by_metric)?;
    table(out, "job", &report.by_job)
}

fn table(out: &mut impl Write, kind: &str, parts: &[Part]) -> io::Result<()> {
    writeln!(out, "\n{kind:<48}{:>10}{:>16}{:>12}", "series", "samples ~", "size ~")?;
    for part in parts {
        let name = if part.name.is_empty() { "(none)" } else { &part.name };
        let bytes = size(part.bytes as f64);
        writeln!(out, "{name:<48}{:>10}{:>16}{bytes:>12}", part.series, part.samples)?;
    }
    Ok(())
}

/// As people read it: `1.5 GB`.
fn size(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        if value < 1000.0 {
            return if unit == "B" {
                format!("{value:.0} B")
            } else {
                format!("{value:.1} {unit}")
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_read_them() {
        for (bytes, expected) in [
            (0.0, "0 B"),
            (999.0, "999 B"),
            (1500.0, "1.5 kB"),
            (2.5e9, "2.5 GB"),
            (3e15, "3.0 PB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
