//! Lines of `mountinfo`; see `proc_pid_mountinfo(5)`.

use std::borrow::Cow;

use crate::{host::Host, scan};

/// One mounted filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    pub(super) device: Cow<'a, str>,
    /// As shown: the machine's own name for it, invalid UTF-8 replaced.
    pub(super) point: String,
    /// As the system calls need it.
    pub(super) raw_point: Vec<u8>,
    pub(super) fs_type: Cow<'a, str>,
    pub(super) major: Cow<'a, str>,
    pub(super) minor: Cow<'a, str>,
    pub(super) read_only: bool,
}

impl Mount<'_> {
    /// Whether both would be shown as one series.
    pub(super) fn has_labels_of(&self, other: &Mount<'_>) -> bool {
        self.point == other.point && self.device == other.device && self.fs_type == other.fs_type
    }
}

/// All mounts of the file; lines that are not of its format are left out.
pub(super) fn parse<'a>(text: &'a [u8], host: &Host) -> impl Iterator<Item = Mount<'a>> {
    scan::lines(text).filter_map(move |line| parse_line(line, host))
}

/// `36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line<'a>(line: &'a [u8], host: &Host) -> Option<Mount<'a>> {
    // Not `scan::fields`: the device may be an empty word between two spaces.
    let mut fields = line.split(|byte| *byte == b' ');
    let (major, minor) = scan::split_once(fields.nth(2)?, b':')?;
    let point = unescape(fields.nth(1)?);
    let options = fields.next()?;
    // Optional fields, as many as there are, end with a dash.
    fields.by_ref().find(|field| *field == b"-")?;
    let fs_type = scan::text(fields.next()?);
    let device = fields.next()?;
    let super_options = fields.next().unwrap_or_default();
    let raw_point = host.without_root(&point).to_vec();
    Some(Mount {
        device: scan::text(device),
        point: scan::text(&raw_point).into_owned(),
        raw_point,
        fs_type,
        major: scan::text(major),
        minor: scan::text(minor),
        read_only: is_read_only(options) || is_read_only(super_options),
    })
}

fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == b"ro" || option == b"emergency_ro")
}

/// Undoes the kernel's `\040` for a space, `\011` for a tab, `\012` and `\134`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        if *first == b'\\'
            && let Some(code) = tail.get(..3)
            && let Some(byte) = octal(code)
        {
            plain.push(byte);
            rest = &tail[3..];
        } else {
            plain.push(*first);
            rest = tail;
        }
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Roots;

    fn host() -> Host {
        Host::new(Roots {
            procfs: "/proc".into(),
            sysfs: "/sys".into(),
            rootfs: "/".into(),
            udev_data: "/run/udev/data".into(),
        })
    }

    #[test]
    fn lines() {
        let text = b"36 35 98:7 /mnt1 /mnt/my\\040disk\\134 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
            28 27 0:25 / / ro - tmpfs none rw\n\
            29 27 0:25 / /e rw - ext4 /dev/x rw,emergency_ro\n\
            30 27 0:26 / /empty rw - tmpfs  rw\n\
            garbage\n\
            31 27 026 / /x rw - tmpfs x rw\n\
            32 27 0:26 / /x rw tmpfs x rw\n";
        let host = host();
        let mounts: Vec<Mount<'_>> = parse(text, &host).collect();
        let shown: Vec<_> = mounts
            .iter()
            .map(|m| (&*m.device, m.point.as_str(), &*m.fs_type, &*m.minor, m.read_only))
            .collect();
        assert_eq!(
            shown,
            [
                ("/dev/root", "/mnt/my disk\\", "ext3", "7", false),
                ("none", "/", "tmpfs", "25", true),
                ("/dev/x", "/e", "ext4", "25", true),
                ("", "/empty", "tmpfs", "26", false),
            ]
        );
    }

    #[test]
    fn escapes() {
        for (field, plain) in
            [("a\\040b", "a b"), ("\\", "\\"), ("\\04", "\\04"), ("\\999", "\\999"), ("", "")]
        {
            assert_eq!(unescape(field.as_bytes()), plain.as_bytes(), "{field}");
        }
    }
}
