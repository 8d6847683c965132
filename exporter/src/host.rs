//! The machine being watched: where its `/proc`, `/sys` and `/` are, and how files there are read.
//!
//! Every collector reads through [`Host`], so that `--path.*` works everywhere and tests bring their own tree.

use std::{
    ffi::OsStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    buffer,
    fs::{Mode, OFlags},
};

use crate::{Paths, collector::Error, scan};

pub(crate) use crate::files::names;

/// The largest kernel file that is read; `/proc/interrupts` of a machine with 512 CPUs has 3 MB.
const FILE_BYTES_MAX: usize = 32 << 20;
/// One sysfs attribute never exceeds a page.
const ATTRIBUTE_BYTES_MAX: usize = 4096;

/// Where the machine is found. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Host(Arc<Roots>);

#[derive(Debug)]
pub(crate) struct Roots {
    pub(crate) procfs: PathBuf,
    pub(crate) sysfs: PathBuf,
    pub(crate) rootfs: PathBuf,
    pub(crate) udev_data: PathBuf,
}

impl Host {
    pub(crate) fn at(paths: &Paths) -> Self {
        Self::new(Roots {
            procfs: paths.procfs.clone(),
            sysfs: paths.sysfs.clone(),
            rootfs: paths.rootfs.clone(),
            udev_data: paths.udev_data.clone(),
        })
    }

    pub(crate) fn new(roots: Roots) -> Self {
        Self(Arc::new(roots))
    }

    /// A file under `/proc`.
    pub(crate) fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.procfs.join(path)
    }

    /// A file under `/sys`.
    pub(crate) fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        self.0.sysfs.join(path)
    }

    /// An absolute path of the machine, seen from here.
    pub(crate) fn root(&self, path: &OsStr) -> PathBuf {
        let relative = path.as_bytes().iter().position(|byte| *byte != b'/');
        match relative {
            Some(start) => self.0.rootfs.join(OsStr::from_bytes(&path.as_bytes()[start..])),
            None => self.0.rootfs.clone(),
        }
    }

    /// The path as the machine knows it, from a path as seen from here.
    pub(crate) fn without_root<'p>(&self, path: &'p [u8]) -> &'p [u8] {
        let prefix = self.0.rootfs.as_os_str().as_bytes();
        if prefix == b"/" {
            return path;
        }
        match path.strip_prefix(prefix) {
            Some(b"") => b"/",
            Some(rest) if rest.starts_with(b"/") => rest,
            _ => path,
        }
    }

    /// What udev knows about devices.
    pub(crate) fn udev(&self, name: &str) -> PathBuf {
        self.0.udev_data.join(name)
    }
}

/// Reads a whole file into `buf`, whose memory is reused.
pub(crate) fn read<'b>(path: &Path, buf: &'b mut Vec<u8>) -> Result<&'b [u8], Error> {
    buf.clear();
    read_inner(path, buf).map_err(|source| Error::Read { path: path.to_owned(), source })?;
    Ok(buf)
}

fn read_inner(path: &Path, buf: &mut Vec<u8>) -> io::Result<()> {
    let file = open(path)?;
    read_open(&file, buf)
}

/// Reads what is left of an open file, appending to `buf`.
fn read_open(file: &OwnedFd, buf: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if buf.len() >= FILE_BYTES_MAX {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("larger than {FILE_BYTES_MAX} bytes"),
            ));
        }
        if buf.capacity() - buf.len() < 1024 {
            buf.reserve(buf.capacity().max(4096));
        }
        match rustix::io::read(file, buffer::spare_capacity(buf)) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => {}
            Err(err) => return Err(err.into()),
        }
    }
}

/// Opens for reading, never waiting for a writer as a FIFO would have us do.
pub(crate) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    )?)
}

/// One attribute: what a single `read` gives, without white space around it.
///
/// A single one, because some drivers answer every further one with an error.
pub(crate) fn attribute(path: &Path) -> io::Result<Attribute> {
    let file = open(path)?;
    let mut bytes = [0; ATTRIBUTE_BYTES_MAX];
    let n_bytes = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes))?;
    let trimmed = bytes[..n_bytes].trim_ascii();
    Ok(Attribute(trimmed.into()))
}

/// The trimmed content of a small file.
#[derive(Debug)]
pub(crate) struct Attribute(Box<[u8]>);

impl std::ops::Deref for Attribute {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// An attribute as text; `None` when it cannot be read.
pub(crate) fn text(path: &Path) -> Option<String> {
    attribute(path).ok().map(|bytes| scan::text(&bytes).into_owned())
}

/// An attribute as a number; `None` when it cannot be read or is none.
pub(crate) fn number(path: &Path) -> Option<f64> {
    // On the stack: this is called hundreds of times a scrape.
    let file = open(path).ok()?;
    let mut bytes = [0; 128];
    let n_bytes = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut bytes)).ok()?;
    scan::f64(bytes[..n_bytes].trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(rootfs: &str) -> Host {
        Host::new(Roots {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: rootfs.into(),
            udev_data: "/run/udev/data".into(),
        })
    }

    #[test]
    fn paths_move_between_the_machine_and_us() {
        for (rootfs, theirs, ours) in [
            ("/", "/home", "/home"),
            ("/host", "/home", "/host/home"),
            ("/host", "/", "/host"),
            ("/host", "//x", "/host/x"),
        ] {
            assert_eq!(host(rootfs).root(OsStr::new(theirs)), Path::new(ours), "{rootfs} {theirs}");
        }
        for (rootfs, ours, theirs) in [
            ("/", "/home", "/home"),
            ("/host", "/host/home", "/home"),
            ("/host", "/host", "/"),
            ("/host", "/hostile", "/hostile"),
            ("/host", "/etc/hosts", "/etc/hosts"),
        ] {
            assert_eq!(
                host(rootfs).without_root(ours.as_bytes()),
                theirs.as_bytes(),
                "{rootfs} {ours}"
            );
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let err = read(Path::new("/nowhere/at/all"), &mut Vec::new()).unwrap_err();
        assert_eq!(
            service::error::chain(&err),
            "read /nowhere/at/all: No such file or directory (os error 2)"
        );
    }
}
