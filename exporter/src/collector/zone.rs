//! The local time zone's name and offset, which Rust's standard library does not know.

#![expect(unsafe_code, reason = "localtime_r has no safe wrapper among our dependencies")]

use std::{ffi::CStr, mem::MaybeUninit};

/// The zone's abbreviation and its seconds east of Greenwich at a moment given in seconds since the Unix epoch.
pub(super) fn local(unix_seconds: i64) -> Option<(String, i32)> {
    let seconds: libc::time_t = unix_seconds;
    let mut broken_down = MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, and localtime_r keeps neither.
    let filled = unsafe { libc::localtime_r(&raw const seconds, broken_down.as_mut_ptr()) };
    if filled.is_null() {
        return None;
    }
    // SAFETY: localtime_r did not fail, so it has filled the struct, which was zeroed before.
    let broken_down = unsafe { broken_down.assume_init() };
    if broken_down.tm_zone.is_null() {
        return None;
    }
    // SAFETY: tm_zone points to a zero-terminated string that lives until the zone is changed by tzset in another
    // thread; nothing in this program calls that, and localtime_r itself loads the zone only once.
    let name = unsafe { CStr::from_ptr(broken_down.tm_zone) };
    Some((name.to_str().ok()?.to_owned(), broken_down.tm_gmtoff as i32))
}

#[cfg(test)]
mod tests {
    #[test]
    fn offsets_are_less_than_a_day() {
        let (name, offset) = super::local(0).unwrap();
        assert!(!name.is_empty());
        assert!(offset.abs() <= 86_400);
    }
}
