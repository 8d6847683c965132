//! What the registry says about this Windows.

use std::io;

use sysinfo::System;
use windows_registry::{Key, LOCAL_MACHINE};

use super::super::os::{Facts, Names};

const VERSION: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const TCP_IP: &str = r"SYSTEM\CurrentControlSet\Services\Tcpip\Parameters";

/// The version of Windows.
pub(super) fn os() -> io::Result<Facts> {
    let key = LOCAL_MACHINE.open(VERSION).map_err(|err| io::Error::other(err.to_string()))?;
    let text = |name: &str| key.get_string(name).unwrap_or_default();
    let (major, minor) = version(&key);
    Ok(Facts {
        product: text("ProductName"),
        major,
        minor,
        build: text("CurrentBuildNumber").parse().unwrap_or_default(),
        revision: key.get_u32("UBR").ok(),
        installation_type: text("InstallationType"),
        installed_at: key.get_u32("InstallDate").ok().map(u64::from).filter(|at| *at > 0),
        names: names(),
    })
}

/// As numbers since Windows 10, before as text.
fn version(key: &Key) -> (u32, u32) {
    let numbers =
        (key.get_u32("CurrentMajorVersionNumber"), key.get_u32("CurrentMinorVersionNumber"));
    if let (Ok(major), Ok(minor)) = numbers {
        return (major, minor);
    }
    let text = key.get_string("CurrentVersion").unwrap_or_default();
    let mut parts = text.split('.').map(|part| part.parse().unwrap_or_default());
    (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
}

/// The machine's name and its domain.
pub(super) fn names() -> Names {
    let domain = LOCAL_MACHINE.open(TCP_IP).and_then(|key| key.get_string("Domain"));
    Names { hostname: System::host_name().unwrap_or_default(), domain: domain.unwrap_or_default() }
}
