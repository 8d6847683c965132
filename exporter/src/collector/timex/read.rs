//! The system call, and its answer as plain numbers.

#![expect(unsafe_code, reason = "adjtimex has no safe wrapper among our dependencies")]

use std::{io, mem::MaybeUninit};

/// What adjtimex(2) says, in the kernel's units.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timex {
    pub(super) synchronized: bool,
    /// `offset` and `jitter` are nanoseconds, else microseconds.
    pub(super) is_nano: bool,
    pub(super) status: i32,
    pub(super) offset: f64,
    pub(super) frequency: f64,
    pub(super) max_error: f64,
    pub(super) estimated_error: f64,
    pub(super) constant: f64,
    pub(super) tick: f64,
    pub(super) pps_frequency: f64,
    pub(super) jitter: f64,
    pub(super) shift: f64,
    pub(super) stability: f64,
    pub(super) jitter_count: f64,
    pub(super) calibration_count: f64,
    pub(super) error_count: f64,
    pub(super) stability_count: f64,
    pub(super) tai: f64,
}

/// Reads and changes nothing.
pub(super) fn timex() -> io::Result<Timex> {
    let mut raw = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is valid for the call, and `modes` being zero means that nothing is set.
    let state = unsafe { libc::adjtimex(raw.as_mut_ptr()) };
    if state == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the struct is made of integers, was zeroed, and the call has succeeded.
    let raw = unsafe { raw.assume_init() };
    Ok(Timex {
        synchronized: state != libc::TIME_ERROR,
        is_nano: raw.status & libc::STA_NANO != 0,
        status: raw.status,
        offset: raw.offset as f64,
        frequency: raw.freq as f64,
        max_error: raw.maxerror as f64,
        estimated_error: raw.esterror as f64,
        constant: raw.constant as f64,
        tick: raw.tick as f64,
        pps_frequency: raw.ppsfreq as f64,
        jitter: raw.jitter as f64,
        shift: f64::from(raw.shift),
        stability: raw.stabil as f64,
        jitter_count: raw.jitcnt as f64,
        calibration_count: raw.calcnt as f64,
        error_count: raw.errcnt as f64,
        stability_count: raw.stbcnt as f64,
        tai: f64::from(raw.tai),
    })
}
