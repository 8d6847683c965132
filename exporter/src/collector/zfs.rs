//! ZFS, from `/proc/spl/kstat/zfs`: every counter there, named as its file and its line.

use std::path::{Path, PathBuf};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

/// (name after `node_zfs_`, file)
const FILES: [(&str, &str); 11] = [
    ("abd", "abdstats"),
    ("arc", "arcstats"),
    ("dbuf", "dbufstats"),
    ("dmu_tx", "dmu_tx"),
    ("dnode", "dnodestats"),
    ("fm", "fm"),
    ("vdev_cache", "vdev_cache_stats"),
    ("vdev_mirror", "vdev_mirror_stats"),
    ("xuio", "xuio_stats"),
    ("zfetch", "zfetchstats"),
    ("zil", "zil"),
];

const STATES: [&str; 7] =
    ["online", "degraded", "faulted", "offline", "removed", "unavail", "suspended"];

struct Zfs {
    folder: PathBuf,
    name: String,
    help: String,
    buf: Vec<u8>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let folder = setup.host.proc("spl/kstat/zfs");
    Ok(Box::new(Zfs { folder, name: String::new(), help: String::new(), buf: Vec::new() }))
}

impl Collector for Zfs {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.folder).map_err(|err| err.or_no_data("ZFS"))?;
        for (subsystem, file) in FILES {
            // Which files there are depends on the version.
            if names.iter().any(|name| name == file) {
                self.write_kstat(subsystem, file, &self.folder.join(file), &[], out)?;
            }
        }
        // The folders are pools.
        for pool in &names {
            let folder = self.folder.join(pool);
            for name in host::names(&folder).unwrap_or_default() {
                let path = folder.join(&name);
                match name.as_str() {
                    "io" => self.write_io(pool, &path, out),
                    "state" => write_state(pool, &path, out),
                    _ if name.starts_with("objset-") => self.write_dataset(pool, &path, out),
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

impl Zfs {
    fn set_names(&mut self, subsystem: &str, file: &str, field: &[u8]) {
        let field = scan::text(field);
        self.name.clear();
        self.name.extend(["node_zfs_", subsystem, "_"]);
        self.name.extend(field.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }));
        self.help.clear();
        self.help.extend(["kstat.zfs.misc.", file, ".", &field]);
    }

    /// Lines `name type data` with type 3 or 4, which are 64-bit integers.
    fn write_kstat(
        &mut self,
        subsystem: &str,
        file: &str,
        path: &Path,
        labels: &[(&str, &str)],
        out: &mut Exposition,
    ) -> Result<(), Error> {
        let mut buf = std::mem::take(&mut self.buf);
        let text = host::read(path, &mut buf)?;
        for (field, value) in kstat(text).filter_map(|(name, kind, data)| match kind {
            b"3" | b"4" => Some((name, scan::f64(data)?)),
            _ => None,
        }) {
            self.set_names(subsystem, file, field);
            out.family(&self.name, &self.help, Kind::Untyped).sample(labels, value);
        }
        self.buf = buf;
        Ok(())
    }

    /// A line of names and a line of numbers. The pool may go at any time.
    fn write_io(&mut self, pool: &str, path: &Path, out: &mut Exposition) {
        let Ok(text) = host::attribute(path) else { return };
        let mut lines = scan::lines(&text).skip_while(|line| !line.starts_with(b"nread"));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return };
        for (field, value) in scan::fields(names).zip(scan::fields(values).map_while(scan::f64)) {
            self.set_names("zpool", "io", field);
            out.family(&self.name, &self.help, Kind::Untyped).sample(&[("zpool", pool)], value);
        }
    }

    fn write_dataset(&mut self, pool: &str, path: &Path, out: &mut Exposition) {
        let Ok(text) = host::attribute(path) else { return };
        let dataset = kstat(&text).find(|(name, ..)| *name == b"dataset_name");
        let Some((_, _, dataset)) = dataset else { return };
        let dataset = scan::text(dataset);
        let labels = [("zpool", pool), ("dataset", &*dataset)];
        // A dataset that went since it was read is no failure.
        let _ = self.write_kstat("zpool_dataset", "objset", path, &labels, out);
    }
}

fn write_state(pool: &str, path: &Path, out: &mut Exposition) {
    let Some(actual) = host::text(path) else { return };
    let mut family = out.family("node_zfs_zpool_state", "kstat.zfs.misc.state", Kind::Gauge);
    for state in STATES {
        let is_in = f64::from(u8::from(actual.eq_ignore_ascii_case(state)));
        family.sample(&[("zpool", pool), ("state", state)], is_in);
    }
}

/// The lines below `name type data`. A dataset's name may hold spaces.
fn kstat(text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8], &[u8])> {
    let body = scan::lines(text)
        .skip_while(|line| !scan::fields(line).eq([&b"name"[..], b"type", b"data"]));
    body.skip(1).filter_map(|line| {
        let (name, rest) = scan::split_once(line.trim_ascii(), b' ')?;
        let (kind, data) = scan::split_once(rest.trim_ascii(), b' ')?;
        Some((name, kind, data.trim_ascii()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let text = b"6 1 0x01 91 4368 5266997922 97951858082072\nname                            type data\nhits                            4    8772612\ndataset_name                    7    pool/my data\nbroken\n";
        let rows: Vec<_> = kstat(text).collect();
        assert_eq!(
            rows,
            [(&b"hits"[..], &b"4"[..], &b"8772612"[..]), (b"dataset_name", b"7", b"pool/my data"),]
        );
        assert_eq!(kstat(b"no heading\n1 2 3\n").count(), 0);
    }
}
