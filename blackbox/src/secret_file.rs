//! Files that the configuration names: secrets and bodies. Read for every probe, so that renewed ones count at once.

use std::path::Path;

use tokio::io::AsyncReadExt;

use crate::failure::{Failure, Phase, Reason};

/// No password or token is larger.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// The file's text without the white space around it, where there is a file; else `text`.
pub(crate) async fn or_text(file: Option<&Path>, text: &str) -> Result<String, Failure> {
    match file {
        Some(file) => read(file).await,
        None => Ok(text.to_owned()),
    }
}

/// The file's text without the white space around it.
pub(crate) async fn read(file: &Path) -> Result<String, Failure> {
    let bytes = read_bytes(file, SECRET_BYTES_MAX).await?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(_) => Err(failed(file, "it is not UTF-8")),
    }
}

pub(crate) async fn read_bytes(file: &Path, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let io_failed = |err: std::io::Error| failed(file, &err.to_string());
    let opened = tokio::fs::File::open(file).await.map_err(io_failed)?;
    let mut bytes = Vec::new();
    opened.take(bytes_max + 1).read_to_end(&mut bytes).await.map_err(io_failed)?;
    if bytes.len() as u64 > bytes_max {
        return Err(failed(file, &format!("it is larger than {bytes_max} bytes")));
    }
    Ok(bytes)
}

fn failed(file: &Path, why: &str) -> Failure {
    Failure::new(
        Phase::Setup,
        Reason::Configuration,
        format!("Cannot read {}: {why}", file.display()),
    )
}
