//! The system clock.

use std::time::{SystemTime, UNIX_EPOCH};

use proto::exposition::Exposition;

pub(super) fn write(now: &SystemTime, out: &mut Exposition) {
    // A clock before 1970 shows as 0.
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.gauge(
        "windows_time_current_timestamp_seconds",
        "OperatingSystem.LocalDateTime",
        since.as_secs_f64(),
    );
}
