//! Physical memory, commit charge and the kernel's pools.

use proto::exposition::Exposition;

/// In bytes.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    pub(super) physical_total: u64,
    pub(super) physical_available: u64,
    pub(super) committed: u64,
    pub(super) commit_limit: u64,
    pub(super) cache: u64,
    pub(super) pool_paged: u64,
    pub(super) pool_nonpaged: u64,
    /// `None` where the kernel does not count them.
    pub(super) faults: Option<Faults>,
}

/// Counted since the system started, in 32 bits: they begin anew after 4,294,967,295.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    pub(super) all: u32,
    pub(super) write_copies: u32,
    pub(super) transitions: u32,
    pub(super) demand_zero: u32,
    pub(super) pages_read: u32,
    pub(super) page_reads: u32,
    pub(super) pages_written: u32,
    pub(super) page_writes: u32,
    pub(super) context_switches: u32,
    pub(super) system_calls: u32,
}

impl Faults {
    /// Takes apart `SYSTEM_PERFORMANCE_INFORMATION`, whose first 312 bytes have been the same since Windows NT 4.
    /// Newer ones add to its end.
    ///
    /// <https://ntdoc.m417z.com/system_performance_information>
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let field = |start: usize| {
            let four = bytes.get(start..start + 4)?;
            Some(u32::from_le_bytes(four.try_into().expect("four bytes were taken")))
        };
        Some(Self {
            all: field(60)?,
            write_copies: field(64)?,
            transitions: field(68)?,
            demand_zero: field(76)?,
            pages_read: field(80)?,
            page_reads: field(84)?,
            pages_written: field(96)?,
            page_writes: field(100)?,
            context_switches: field(296)?,
            system_calls: field(308)?,
        })
    }
}

pub(super) fn write(facts: &Facts, out: &mut Exposition) {
    for (name, help, bytes) in [
        (
            "windows_memory_physical_total_bytes",
            "The amount of actual physical memory, in bytes.",
            facts.physical_total,
        ),
        (
            "windows_memory_physical_free_bytes",
            "The amount of physical memory currently available, in bytes. This is the amount of physical memory that can be immediately reused without having to write its contents to disk first. It is the sum of the size of the standby, free, and zero lists.",
            facts.physical_available,
        ),
        (
            "windows_memory_available_bytes",
            "The amount of physical memory immediately available for allocation to a process or for system use. It is equal to the sum of memory assigned to the standby (cached), free and zero page lists (AvailableBytes)",
            facts.physical_available,
        ),
        ("windows_memory_commit_limit", "(CommitLimit)", facts.commit_limit),
        ("windows_memory_committed_bytes", "(CommittedBytes)", facts.committed),
        ("windows_memory_cache_bytes", "(CacheBytes)", facts.cache),
        ("windows_memory_pool_paged_bytes", "(PoolPagedBytes)", facts.pool_paged),
        (
            "windows_memory_pool_nonpaged_bytes",
            "Number of bytes in the non-paged pool, an area of the system virtual memory that is used for objects that cannot be written to disk, but must remain in physical memory as long as they are allocated (PoolNonpagedBytes)",
            facts.pool_nonpaged,
        ),
    ] {
        out.gauge(name, help, bytes as f64);
    }
    if let Some(faults) = &facts.faults {
        write_faults(faults, out);
    }
}

fn write_faults(faults: &Faults, out: &mut Exposition) {
    for (name, help, count) in [
        (
            "windows_memory_page_faults_total",
            "Overall rate at which faulted pages are handled by the processor (Page Faults/sec)",
            faults.all,
        ),
        (
            "windows_memory_write_copies_total",
            "The number of page faults caused by attempting to write that were satisfied by copying the page from elsewhere in physical memory (WriteCopiesPerSec)",
            faults.write_copies,
        ),
        (
            "windows_memory_transition_faults_total",
            "Number of faults rate at which page faults are resolved by recovering pages that were being used by another process sharing the page, or were on the modified page list or the standby list, or were being written to disk at the time of the page fault (TransitionFaultsPerSec)",
            faults.transitions,
        ),
        (
            "windows_memory_demand_zero_faults_total",
            "The number of zeroed pages required to satisfy faults. Zeroed pages, pages emptied of previously stored data and filled with zeros, are a security feature of Windows that prevent processes from seeing data stored by earlier processes that used the memory space (Demand Zero Faults/sec)",
            faults.demand_zero,
        ),
        (
            "windows_memory_swap_pages_read_total",
            "Number of pages read across all page reads (ie counting all pages read even if they are read in a single operation) (PagesInputPerSec)",
            faults.pages_read,
        ),
        (
            "windows_memory_swap_page_reads_total",
            "Number of disk page reads (a single read operation reading several pages is still only counted once) (PageReadsPerSec)",
            faults.page_reads,
        ),
        (
            "windows_memory_swap_pages_written_total",
            "Number of pages written across all page writes (ie counting all pages written even if they are written in a single operation) (PagesOutputPerSec)",
            faults.pages_written,
        ),
        (
            "windows_memory_swap_page_writes_total",
            "Number of disk page writes (a single write operation writing several pages is still only counted once) (PageWritesPerSec)",
            faults.page_writes,
        ),
        (
            "windows_memory_swap_page_operations_total",
            "Total number of swap page read and writes (PagesPerSec)",
            faults.pages_read.wrapping_add(faults.pages_written),
        ),
    ] {
        out.counter(name, help, f64::from(count));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_where_the_kernel_puts_them() {
        // Each field of four bytes holds its own place.
        let bytes: Vec<u8> = (0_u32..86).flat_map(|place| (place * 4).to_le_bytes()).collect();
        let faults = Faults::parse(&bytes).unwrap();
        assert_eq!((faults.all, faults.pages_written, faults.system_calls), (60, 96, 308));
        assert_eq!(Faults::parse(&bytes[..312]), Some(faults));
        assert_eq!(Faults::parse(&bytes[..311]), None);
        assert_eq!(Faults::parse(&[]), None);
    }
}
