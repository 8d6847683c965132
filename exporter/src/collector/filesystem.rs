//! Space and inodes of mounted filesystems, from `mountinfo` and statfs(2).

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use proto::exposition::{Exposition, Kind};

use self::mounts::Mount;
use super::{Collector, Error, OptionError, Setup};
use crate::{
    host::{self, Host},
    name_filter::NameFilter,
};

mod mounts;
mod remote;

const MOUNT_POINTS_EXCLUDE: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
const FS_TYPES_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";

/// Filesystems whose statfs reads counters in memory and cannot wait for a server or a user-space process. All others
/// are asked in threads of their own.
const LOCAL_TYPES: [&str; 14] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "tmpfs", "ramfs", "vfat", "exfat", "f2fs", "jfs",
    "zfs", "bcachefs", "devtmpfs",
];

struct Filesystem {
    host: Host,
    /// The mounts of process 1, and our own where that is hidden.
    mountinfo: [PathBuf; 2],
    mount_points: NameFilter,
    fs_types: NameFilter,
    remote: remote::Prober,
    buf: Vec<u8>,
}

/// What statfs says, in bytes and pieces.
#[derive(Clone, Copy, Debug)]
struct Space {
    size: f64,
    free: f64,
    avail: f64,
    files: f64,
    files_free: f64,
}

/// A mount and what became of asking it.
struct Asked<'a> {
    mount: Mount<'a>,
    /// What an error says; the label `device_error`.
    answer: Result<Space, String>,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let options = setup.options;
    Ok(Box::new(Filesystem {
        host: setup.host.clone(),
        mountinfo: ["1/mountinfo", "self/mountinfo"].map(|path| setup.host.proc(path)),
        mount_points: NameFilter::from_pair(
            ("collector.filesystem.mount-points-include", &options.mount_points_include),
            ("collector.filesystem.mount-points-exclude", &options.mount_points_exclude),
            MOUNT_POINTS_EXCLUDE,
        )?,
        fs_types: NameFilter::from_pair(
            ("collector.filesystem.fs-types-include", &options.fs_types_include),
            ("collector.filesystem.fs-types-exclude", &options.fs_types_exclude),
            FS_TYPES_EXCLUDE,
        )?,
        remote: remote::Prober::new(options.mount_timeout.0),
        buf: Vec::new(),
    }))
}

impl Collector for Filesystem {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = match host::read(&self.mountinfo[0], &mut self.buf) {
            Ok(_) => &self.buf[..],
            // Hidden by hidepid, or a container without process 1.
            Err(_) => host::read(&self.mountinfo[1], &mut self.buf)?,
        };
        let all: Vec<Mount<'_>> = mounts::parse(text, &self.host).collect();
        let remote_points: Vec<&str> =
            all.iter().filter(|mount| !is_local(mount)).map(|mount| &*mount.point).collect();
        let mut shown: Vec<(Mount<'_>, bool)> = Vec::new();
        for mount in &all {
            let is_shown = self.mount_points.admits(mount.point.as_bytes())
                && self.fs_types.admits(mount.fs_type.as_bytes());
            if is_shown && !shown.iter().any(|(known, _)| known.has_labels_of(mount)) {
                let below_remote = remote_points.iter().any(|point| is_below(&mount.point, point));
                shown.push((mount.clone(), is_local(mount) && !below_remote));
            }
        }
        let paths: Vec<PathBuf> = shown
            .iter()
            .map(|(mount, _)| self.host.root(OsStr::from_bytes(&mount.raw_point)))
            .collect();
        let remote_paths = paths
            .iter()
            .zip(&shown)
            .filter(|(_, (_, local))| !*local)
            .map(|(path, _)| path.clone())
            .collect();
        let mut remote_answers = self.remote.ask(remote_paths).into_iter();
        let asked: Vec<Asked<'_>> = shown
            .into_iter()
            .zip(&paths)
            .map(|((mount, local), path)| {
                let answer = match local {
                    true => statfs(path),
                    false => remote_answers.next().expect("one answer for each remote path"),
                };
                Asked { mount, answer }
            })
            .collect();
        write(&asked, out);
        Ok(())
    }
}

fn is_local(mount: &Mount<'_>) -> bool {
    LOCAL_TYPES.contains(&&*mount.fs_type)
}

/// Whether the way to `point` leads through `above`.
fn is_below(point: &str, above: &str) -> bool {
    point.strip_prefix(above).is_some_and(|rest| rest.starts_with('/'))
}

/// Asks one filesystem; the error is the kernel's word in the lower case that Go uses.
fn statfs(path: &Path) -> Result<Space, String> {
    let stat = rustix::fs::statfs(path).map_err(|errno| {
        let text = std::io::Error::from(errno).to_string();
        let text = text.split(" (os error").next().unwrap_or_default();
        text[..1].to_lowercase() + &text[1..]
    })?;
    // f_bsize, as df shows; f_frsize differs on some network filesystems.
    let block = stat.f_bsize as f64;
    Ok(Space {
        size: stat.f_blocks as f64 * block,
        free: stat.f_bfree as f64 * block,
        avail: stat.f_bavail as f64 * block,
        files: stat.f_files as f64,
        files_free: stat.f_ffree as f64,
    })
}

/// Name, help and figure of one family.
type SpaceFamily = (&'static str, &'static str, fn(&Space) -> f64);

const SPACE: [SpaceFamily; 5] = [
    ("node_filesystem_size_bytes", "Filesystem size in bytes.", |space| space.size),
    ("node_filesystem_free_bytes", "Filesystem free space in bytes.", |space| space.free),
    (
        "node_filesystem_avail_bytes",
        "Filesystem space available to non-root users in bytes.",
        |space| space.avail,
    ),
    ("node_filesystem_files", "Filesystem total file nodes.", |space| space.files),
    ("node_filesystem_files_free", "Filesystem total free file nodes.", |space| space.files_free),
];

fn write(all: &[Asked<'_>], out: &mut Exposition) {
    fn labels<'l>(asked: &'l Asked<'_>) -> [(&'static str, &'l str); 4] {
        let device_error = asked.answer.as_ref().err().map_or("", String::as_str);
        let mount = &asked.mount;
        [
            ("device", &mount.device),
            ("mountpoint", &mount.point),
            ("fstype", &mount.fs_type),
            ("device_error", device_error),
        ]
    }
    for (name, help, figure) in SPACE {
        let mut family = out.family(name, help, Kind::Gauge);
        for asked in all {
            if let Ok(space) = &asked.answer {
                family.sample(&labels(asked), figure(space));
            }
        }
    }
    let mut family =
        out.family("node_filesystem_readonly", "Filesystem read-only status.", Kind::Gauge);
    for asked in all {
        family.sample(&labels(asked), f64::from(u8::from(asked.mount.read_only)));
    }
    let mut family = out.family(
        "node_filesystem_device_error",
        "Whether an error occurred while getting statistics for the given device.",
        Kind::Gauge,
    );
    for asked in all {
        family.sample(&labels(asked), f64::from(u8::from(asked.answer.is_err())));
    }
    let mut family =
        out.family("node_filesystem_mount_info", "Filesystem mount information.", Kind::Gauge);
    for Asked { mount, .. } in all {
        let labels = [
            ("device", &*mount.device),
            ("major", &mount.major),
            ("minor", &mount.minor),
            ("mountpoint", &mount.point),
        ];
        family.sample(&labels, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_read_as_in_go() {
        assert_eq!(statfs(Path::new("/nowhere")).unwrap_err(), "no such file or directory");
        assert!(statfs(Path::new("/")).unwrap().size > 0.0);
    }

    #[test]
    fn a_local_mount_below_a_remote_one_is_not_trusted() {
        assert!(is_below("/mnt/nfs/disk", "/mnt/nfs"));
        assert!(!is_below("/mnt/nfs", "/mnt/nfs"));
        assert!(!is_below("/mnt/nfs2", "/mnt/nfs"));
    }
}
