//! Calls of Windows that no safe crate of ours wraps. All `unsafe` code for Windows is here.
//!
//! Each function makes one call, checks what it returns, and copies the answer into plain values before it returns.

#![expect(unsafe_code, reason = "these calls have no safe wrapper among our dependencies")]

use std::{ffi::c_void, io, ptr, slice};

use windows_sys::{
    Wdk::System::SystemInformation::{
        NtQuerySystemInformation, SYSTEM_INFORMATION_CLASS, SystemPerformanceInformation,
        SystemProcessorPerformanceInformation,
    },
    Win32::{
        Foundation::{CloseHandle, ERROR_MORE_DATA, FILETIME, RtlNtStatusToDosError},
        NetworkManagement::IpHelper::{FreeMibTable, GetIfTable2, MIB_IF_ROW2, MIB_IF_TABLE2},
        System::{
            ProcessStatus::{
                ENUM_PAGE_FILE_INFORMATION, K32EnumPageFilesW, K32GetPerformanceInfo,
                PERFORMANCE_INFORMATION,
            },
            Services::{
                CloseServiceHandle, ENUM_SERVICE_STATUS_PROCESSW, EnumServicesStatusExW,
                OpenSCManagerW, SC_ENUM_PROCESS_INFO, SC_MANAGER_ENUMERATE_SERVICE,
                SERVICE_STATE_ALL, SERVICE_WIN32,
            },
            Threading::{
                GetActiveProcessorGroupCount, GetProcessTimes, OpenProcess,
                PROCESS_QUERY_LIMITED_INFORMATION,
            },
            WindowsProgramming::SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION,
        },
    },
};

use super::super::{
    cpu::Processor, memory::Faults, net::Interface, pagefile::PageFile, service::Service,
};

/// A group has at most 64 processors.
const GROUP_MAX: usize = 64;
/// The most that Windows gives at a time: some thousand services.
const SERVICES_BYTES: usize = 256 << 10;
/// A machine with more services is out of order.
const SERVICES_MAX: usize = 50_000;
/// The seconds from 1601, where Windows begins to count, to 1970.
const UNIX_EPOCH_SECONDS: u64 = 11_644_473_600;

#[link(name = "ntdll")]
unsafe extern "system" {
    /// Since Windows 7; the input is the number of a processor group.
    fn NtQuerySystemInformationEx(
        class: SYSTEM_INFORMATION_CLASS,
        input: *const c_void,
        input_bytes: u32,
        output: *mut c_void,
        output_bytes: u32,
        returned_bytes: *mut u32,
    ) -> i32;
}

/// What each processor spent its time with.
pub(super) fn processors() -> io::Result<Vec<Processor>> {
    // SAFETY: the call takes nothing and touches no memory of ours.
    let n_groups = unsafe { GetActiveProcessorGroupCount() }.max(1);
    let mut all = Vec::new();
    for group in 0..n_groups {
        let mut rows = [SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION::default(); GROUP_MAX];
        let (output, bytes) = (rows.as_mut_ptr().cast(), size_of_val(&rows) as u32);
        let mut returned = 0;
        let class = SystemProcessorPerformanceInformation;
        let status = if n_groups == 1 {
            // SAFETY: `output` is valid for writes of `bytes`, and any bytes make valid rows.
            unsafe { NtQuerySystemInformation(class, output, bytes, &raw mut returned) }
        } else {
            let input = (&raw const group).cast();
            // SAFETY: as above; `input` is valid for reads of the two bytes of a group's number.
            unsafe { NtQuerySystemInformationEx(class, input, 2, output, bytes, &raw mut returned) }
        };
        check(status)?;
        let n_rows = returned as usize / size_of::<SYSTEM_PROCESSOR_PERFORMANCE_INFORMATION>();
        all.extend(rows.iter().take(n_rows).enumerate().map(|(number, row)| Processor {
            group,
            number,
            idle: row.IdleTime as u64,
            kernel: row.KernelTime as u64,
            user: row.UserTime as u64,
            dpc: row.Reserved1[0] as u64,
            interrupt: row.Reserved1[1] as u64,
            n_interrupts: u64::from(row.Reserved2),
        }));
    }
    Ok(all)
}

/// How often memory was faulted in and threads were switched; `None` where the answer is of an unknown form.
pub(super) fn faults() -> io::Result<Option<Faults>> {
    // Larger than what any Windows up to 11 answers; aligned for its 64-bit fields.
    let mut answer = [0_u64; 128];
    let (output, bytes) = (answer.as_mut_ptr(), size_of_val(&answer));
    let mut returned = 0;
    // SAFETY: `output` is valid for writes of `bytes`.
    let status = unsafe {
        NtQuerySystemInformation(
            SystemPerformanceInformation,
            output.cast(),
            bytes as u32,
            &raw mut returned,
        )
    };
    check(status)?;
    let n_bytes = (returned as usize).min(bytes);
    // SAFETY: the array is initialized, lives on, and has at least `n_bytes`.
    let answer = unsafe { slice::from_raw_parts(output.cast_const().cast::<u8>(), n_bytes) };
    Ok(Faults::parse(answer))
}

/// Memory in pages, and how many processes and threads there are.
pub(super) fn performance() -> io::Result<PERFORMANCE_INFORMATION> {
    let mut info = PERFORMANCE_INFORMATION::default();
    info.cb = size_of_val(&info) as u32;
    // SAFETY: `info` is valid for writes of the size given.
    match unsafe { K32GetPerformanceInfo(&raw mut info, info.cb) } {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(info),
    }
}

/// All paging files, sizes in bytes.
pub(super) fn page_files(page_bytes: u64) -> io::Result<Vec<PageFile>> {
    /// Adds one file to the vector behind `context`.
    unsafe extern "system" fn add(
        context: *mut c_void,
        info: *mut ENUM_PAGE_FILE_INFORMATION,
        name: *const u16,
    ) -> i32 {
        // SAFETY: `context` is the vector given below, which nobody else uses during the call; `info` and `name` are
        // valid until we return.
        let (files, info) = unsafe { (&mut *context.cast::<Vec<PageFile>>(), &*info) };
        files.push(PageFile {
            // SAFETY: as above, and the name ends with a zero.
            path: unsafe { text(name) },
            size: info.TotalSize as u64,
            used: info.TotalInUse as u64,
        });
        1
    }
    let mut files: Vec<PageFile> = Vec::new();
    // SAFETY: the callback is called during this call only, with the vector as its context.
    if unsafe { K32EnumPageFilesW(Some(add), (&raw mut files).cast()) } == 0 {
        return Err(io::Error::last_os_error());
    }
    for file in &mut files {
        file.size = file.size.saturating_mul(page_bytes);
        file.used = file.used.saturating_mul(page_bytes);
    }
    Ok(files)
}

/// All network interfaces but loopback and filters, which repeat what passes through the interface below them.
pub(super) fn interfaces() -> io::Result<Vec<Interface>> {
    /// `IF_TYPE_SOFTWARE_LOOPBACK`
    const LOOPBACK: u32 = 24;
    /// The bit `FilterInterface` of `InterfaceAndOperStatusFlags`.
    const FILTER: u8 = 0b10;
    let mut table: *mut MIB_IF_TABLE2 = ptr::null_mut();
    // SAFETY: `table` is valid for the write of one pointer.
    let error = unsafe { GetIfTable2(&raw mut table) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error as i32));
    }
    // SAFETY: the call did not fail, so `table` points to `NumEntries` rows until it is freed below.
    let rows = unsafe {
        let first: *const MIB_IF_ROW2 = (&raw const (*table).Table).cast();
        slice::from_raw_parts(first, (*table).NumEntries as usize)
    };
    let shown = rows.iter().filter(|row| {
        row.Type != LOOPBACK && row.InterfaceAndOperStatusFlags._bitfield & FILTER == 0
    });
    let interfaces = shown.map(interface).collect();
    // SAFETY: `table` came from GetIfTable2, and no row is used from here on.
    unsafe { FreeMibTable(table.cast()) };
    Ok(interfaces)
}

fn interface(row: &MIB_IF_ROW2) -> Interface {
    let mac_bytes = (row.PhysicalAddressLength as usize).min(row.PhysicalAddress.len());
    Interface {
        description: until_zero(&row.Description),
        alias: until_zero(&row.Alias),
        mac: row.PhysicalAddress[..mac_bytes].to_vec(),
        status: row.OperStatus as u32,
        // All ones and 0 stand for unknown.
        bits_per_second: Some(row.TransmitLinkSpeed).filter(|speed| ![0, u64::MAX].contains(speed)),
        bytes_received: row.InOctets,
        bytes_sent: row.OutOctets,
        packets_received: row.InUcastPkts.wrapping_add(row.InNUcastPkts),
        packets_sent: row.OutUcastPkts.wrapping_add(row.OutNUcastPkts),
        received_discarded: row.InDiscards,
        received_errors: row.InErrors,
        received_unknown: row.InUnknownProtos,
        outbound_discarded: row.OutDiscards,
        outbound_errors: row.OutErrors,
        output_queue: row.OutQLen,
    }
}

/// All services with their states, without their configuration.
pub(super) fn services() -> io::Result<Vec<Service>> {
    // SAFETY: null stands for this machine and its active database.
    let manager = unsafe { OpenSCManagerW(ptr::null(), ptr::null(), SC_MANAGER_ENUMERATE_SERVICE) };
    if manager.is_null() {
        return Err(io::Error::last_os_error());
    }
    let mut all = Vec::new();
    // Aligned for rows. Names stand behind the rows in the same memory.
    let mut memory = vec![0_u64; SERVICES_BYTES / size_of::<u64>()];
    let mut resume = 0;
    let outcome = loop {
        let (mut missing_bytes, mut n_rows) = (0, 0);
        // SAFETY: `memory` is valid for writes of its size, the other pointers for one number; the handle is open.
        let done = unsafe {
            EnumServicesStatusExW(
                manager,
                SC_ENUM_PROCESS_INFO,
                SERVICE_WIN32,
                SERVICE_STATE_ALL,
                memory.as_mut_ptr().cast(),
                SERVICES_BYTES as u32,
                &raw mut missing_bytes,
                &raw mut n_rows,
                &raw mut resume,
                ptr::null(),
            )
        };
        let error = io::Error::last_os_error();
        let has_more = done == 0 && error.raw_os_error() == Some(ERROR_MORE_DATA as i32);
        if done == 0 && !has_more {
            break Err(error);
        }
        let rows: *const ENUM_SERVICE_STATUS_PROCESSW = memory.as_ptr().cast();
        // SAFETY: the call filled so many rows, whose names are in `memory` too.
        let rows = unsafe { slice::from_raw_parts(rows, n_rows as usize) };
        // SAFETY: as above, and names end with a zero.
        all.extend(rows.iter().map(|row| unsafe { service(row) }));
        if !has_more {
            break Ok(all);
        }
        if rows.is_empty() || all.len() > SERVICES_MAX {
            break Err(error);
        }
    };
    // SAFETY: the handle is open and not used from here on.
    unsafe { CloseServiceHandle(manager) };
    outcome
}

/// # Safety
/// The row's name points to text that ends with a zero.
unsafe fn service(row: &ENUM_SERVICE_STATUS_PROCESSW) -> Service {
    Service {
        // SAFETY: as the caller promises.
        name: unsafe { text(row.lpServiceName) },
        state: row.ServiceStatusProcess.dwCurrentState,
        process_id: row.ServiceStatusProcess.dwProcessId,
        config: None,
        started_at: None,
    }
}

/// When a process was started, in seconds since the Unix epoch; `None` where we may not ask.
pub(super) fn process_started_at(id: u32) -> Option<u64> {
    // SAFETY: no memory of ours is passed.
    let process = unsafe { OpenProcess(PROCESS_QUERY_LIMITED_INFORMATION, 0, id) };
    if process.is_null() {
        return None;
    }
    let mut times = [FILETIME::default(); 4];
    let [created, exited, kernel, user] = &mut times;
    // SAFETY: the handle is open, and each pointer valid for the write of one time.
    let done = unsafe { GetProcessTimes(process, created, exited, kernel, user) };
    // SAFETY: the handle is open and not used from here on.
    unsafe { CloseHandle(process) };
    if done == 0 {
        return None;
    }
    let ticks = u64::from(times[0].dwHighDateTime) << 32 | u64::from(times[0].dwLowDateTime);
    (ticks / 10_000_000).checked_sub(UNIX_EPOCH_SECONDS)
}

/// # Safety
/// `start` points to text that ends with a zero.
unsafe fn text(start: *const u16) -> String {
    let mut n_units = 0;
    // SAFETY: no unit behind the zero is read.
    while unsafe { *start.add(n_units) } != 0 {
        n_units += 1;
    }
    // SAFETY: these units were just read.
    String::from_utf16_lossy(unsafe { slice::from_raw_parts(start, n_units) })
}

fn until_zero(units: &[u16]) -> String {
    let end = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
    String::from_utf16_lossy(&units[..end])
}

/// Turns a status of the kernel into an error.
fn check(status: i32) -> io::Result<()> {
    if status >= 0 {
        return Ok(());
    }
    // SAFETY: the call takes a number and touches no memory of ours.
    let code = unsafe { RtlNtStatusToDosError(status) };
    Err(io::Error::from_raw_os_error(code as i32))
}
