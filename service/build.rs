//! Says what was built: the revision and the compiler, for `--version` and the `build_info` metrics.
//!
//! `WATCHPOST_REVISION` wins, for packagers and images that build without a repository. Otherwise a release build
//! asks git. A debug build does not: it would be compiled anew, with everything above it, on each commit.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=WATCHPOST_REVISION");
    let given = env::var("WATCHPOST_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = match given {
        Some(revision) => revision,
        None if env::var("PROFILE").as_deref() == Ok("release") => {
            // This file of git's grows with each commit and checkout.
            if let Some(log) = output("git", &["rev-parse", "--git-path", "logs/HEAD"]) {
                println!("cargo:rerun-if-changed={log}");
            }
            output("git", &["rev-parse", "HEAD"]).unwrap_or_else(|| "unknown".to_owned())
        }
        None => "unknown".to_owned(),
    };
    println!("cargo:rustc-env=WATCHPOST_BUILD_REVISION={revision}");

    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let version = output(&compiler, &["--version"]).unwrap_or_else(|| "unknown".to_owned());
    // `rustc 1.95.0 (59807616e 2026-04-14)` → `1.95.0`
    let number = version.split(' ').nth(1).unwrap_or("unknown");
    println!("cargo:rustc-env=WATCHPOST_BUILD_RUSTC={number}");
    let target = env::var("TARGET").unwrap_or_else(|_| "unknown".to_owned());
    println!("cargo:rustc-env=WATCHPOST_BUILD_TARGET={target}");
}

/// What the command prints in its first line, if it runs and succeeds.
fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let line = text.lines().next()?.trim();
    (output.status.success() && !line.is_empty()).then(|| line.to_owned())
}
