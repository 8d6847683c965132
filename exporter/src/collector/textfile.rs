//! Metrics that other programs write to files: `*.prom` in the folders of `--collector.textfile.directory`.
//!
//! A file that cannot be read or breaks the format is left out whole and `node_textfile_scrape_error` (on Windows
//! `windows_textfile_scrape_error`) becomes 1; the
//! others are shown. Nothing here trusts the files: not their size, not their kind (a FIFO would block), not that they
//! stay where they are.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use proto::exposition::{Exposition, Kind};
use tracing::warn;

use self::parse::Parser;
use super::{Collector, Error, OptionError, Setup, names::OWN};
use crate::files;

mod parse;

/// A file of 16 MiB has some 200,000 samples: a mistake, which nobody wants in Prometheus.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Of all files together.
const BYTES_MAX: u64 = 32 << 20;
const FILES_MAX: usize = 2000;

struct TextFile {
    directories: Vec<String>,
    /// What was last logged about a file, so that it is said once.
    complaints: HashMap<PathBuf, String>,
    buf: Vec<u8>,
}

/// A file that was shown.
struct Shown {
    path: PathBuf,
    modified: f64,
}

#[derive(Debug, thiserror::Error)]
enum FileError {
    #[error("it is not a regular file")]
    Kind,
    #[error("it has {0} bytes; {FILE_BYTES_MAX} are allowed")]
    TooLarge(u64),
    #[error("all files together have more than {BYTES_MAX} bytes")]
    AllTooLarge,
    #[error("read it")]
    Read(#[from] io::Error),
    #[error("line {line}: {what}")]
    Format { line: usize, what: parse::Problem },
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    // An empty flag is how packages switch it off.
    let given = setup.options.textfile_directories.iter();
    Ok(Box::new(TextFile {
        directories: given.filter(|directory| !directory.is_empty()).cloned().collect(),
        complaints: HashMap::new(),
        buf: Vec::new(),
    }))
}

/// Reads the bytes of one file, as the collector does; whether its format is right.
#[cfg(feature = "testing")]
pub fn parse_textfile(bytes: &[u8], out: &mut Exposition) -> bool {
    Parser::default().parse(bytes, Path::new("fuzz.prom"), out).is_ok()
}

impl Collector for TextFile {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut parser = Parser::default();
        let mut complaints = HashMap::new();
        let mut shown = Vec::new();
        let mut bytes_left = BYTES_MAX;
        for path in self.files(&mut complaints) {
            match read(&path, &mut self.buf, &mut bytes_left) {
                Ok(modified) => match parser.parse(&self.buf, &path, out) {
                    Ok(conflict) => {
                        if let Some(conflict) = conflict {
                            complaints.insert(path.clone(), conflict);
                        }
                        shown.push(Shown { path, modified });
                    }
                    Err((line, what)) => {
                        let err = FileError::Format { line, what };
                        complaints.insert(path, service::error::chain(&err));
                    }
                },
                // Gone since it was listed: as if it had never been there.
                Err(FileError::Read(err)) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => {
                    complaints.insert(path, service::error::chain(&err));
                }
            }
        }
        // The memory of an unusually large file is given back.
        if self.buf.capacity() > 1 << 20 {
            self.buf = Vec::new();
        }
        write(&shown, !complaints.is_empty(), out);
        for (path, complaint) in &complaints {
            if self.complaints.get(path) != Some(complaint) {
                warn!(file = %path.display(), "textfile {} is left out: {complaint}", path.display());
            }
        }
        self.complaints = complaints;
        Ok(())
    }
}

impl TextFile {
    /// All `*.prom` files, sorted, at most [`FILES_MAX`].
    fn files(&self, complaints: &mut HashMap<PathBuf, String>) -> Vec<PathBuf> {
        let mut files = Vec::new();
        for directory in &self.directories {
            for folder in folders(directory) {
                match files::names(&folder) {
                    Ok(names) => files.extend(
                        names
                            .iter()
                            .filter(|name| name.ends_with(".prom"))
                            .map(|name| folder.join(name)),
                    ),
                    Err(err) => {
                        complaints.insert(folder, service::error::chain(&err));
                    }
                }
            }
        }
        files.sort_unstable();
        files.dedup();
        if files.len() > FILES_MAX {
            let first_left_out = files.split_off(FILES_MAX).swap_remove(0);
            complaints.insert(first_left_out, format!("there are more than {FILES_MAX} files"));
        }
        files
    }
}

/// The folders that a pattern such as `/var/lib/*/metrics` names; a pattern that matches nothing stands for itself.
fn folders(pattern: &str) -> Vec<PathBuf> {
    let found: Vec<PathBuf> = match glob::glob(pattern) {
        Ok(paths) => paths.filter_map(Result::ok).take(FILES_MAX).collect(),
        Err(_) => Vec::new(),
    };
    if found.is_empty() { vec![PathBuf::from(pattern)] } else { found }
}

/// Reads a file into `buf`; returns when it was modified, in seconds since the Unix epoch.
fn read(path: &Path, buf: &mut Vec<u8>, bytes_left: &mut u64) -> Result<f64, FileError> {
    let (file, metadata) = files::open(path)?;
    if !metadata.is_file() {
        return Err(FileError::Kind);
    }
    let size = metadata.len();
    if size > FILE_BYTES_MAX {
        return Err(FileError::TooLarge(size));
    }
    *bytes_left = bytes_left.checked_sub(size).ok_or(FileError::AllTooLarge)?;
    files::read(file, FILE_BYTES_MAX, buf)?;
    Ok(match metadata.modified()?.duration_since(UNIX_EPOCH) {
        Ok(since) => since.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    })
}

fn write(shown: &[Shown], has_error: bool, out: &mut Exposition) {
    let mut family = out.family(
        OWN.textfile_modified,
        "Unixtime mtime of textfiles successfully read.",
        Kind::Gauge,
    );
    for file in shown {
        family.sample(&[("file", &file.path.to_string_lossy())], file.modified);
    }
    out.gauge(
        OWN.textfile_error,
        "1 if there was an error opening or reading a file, 0 otherwise",
        f64::from(u8::from(has_error)),
    );
}

#[cfg(test)]
mod tests;
