//! `watchpost render`: files for other programs, written from a few flags, since those programs read no environment.

pub mod alertmanager;

use std::{fs, io::Write, path::PathBuf, process::ExitCode};

use clap::Subcommand;

#[derive(Clone, Debug, Subcommand)]
pub enum Render {
    /// alertmanager.yml: who gets which alert by email and Telegram, in words that fit a phone
    Alertmanager {
        #[command(flatten)]
        settings: Box<alertmanager::Settings>,
        /// Where to write it; standard output if not given
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

/// Writes the file, and turns the outcome into an exit code.
pub fn run(render: &Render) -> ExitCode {
    let Render::Alertmanager { settings, output } = render;
    let text = match settings.render() {
        Ok(text) => text,
        Err(err) => return failed(&err.to_string()),
    };
    let written = match output {
        Some(path) => {
            fs::write(path, text).map_err(|err| format!("write {}: {err}", path.display()))
        }
        None => std::io::stdout()
            .write_all(text.as_bytes())
            .map_err(|err| format!("write to standard output: {err}")),
    };
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => failed(&message),
    }
}

fn failed(message: &str) -> ExitCode {
    // Nobody may be reading; the exit code is what counts.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}
