//! Paging files.

use proto::exposition::{Exposition, Kind};

/// One paging file, sizes in bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct PageFile {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) used: u64,
}

pub(super) fn write(files: &[PageFile], out: &mut Exposition) {
    let mut limits = out.family(
        "windows_pagefile_limit_bytes",
        "Number of bytes that can be stored in the operating system paging files. 0 (zero) indicates that there are no paging files",
        Kind::Gauge,
    );
    for file in files {
        limits.sample(&[("file", label(&file.path))], file.size as f64);
    }
    let mut free = out.family(
        "windows_pagefile_free_bytes",
        "Number of bytes that can be mapped into the operating system paging files without causing any other pages to be swapped out",
        Kind::Gauge,
    );
    for file in files {
        let bytes = file.size.saturating_sub(file.used);
        free.sample(&[("file", label(&file.path))], bytes as f64);
    }
}

/// `C:\pagefile.sys` of `\??\C:\pagefile.sys`, as the kernel writes paths.
fn label(path: &str) -> &str {
    path.strip_prefix(r"\??\").unwrap_or(path)
}
