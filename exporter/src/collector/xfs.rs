//! Operations of XFS filesystems, from `/sys/fs/xfs/<device>/stats/stats`.
//!
//! Lines and their numbers: <https://xfs.org/index.php/Runtime_Stats>

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Xfs {
    filesystems: PathBuf,
}

/// The families (name, help) of a line, in the order of its numbers.
type Line = (&'static [u8], &'static [(&'static str, &'static str)]);

const LINES: [Line; 8] = [
    (
        b"extent_alloc",
        &[
            (
                "node_xfs_extent_allocation_extents_allocated_total",
                "Number of extents allocated for a filesystem.",
            ),
            (
                "node_xfs_extent_allocation_blocks_allocated_total",
                "Number of blocks allocated for a filesystem.",
            ),
            (
                "node_xfs_extent_allocation_extents_freed_total",
                "Number of extents freed for a filesystem.",
            ),
            (
                "node_xfs_extent_allocation_blocks_freed_total",
                "Number of blocks freed for a filesystem.",
            ),
        ],
    ),
    (
        b"abt",
        &[
            (
                "node_xfs_allocation_btree_lookups_total",
                "Number of allocation B-tree lookups for a filesystem.",
            ),
            (
                "node_xfs_allocation_btree_compares_total",
                "Number of allocation B-tree compares for a filesystem.",
            ),
            (
                "node_xfs_allocation_btree_records_inserted_total",
                "Number of allocation B-tree records inserted for a filesystem.",
            ),
            (
                "node_xfs_allocation_btree_records_deleted_total",
                "Number of allocation B-tree records deleted for a filesystem.",
            ),
        ],
    ),
    (
        b"blk_map",
        &[
            (
                "node_xfs_block_mapping_reads_total",
                "Number of block map for read operations for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_writes_total",
                "Number of block map for write operations for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_unmaps_total",
                "Number of block unmaps (deletes) for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_extent_list_insertions_total",
                "Number of extent list insertions for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_extent_list_deletions_total",
                "Number of extent list deletions for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_extent_list_lookups_total",
                "Number of extent list lookups for a filesystem.",
            ),
            (
                "node_xfs_block_mapping_extent_list_compares_total",
                "Number of extent list compares for a filesystem.",
            ),
        ],
    ),
    (
        b"bmbt",
        &[
            (
                "node_xfs_block_map_btree_lookups_total",
                "Number of block map B-tree lookups for a filesystem.",
            ),
            (
                "node_xfs_block_map_btree_compares_total",
                "Number of block map B-tree compares for a filesystem.",
            ),
            (
                "node_xfs_block_map_btree_records_inserted_total",
                "Number of block map B-tree records inserted for a filesystem.",
            ),
            (
                "node_xfs_block_map_btree_records_deleted_total",
                "Number of block map B-tree records deleted for a filesystem.",
            ),
        ],
    ),
    (
        b"dir",
        &[
            (
                "node_xfs_directory_operation_lookup_total",
                "Number of file name directory lookups which miss the operating systems directory name lookup cache.",
            ),
            (
                "node_xfs_directory_operation_create_total",
                "Number of times a new directory entry was created for a filesystem.",
            ),
            (
                "node_xfs_directory_operation_remove_total",
                "Number of times an existing directory entry was created for a filesystem.",
            ),
            (
                "node_xfs_directory_operation_getdents_total",
                "Number of times the directory getdents operation was performed for a filesystem.",
            ),
        ],
    ),
    (
        b"ig",
        &[
            (
                "node_xfs_inode_operation_attempts_total",
                "Number of times the OS looked for an XFS inode in the inode cache.",
            ),
            (
                "node_xfs_inode_operation_found_total",
                "Number of times the OS looked for and found an XFS inode in the inode cache.",
            ),
            (
                "node_xfs_inode_operation_recycled_total",
                "Number of times the OS found an XFS inode in the cache, but could not use it as it was being recycled.",
            ),
            (
                "node_xfs_inode_operation_missed_total",
                "Number of times the OS looked for an XFS inode in the cache, but did not find it.",
            ),
            (
                "node_xfs_inode_operation_duplicates_total",
                "Number of times the OS tried to add a missing XFS inode to the inode cache, but found it had already been added by another process.",
            ),
            (
                "node_xfs_inode_operation_reclaims_total",
                "Number of times the OS reclaimed an XFS inode from the inode cache to free memory for another purpose.",
            ),
            (
                "node_xfs_inode_operation_attribute_changes_total",
                "Number of times the OS explicitly changed the attributes of an XFS inode.",
            ),
        ],
    ),
    (
        b"rw",
        &[
            (
                "node_xfs_write_calls_total",
                "Number of write(2) system calls made to files in a filesystem.",
            ),
            (
                "node_xfs_read_calls_total",
                "Number of read(2) system calls made to files in a filesystem.",
            ),
        ],
    ),
    (
        b"vnodes",
        &[
            ("node_xfs_vnode_active_total", "Number of vnodes not on free lists for a filesystem."),
            ("node_xfs_vnode_allocate_total", "Number of times vn_alloc called for a filesystem."),
            ("node_xfs_vnode_get_total", "Number of times vn_get called for a filesystem."),
            ("node_xfs_vnode_hold_total", "Number of times vn_hold called for a filesystem."),
            ("node_xfs_vnode_release_total", "Number of times vn_rele called for a filesystem."),
            ("node_xfs_vnode_reclaim_total", "Number of times vn_reclaim called for a filesystem."),
            ("node_xfs_vnode_remove_total", "Number of times vn_remove called for a filesystem."),
        ],
    ),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(Xfs { filesystems: setup.host.sys("fs/xfs") }))
}

impl Collector for Xfs {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names =
            host::names(&self.filesystems).map_err(|err| err.or_no_data("XFS filesystem"))?;
        for device in names {
            let stats = self.filesystems.join(&device).join("stats/stats");
            // `stats` and `error` lie there too, and a filesystem may be unmounted at any time.
            let Ok(text) = host::attribute(&stats) else { continue };
            for line in scan::lines(&text) {
                let mut fields = scan::fields(line);
                let Some(word) = fields.next() else { continue };
                let Some((_, families)) = LINES.iter().find(|(known, _)| *known == word) else {
                    continue;
                };
                for ((name, help), value) in families.iter().zip(fields.map_while(scan::f64)) {
                    out.family(name, help, Kind::Counter).sample(&[("device", &device)], value);
                }
            }
        }
        Ok(())
    }
}
