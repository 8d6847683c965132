//! How far the queue was delivered, in a small file of its own that is written over in place.
//!
//! ```text
//! ┌────────────┬─────────────┬────────────┬─────────┐
//! │ "WPQC"     │ segment u64 │ offset u64 │ crc u32 │   little-endian
//! └────────────┴─────────────┴────────────┴─────────┘
//! ```
//!
//! It is not synced: one that is older than it could be, or none at all, means that something is sent twice, which
//! receivers take for what it is.

use std::{
    fs::{self, File},
    io::{self, Seek, SeekFrom, Write},
    path::Path,
};

const MAGIC: &[u8; 4] = b"WPQC";
const BYTES: usize = 24;

/// A place between two records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) segment: u64,
    pub(super) offset: u64,
}

#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    position: Position,
}

impl Cursor {
    /// Reads where the last program stopped; the very beginning where that cannot be read.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let position = fs::read(path).ok().and_then(|bytes| parse(&bytes)).unwrap_or_default();
        let file = File::options().write(true).create(true).truncate(false).open(path)?;
        Ok(Self { file, position })
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// Notes a new place; what cannot be written is sent again after a restart.
    pub(super) fn set(&mut self, position: Position) -> io::Result<()> {
        self.position = position;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&position.segment.to_le_bytes());
        bytes.extend_from_slice(&position.offset.to_le_bytes());
        bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)
    }
}

fn parse(bytes: &[u8]) -> Option<Position> {
    let (place, crc) = bytes.get(..BYTES)?.split_at(BYTES - 4);
    if !place.starts_with(MAGIC) || checksum(place).to_le_bytes() != crc {
        return None;
    }
    let number = |at: usize| Some(u64::from_le_bytes(place.get(at..at + 8)?.try_into().ok()?));
    Some(Position { segment: number(4)?, offset: number(12)? })
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_again_and_a_spoilt_one_is_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cursor");
        let place = Position { segment: 7, offset: 4096 };
        let mut cursor = Cursor::open(&path).unwrap();
        assert_eq!(cursor.position(), Position::default());
        cursor.set(Position { segment: 1 << 40, offset: 1 }).unwrap();
        cursor.set(place).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().position(), place);
        let mut bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), BYTES);
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().position(), Position::default());
        fs::write(&path, &bytes[..5]).unwrap();
        assert_eq!(Cursor::open(&path).unwrap().position(), Position::default());
    }
}
