//! `watchpost`: everything on this machine, or one part of it.

use std::process::ExitCode;

use watchpost::cli::Cli;

fn main() -> ExitCode {
    service::flags::parse::<Cli>().run()
}
