//! Folders and ordinary files, as every system has them.

use std::{
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

use crate::collector::Error;

/// More entries than any directory of `/sys/class` or `/proc` that we list has.
const ENTRIES_MAX: usize = 200_000;

/// The names in a directory, sorted; bytes that are not Unicode make a name invisible.
pub(crate) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).map_err(failed)?.take(ENTRIES_MAX) {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens for reading, never waiting for a writer as a FIFO would have us do.
pub(crate) fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
    }
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    Ok((file, metadata))
}

/// Reads into `buf`, whose memory is reused, at most `bytes_max`: also of a file that grows meanwhile.
pub(crate) fn read(file: File, bytes_max: u64, buf: &mut Vec<u8>) -> io::Result<()> {
    buf.clear();
    // One byte more tells a file that is too long from one that just fits.
    let n_bytes = file.take(bytes_max + 1).read_to_end(buf)?;
    if n_bytes as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {bytes_max} bytes"),
        ));
    }
    Ok(())
}
