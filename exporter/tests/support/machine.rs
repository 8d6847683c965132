//! The made-up machine of `fixtures/`, unpacked into a folder.
//!
//! The kernel has names with colons, and some systems that check this repository out do not: there they are `%3A`.

use std::{fs, os::unix::fs::symlink, path::Path};

/// The folders that belong to the machine.
pub(crate) const FOLDERS: [&str; 5] = ["proc", "sys", "root", "udev", "text"];

/// Unpacks all folders into `machine`, each file as `change` makes it.
pub(crate) fn unpack(machine: &Path, mut change: impl FnMut(Vec<u8>) -> Vec<u8>) {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for folder in FOLDERS {
        copy(&fixtures.join(folder), &machine.join(folder), &mut change);
    }
}

fn copy(from: &Path, to: &Path, change: &mut impl FnMut(Vec<u8>) -> Vec<u8>) {
    fs::create_dir_all(to).unwrap();
    // In an order of its own, so that the same change meets the same file on every machine.
    let mut entries: Vec<_> = fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().into_string().unwrap().replace("%3A", ":");
        let (source, target) = (entry.path(), to.join(name));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            symlink(fs::read_link(&source).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&source, &target, change);
        } else {
            fs::write(target, change(fs::read(&source).unwrap())).unwrap();
        }
    }
}
