//! A made-up Mac through all collectors.

use proto::exposition::Exposition;

use super::{super::golden, cpu, diskstats, filesystem, loadavg, meminfo, netdev, os, time, uname};

fn mounts() -> Vec<filesystem::Mount> {
    let system = filesystem::Mount {
        device: "/dev/disk3s1s1".to_owned(),
        mount_point: "/".to_owned(),
        fs_type: "apfs".to_owned(),
        is_read_only: true,
        size: 494_384_795_648,
        free: 60_000_000_000,
        available: 50_000_000_000,
        n_files: 404_167,
        n_files_free: 400_000,
    };
    let data = filesystem::Mount {
        device: "/dev/disk3s5".to_owned(),
        mount_point: "/System/Volumes/Data".to_owned(),
        is_read_only: false,
        ..system.clone()
    };
    vec![system, data]
}

#[test]
fn everything_is_as_in_the_golden_file() {
    let mut out = Exposition::new();
    let busy = cpu::Ticks { user: 12_345, system: 678, idle: u32::MAX, nice: 0 };
    cpu::write(&[busy, cpu::Ticks::default()], &mut out);
    let disk = diskstats::Disk { device: "disk3".to_owned(), read: 4_096, written: 8_192 };
    diskstats::write(&[disk], &mut out);
    filesystem::write(&mounts(), &mut out);
    loadavg::write(&[1.5, 1.25, 0.75], &mut out);
    loadavg::write_boot_time(&1_700_000_000, &mut out);
    let pages = meminfo::Pages {
        active: 1,
        compressed: 2,
        free: 3,
        inactive: 4,
        internal: 5,
        purgeable: 6,
        wired: 7,
        page_ins: 8,
        page_outs: 9,
    };
    let facts = meminfo::Facts {
        page_bytes: 16_384,
        pages,
        total: 16 << 30,
        swap_total: 2 << 30,
        swap_used: 1 << 30,
    };
    meminfo::write(&facts, &mut out);
    let wire = netdev::Device {
        name: "en0".to_owned(),
        receive_bytes: 1,
        receive_errs: 2,
        receive_packets: 3,
        transmit_bytes: 4,
        transmit_errs: 5,
        transmit_packets: 6,
    };
    netdev::write(&[wire], &mut out);
    let release =
        os::Release { name: "macOS".into(), version: "14.5".into(), build: "23F79".into() };
    os::write(&release, &mut out);
    time::write(&time::Facts { seconds: 1.5, zone: Some(("CET".into(), 3_600)) }, &mut out);
    let facts = uname::Facts {
        sysname: "Darwin".to_owned(),
        release: "23.5.0".to_owned(),
        version: "Darwin Kernel Version 23.5.0".to_owned(),
        machine: "arm64".to_owned(),
        nodename: "mini.example.org".to_owned(),
    };
    uname::write(&facts, &mut out);
    golden::check("golden_darwin.txt", &out.to_text());
}
