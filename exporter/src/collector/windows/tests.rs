//! A made-up Windows through all collectors.

use std::time::{Duration, UNIX_EPOCH};

use proto::exposition::Exposition;

use super::{
    super::golden,
    cpu, cs, logical_disk, memory, net,
    os::{self, Names},
    pagefile, service, system, time,
};

const SECOND: u64 = 10_000_000;

fn cpu_facts() -> cpu::Facts {
    let first = cpu::Processor {
        idle: 90 * SECOND,
        kernel: 97 * SECOND,
        user: 3 * SECOND + SECOND / 2,
        dpc: SECOND,
        interrupt: 2 * SECOND,
        n_interrupts: 12_345,
        ..cpu::Processor::default()
    };
    // A kernel that tells less than it idled: nonsense, and no negative number.
    let odd = cpu::Processor { group: 1, number: 3, idle: 5 * SECOND, kernel: 4 * SECOND, ..first };
    cpu::Facts { processors: vec![first, odd], frequencies: vec![2400, 0] }
}

fn memory_facts() -> memory::Facts {
    memory::Facts {
        physical_total: 16 << 30,
        physical_available: 9 << 30,
        committed: 8 << 30,
        commit_limit: 20 << 30,
        cache: 1 << 30,
        pool_paged: 300 << 20,
        pool_nonpaged: 200 << 20,
        faults: Some(memory::Faults {
            all: u32::MAX,
            write_copies: 1,
            transitions: 2,
            demand_zero: 3,
            pages_read: 4,
            page_reads: 5,
            pages_written: 6,
            page_writes: 7,
            context_switches: 8,
            system_calls: 9,
        }),
    }
}

fn volumes() -> Vec<logical_disk::Volume> {
    let system = logical_disk::Volume {
        path: r"C:\".to_owned(),
        label: "System \"1\"".to_owned(),
        filesystem: "NTFS".to_owned(),
        size: 500_000_000_000,
        free: 123_456_789_012,
        traffic: Some((1_000, 2_000)),
        ..logical_disk::Volume::default()
    };
    let folder = logical_disk::Volume {
        path: r"C:\data\".to_owned(),
        label: String::new(),
        is_removable: true,
        is_read_only: true,
        traffic: None,
        ..system.clone()
    };
    vec![system, folder]
}

fn interfaces() -> Vec<net::Interface> {
    let wire = net::Interface {
        description: "Intel(R) 82574L Gigabit Network Connection #2".to_owned(),
        alias: "Ethernet".to_owned(),
        mac: vec![0, 0x15, 0x5d, 1, 2, 0xff],
        status: 1,
        bits_per_second: Some(1_000_000_000),
        bytes_received: 10,
        bytes_sent: 11,
        packets_received: 12,
        packets_sent: 13,
        received_discarded: 14,
        received_errors: 15,
        received_unknown: 16,
        outbound_discarded: 17,
        outbound_errors: 18,
        output_queue: 19,
    };
    let tunnel = net::Interface {
        description: "Teredo".to_owned(),
        mac: Vec::new(),
        status: 6,
        bits_per_second: None,
        bytes_received: u64::MAX,
        ..wire.clone()
    };
    vec![wire, tunnel]
}

fn services() -> Vec<service::Service> {
    let running = service::Service {
        name: "Spooler".to_owned(),
        state: 4,
        process_id: 1234,
        config: Some(service::Config {
            display_name: "Print Spooler".to_owned(),
            run_as: "LocalSystem".to_owned(),
            path: r"C:\Windows\System32\spoolsv.exe".to_owned(),
            start_mode: 2,
        }),
        started_at: Some(1_700_000_100),
    };
    let guarded =
        service::Service { name: "Guarded".to_owned(), state: 1, ..service::Service::default() };
    vec![running, guarded]
}

#[test]
fn everything_is_as_in_the_golden_file() {
    let mut out = Exposition::new();
    cpu::write(&cpu_facts(), &mut out);
    memory::write(&memory_facts(), &mut out);
    logical_disk::write(&volumes(), &mut out);
    net::write(&interfaces(), &mut out);
    service::write(&services(), &mut out);
    let page_file = pagefile::PageFile {
        path: r"\??\C:\pagefile.sys".to_owned(),
        size: 4 << 30,
        used: 1 << 30,
    };
    pagefile::write(&[page_file], &mut out);
    let names = Names { hostname: "build-7".to_owned(), domain: "example.org".to_owned() };
    let facts = os::Facts {
        product: "Windows 10 Pro ".to_owned(),
        major: 10,
        minor: 0,
        build: 22_631,
        revision: Some(3_447),
        installation_type: "Client".to_owned(),
        installed_at: Some(1_690_000_000),
        names: names.clone(),
    };
    os::write(&facts, &mut out);
    let facts = cs::Facts { names, n_processors: 2, physical_bytes: 16 << 30 };
    cs::write(&facts, &mut out);
    let facts = system::Facts {
        n_processes: 211,
        n_threads: 2_345,
        booted_at: 1_700_000_000,
        n_context_switches: Some(8),
        n_system_calls: Some(9),
    };
    system::write(&facts, &mut out);
    time::write(&(UNIX_EPOCH + Duration::from_millis(1_700_000_500_250)), &mut out);
    golden::check("golden_windows.txt", &out.to_text());
}

#[test]
fn what_is_not_known_is_left_out() {
    let mut out = Exposition::new();
    cpu::write(&cpu::Facts { frequencies: vec![1], ..cpu_facts() }, &mut out);
    memory::write(&memory::Facts::default(), &mut out);
    system::write(&system::Facts::default(), &mut out);
    let names = Names { hostname: "alone".to_owned(), domain: String::new() };
    os::write(&os::Facts { names, build: 19_045, ..os::Facts::default() }, &mut out);
    let text = out.to_text();
    for absent in
        ["core_frequency", "page_faults", "context_switches", "system_calls", "install_time"]
    {
        assert!(!text.contains(absent), "{absent}");
    }
    assert!(text.contains(r#"fqdn="alone""#), "{text}");
}
