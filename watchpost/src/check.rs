//! `watchpost check`: whether files are good, before anybody depends on them.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Subcommand;

#[derive(Clone, Debug, Subcommand)]
pub enum Check {
    /// Modules of the blackbox exporter (blackbox.yml)
    Config {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Rules of the receiver (--config.file, in the all-in-one --receiver.config-file)
    ReceiverConfig {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// TLS and user settings (--web.config.file of any program)
    WebConfig {
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

/// One line for each file; exit code 1 if one is wrong.
pub fn run(check: &Check) -> ExitCode {
    let (files, check_one): (_, fn(&Path) -> anyhow::Result<()>) = match check {
        Check::Config { files } => (files, |file| {
            blackbox::config::Source::File(file.to_owned()).load()?;
            Ok(())
        }),
        Check::ReceiverConfig { files } => (files, |file| {
            receiver::config::Rules::load(Some(file))?;
            Ok(())
        }),
        Check::WebConfig { files } => (files, |file| {
            service::web::Config::open(Some(file))?;
            Ok(())
        }),
    };
    let mut exit_code = ExitCode::SUCCESS;
    for file in files {
        // Nobody may be reading; the exit code is what counts.
        if let Err(err) = check_one(file) {
            let _ = writeln!(std::io::stderr(), "{}", service::error::chain(err.as_ref()));
            exit_code = ExitCode::FAILURE;
        } else {
            let _ = writeln!(std::io::stdout(), "{} is good", file.display());
        }
    }
    exit_code
}
