//! Memory as the virtual memory system of macOS divides it.

use proto::exposition::Exposition;

#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) page_bytes: u64,
    pub(super) pages: Pages,
    pub(super) total: u64,
    pub(super) swap_total: u64,
    pub(super) swap_used: u64,
}

/// Counted in pages; see `vm_statistics64` in `mach/vm_statistics.h`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pages {
    pub(super) active: u64,
    pub(super) compressed: u64,
    pub(super) free: u64,
    pub(super) inactive: u64,
    pub(super) internal: u64,
    pub(super) purgeable: u64,
    pub(super) wired: u64,
    /// Since the system started, as the next one.
    pub(super) page_ins: u64,
    pub(super) page_outs: u64,
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    let pages = &facts.pages;
    for (name, n_pages) in [
        ("active_bytes", pages.active),
        ("compressed_bytes", pages.compressed),
        ("free_bytes", pages.free),
        ("inactive_bytes", pages.inactive),
        ("internal_bytes", pages.internal),
        ("purgeable_bytes", pages.purgeable),
        ("wired_bytes", pages.wired),
    ] {
        let bytes = n_pages as f64 * facts.page_bytes as f64;
        out.gauge(&format!("node_memory_{name}"), &help(name), bytes);
    }
    for (name, n_pages) in
        [("swapped_in_bytes_total", pages.page_ins), ("swapped_out_bytes_total", pages.page_outs)]
    {
        let bytes = n_pages as f64 * facts.page_bytes as f64;
        out.counter(&format!("node_memory_{name}"), &help(name), bytes);
    }
    for (name, bytes) in [
        ("swap_total_bytes", facts.swap_total),
        ("swap_used_bytes", facts.swap_used),
        ("total_bytes", facts.total),
    ] {
        out.gauge(&format!("node_memory_{name}"), &help(name), bytes as f64);
    }
}

fn help(name: &str) -> String {
    format!("Memory information field {name}.")
}
