//! This process, where there is no `/proc`.

use std::sync::{Mutex, PoisonError};

use proto::exposition::Exposition;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

/// Keeps its buffers between scrapes.
static SYSTEM: Mutex<Option<System>> = Mutex::new(None);

/// The `process_*` families that this system tells.
pub(super) fn write(out: &mut Exposition) {
    let mut guard = SYSTEM.lock().unwrap_or_else(PoisonError::into_inner);
    if guard.is_none() {
        *guard = System::new().ok();
    }
    let Some(system) = guard.as_mut() else { return };
    let own = Pid::from_u32(std::process::id());
    let what = ProcessRefreshKind::nothing().without_tasks().with_cpu().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[own]), true, what);
    let Some(process) = system.process(own) else { return };
    out.counter(
        "process_cpu_seconds_total",
        "Total user and system CPU time spent in seconds.",
        process.accumulated_cpu_time() as f64 / 1000.0,
    );
    out.gauge(
        "process_resident_memory_bytes",
        "Resident memory size in bytes.",
        process.memory() as f64,
    );
    let virtual_bytes = process.virtual_memory();
    if virtual_bytes > 0 {
        out.gauge(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            virtual_bytes as f64,
        );
    }
    out.gauge(
        "process_start_time_seconds",
        "Start time of the process since unix epoch in seconds.",
        process.start_time() as f64,
    );
}
