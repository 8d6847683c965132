//! Calls of macOS that no safe crate of ours wraps. All `unsafe` code for macOS is here, but for the time zone.
//!
//! Each function makes one call, checks what it returns, and copies the answer into plain values before it returns.

#![expect(unsafe_code, reason = "these calls have no safe wrapper among our dependencies")]

use std::{
    ffi::{CStr, c_char},
    io,
    mem::MaybeUninit,
    ptr, slice,
};

use super::super::{cpu::Ticks, filesystem::Mount, meminfo::Pages};

/// More filesystems than anybody mounts; each takes 2 kB.
const MOUNTS_MAX: usize = 10_000;

/// The right to ask the kernel about this machine, which is kept: each asking for it counts as another.
#[derive(Debug)]
pub(super) struct Host(libc::mach_port_t);

impl Host {
    pub(super) fn open() -> Self {
        #[expect(deprecated, reason = "a further crate for one function is not worth it")]
        // SAFETY: the call takes nothing and touches no memory of ours.
        Self(unsafe { libc::mach_host_self() })
    }

    /// What each processor spent its time with.
    pub(super) fn processors(&self) -> io::Result<Vec<Ticks>> {
        let (mut n_processors, mut n_words) = (0, 0);
        let mut info: libc::processor_info_array_t = ptr::null_mut();
        // SAFETY: the three pointers are valid for writes.
        let status = unsafe {
            libc::host_processor_info(
                self.0,
                libc::PROCESSOR_CPU_LOAD_INFO,
                &raw mut n_processors,
                &raw mut info,
                &raw mut n_words,
            )
        };
        check(status)?;
        // SAFETY: the call did not fail, so `info` points to `n_words` words until they are given back below.
        let words = unsafe { slice::from_raw_parts(info, n_words as usize) };
        let tick = |row: &[libc::integer_t], state: libc::c_int| row[state as usize] as u32;
        let all = words.chunks_exact(libc::CPU_STATE_MAX as usize).map(|row| Ticks {
            user: tick(row, libc::CPU_STATE_USER),
            system: tick(row, libc::CPU_STATE_SYSTEM),
            idle: tick(row, libc::CPU_STATE_IDLE),
            nice: tick(row, libc::CPU_STATE_NICE),
        });
        let all = all.collect();
        let bytes = n_words as usize * size_of::<libc::integer_t>();
        #[expect(deprecated, reason = "a further crate for one function is not worth it")]
        // SAFETY: the kernel gave this memory to our task, and no word is used from here on.
        unsafe {
            libc::vm_deallocate(libc::mach_task_self(), info.addr(), bytes);
        }
        Ok(all)
    }

    /// How memory is divided.
    pub(super) fn pages(&self) -> io::Result<Pages> {
        let mut info = MaybeUninit::<libc::vm_statistics64>::zeroed();
        let mut n_words = libc::HOST_VM_INFO64_COUNT;
        // SAFETY: `info` is valid for writes of `n_words` words.
        let status = unsafe {
            libc::host_statistics64(
                self.0,
                libc::HOST_VM_INFO64,
                info.as_mut_ptr().cast(),
                &raw mut n_words,
            )
        };
        check(status)?;
        // SAFETY: zeroed before, and numbers only.
        let info = unsafe { info.assume_init() };
        Ok(Pages {
            active: info.active_count.into(),
            compressed: info.compressor_page_count.into(),
            free: info.free_count.into(),
            inactive: info.inactive_count.into(),
            internal: info.internal_page_count.into(),
            purgeable: info.purgeable_count.into(),
            wired: info.wire_count.into(),
            page_ins: info.pageins,
            page_outs: info.pageouts,
        })
    }
}

/// All mounted filesystems, as the kernel remembers them: no server is asked, so that none can hold us up.
pub(super) fn mounts() -> io::Result<Vec<Mount>> {
    // SAFETY: null asks for the number of filesystems only.
    let n_mounted = unsafe { libc::getfsstat(ptr::null_mut(), 0, libc::MNT_NOWAIT) };
    let n_mounted = usize::try_from(n_mounted).map_err(|_| io::Error::last_os_error())?;
    // Some more, for those that are mounted meanwhile.
    let mut all: Vec<libc::statfs> = Vec::with_capacity((n_mounted + 8).min(MOUNTS_MAX));
    let bytes = all.capacity() * size_of::<libc::statfs>();
    let bytes = libc::c_int::try_from(bytes).expect("20 MB fit");
    // SAFETY: the vector's memory is valid for writes of `bytes`.
    let n_filled = unsafe { libc::getfsstat(all.as_mut_ptr(), bytes, libc::MNT_NOWAIT) };
    let n_filled = usize::try_from(n_filled).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the call filled so many, which is not more than there is room for.
    unsafe { all.set_len(n_filled.min(all.capacity())) };
    Ok(all.iter().map(mount).collect())
}

fn mount(stat: &libc::statfs) -> Mount {
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_bsize.into());
    Mount {
        device: text(&stat.f_mntfromname),
        mount_point: text(&stat.f_mntonname),
        fs_type: text(&stat.f_fstypename),
        is_read_only: stat.f_flags & libc::MNT_RDONLY as u32 != 0,
        size: bytes(stat.f_blocks),
        free: bytes(stat.f_bfree),
        available: bytes(stat.f_bavail),
        n_files: stat.f_files,
        n_files_free: stat.f_ffree,
    }
}

/// Text in an array, up to its zero.
fn text(characters: &[c_char]) -> String {
    // SAFETY: both types are one byte; the length is the same.
    let bytes =
        unsafe { slice::from_raw_parts(characters.as_ptr().cast::<u8>(), characters.len()) };
    let text = CStr::from_bytes_until_nul(bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// Turns a status of Mach into an error.
fn check(status: libc::kern_return_t) -> io::Result<()> {
    match status {
        libc::KERN_SUCCESS => Ok(()),
        status => Err(io::Error::other(format!("the kernel answered {status}"))),
    }
}
