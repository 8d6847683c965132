//! What is running: version, revision and compiler, the same in `--version`, the log and `build_info`.

/// The version of all Watchpost programs; they are released together.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The git commit this was built from, or `unknown` (see `build.rs`).
pub const REVISION: &str = env!("WATCHPOST_BUILD_REVISION");

/// The compiler, as `1.95.0`.
pub const RUSTC: &str = env!("WATCHPOST_BUILD_RUSTC");

/// What it was built for, as `x86_64-unknown-linux-gnu`.
pub const TARGET: &str = env!("WATCHPOST_BUILD_TARGET");

/// What `--version` prints behind `watchpost-exporter, `, in the shape of Prometheus' programs.
pub fn text() -> String {
    format!(
        "version {VERSION} (revision: {REVISION})\n  rustc version:    {RUSTC}\n  platform:         {TARGET}"
    )
}

/// The first line of every program's log.
pub fn log_start(program: &str) {
    tracing::info!(
        version = VERSION,
        revision = REVISION,
        rustc = RUSTC,
        platform = TARGET,
        "starting {program}"
    );
}
