//! One file of the queue: eight bytes that say what it is, and records one after the other.

use std::{
    fs::{self, File},
    io::{self, BufReader, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::record::{self, Found, HEADER_BYTES};

/// What each segment begins with; another format gets another number.
pub(super) const MAGIC: &[u8; 8] = b"WPQUEUE1";
const EXTENSION: &str = "segment";

/// What the queue knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) number: u64,
    /// How far its records reach.
    pub(super) bytes: u64,
    /// Samples that are not delivered yet.
    pub(super) samples: u64,
}

/// Names sort as their numbers do.
pub(super) fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}.{EXTENSION}"))
}

/// The segments in a folder, oldest first.
pub(super) fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|name| name.strip_suffix(&format!(".{EXTENSION}")));
        numbers.extend(stem.and_then(|stem| stem.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// What a segment that an earlier program wrote holds behind `offset`, by its headers alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Survey {
    /// Where the last record that can be followed ends.
    pub(super) end: u64,
    pub(super) samples: u64,
    pub(super) is_torn: bool,
    pub(super) is_corrupt: bool,
    /// Of the file.
    pub(super) length: u64,
}

pub(super) fn survey(path: &Path, offset: u64) -> io::Result<Survey> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut survey = Survey { end: 0, samples: 0, is_torn: true, is_corrupt: false, length };
    if length < MAGIC.len() as u64 {
        return Ok(survey);
    }
    survey.end = MAGIC.len() as u64;
    file.seek(SeekFrom::Start(survey.end))?;
    let mut from = BufReader::with_capacity(HEADER_BYTES * 4, file);
    loop {
        match record::header(&mut from)? {
            Found::Record(header) => {
                let end = survey.end + (HEADER_BYTES + header.payload_bytes) as u64;
                if end > length {
                    return Ok(survey);
                }
                if survey.end >= offset {
                    survey.samples += u64::from(header.samples);
                }
                survey.end = end;
                from.seek_relative(header.payload_bytes as i64)?;
            }
            Found::End => {
                survey.is_torn = false;
                return Ok(survey);
            }
            Found::Torn => return Ok(survey),
            // The reader finds it, says so and counts it.
            Found::Corrupt => {
                survey.is_torn = false;
                survey.is_corrupt = true;
                return Ok(survey);
            }
        }
    }
}

/// Adds records to the newest segment.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    path: PathBuf,
    pub(super) number: u64,
    bytes: u64,
    is_synced: bool,
}

impl Writer {
    pub(super) fn create(folder: &Path, number: u64) -> io::Result<Self> {
        let path = path(folder, number);
        let mut file = File::options().write(true).create_new(true).open(&path)?;
        if let Err(err) = file.write_all(MAGIC) {
            drop(file);
            let _ = fs::remove_file(&path);
            return Err(err);
        }
        Ok(Self { file, path, number, bytes: MAGIC.len() as u64, is_synced: false })
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a record whole, or not at all.
    pub(super) fn append(&mut self, framed: &[u8]) -> io::Result<()> {
        if let Err(err) = self.file.write_all(framed) {
            // What follows has to lie behind the last whole record.
            self.file.set_len(self.bytes)?;
            self.file.seek(SeekFrom::Start(self.bytes))?;
            return Err(err);
        }
        self.bytes += framed.len() as u64;
        self.is_synced = false;
        Ok(())
    }

    /// The file and its folder, if there is something that only the page cache has. For syncing without holding up others.
    pub(super) fn unsynced(&mut self) -> Option<(File, PathBuf)> {
        if self.is_synced {
            return None;
        }
        let file = self.file.try_clone().ok()?;
        self.is_synced = true;
        Some((file, self.path.clone()))
    }
}

/// Reads one segment from some place on.
#[derive(Debug)]
pub(super) struct Reader {
    from: BufReader<File>,
    pub(super) number: u64,
    pub(super) offset: u64,
}

impl Reader {
    /// `offset` is the end of a record; anything before the first stands for the first.
    pub(super) fn open(folder: &Path, number: u64, offset: u64) -> io::Result<Self> {
        let mut file = File::open(path(folder, number))?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::other("it is not a segment of this version's queue"));
        }
        let offset = offset.max(MAGIC.len() as u64);
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self { from: BufReader::with_capacity(64 << 10, file), number, offset })
    }

    /// The next record and its number of samples.
    pub(super) fn next(&mut self) -> io::Result<Found<(Vec<u8>, u64)>> {
        let header = match record::header(&mut self.from)? {
            Found::Record(header) => header,
            Found::End => return Ok(Found::End),
            Found::Torn => return Ok(Found::Torn),
            Found::Corrupt => return Ok(Found::Corrupt),
        };
        match record::payload(&mut self.from, header)? {
            Found::Record(payload) => {
                self.offset += (HEADER_BYTES + payload.len()) as u64;
                Ok(Found::Record((payload, u64::from(header.samples))))
            }
            Found::End => Ok(Found::End),
            Found::Torn => Ok(Found::Torn),
            Found::Corrupt => Ok(Found::Corrupt),
        }
    }
}
