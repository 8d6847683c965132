//! PostgreSQL's settings: for one application that writes steadily and reads in bursts, on a machine that has other work.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Durability, ManagedError, account::Account, binaries::Binaries, folder::Folder};

/// Read by `postgresql.conf`, written anew at each start. `ALTER SYSTEM` wins over it.
const FILE: &str = "watchpost.conf";

/// Lets `postgresql.conf` read our file. Once, right after the data folder was made.
pub(super) fn include(data: &Path) -> Result<(), ManagedError> {
    let path = data.join("postgresql.conf");
    let failed = |source| ManagedError::Folder { path: path.clone(), source };
    let mut text = fs::read_to_string(&path).map_err(failed)?;
    text.push_str(
        "\n# Watchpost's settings; your own ones belong into ALTER SYSTEM, which wins.\n",
    );
    writeln!(text, "include_if_exists = '{FILE}'").expect("writing to a String cannot fail");
    fs::write(&path, text).map_err(failed)
}

/// Writes our settings file.
pub(super) fn write(
    binaries: &Binaries,
    folder: &Folder,
    account: Option<&Account>,
    durability: Durability,
) -> Result<(), ManagedError> {
    let compressions = Compressions {
        wal: accepts(binaries, folder, account, "wal_compression=lz4"),
        toast: accepts(binaries, folder, account, "default_toast_compression=lz4"),
    };
    let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_memory_mb(&text));
    let text = render(memory, compressions, &folder.log_dir(), durability);
    let path = folder.data().join(FILE);
    fs::write(&path, text).map_err(|source| ManagedError::Folder { path: path.clone(), source })?;
    account.map_or(Ok(()), |account| account.own(&path))
}

/// What this build of PostgreSQL compresses with lz4: it is a build option, and the WAL learned it in version 15.
#[derive(Clone, Copy, Debug)]
struct Compressions {
    wal: bool,
    toast: bool,
}

/// Whether PostgreSQL takes this setting: it is asked to print the value and do nothing else.
fn accepts(binaries: &Binaries, folder: &Folder, account: Option<&Account>, setting: &str) -> bool {
    let name = setting.split('=').next().unwrap_or(setting);
    let mut command = Command::new(binaries.postgres());
    command.args(["-C", name, "-c", setting, "-D"]).arg(folder.data());
    command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Some(account) = account {
        account.apply(&mut command);
    }
    command.status().is_ok_and(|status| status.success())
}

fn render(
    memory_mb: Option<u64>,
    compressions: Compressions,
    log_dir: &Path,
    durability: Durability,
) -> String {
    let memory_mb = memory_mb.unwrap_or(2048);
    let shared_buffers_mb = (memory_mb / 16).clamp(32, 512);
    let cache_mb = (memory_mb / 2).max(shared_buffers_mb);
    let log_dir = log_dir.display().to_string().replace('\'', "''");
    let mut text = format!(
        "# Written by Watchpost at each start: changes here are lost. Use ALTER SYSTEM, which wins over this file.\n\
         cluster_name = 'watchpost'\n\
         max_connections = {}\n\
         # One sixteenth of the memory: the operating system's cache does the rest, and other programs live here too.\n\
         shared_buffers = {shared_buffers_mb}MB\n\
         effective_cache_size = {cache_mb}MB\n\
         work_mem = 8MB\n\
         maintenance_work_mem = 64MB\n\
         # A query may touch a partition for every day that is kept.\n\
         max_locks_per_transaction = 256\n\
         # Short statements over compressed rows never earn back what compiling them costs.\n\
         jit = off\n\
         random_page_cost = 1.1\n\
         # Few, long checkpoints: each makes the pages after it travel through the log in full.\n\
         checkpoint_timeout = 15min\n\
         max_wal_size = 2GB\n\
         min_wal_size = 128MB\n\
         wal_compression = {}\n\
         timezone = 'UTC'\n\
         log_timezone = 'UTC'\n\
         lc_messages = 'C'\n\
         # One file a weekday, overwritten a week later.\n\
         logging_collector = on\n\
         log_directory = '{log_dir}'\n\
         log_filename = 'postgresql-%a.log'\n\
         log_truncate_on_rotation = on\n\
         log_rotation_age = 1d\n\
         log_rotation_size = 0\n\
         log_checkpoints = off\n\
         log_line_prefix = '%m [%p] '\n",
        if durability == Durability::Throwaway { 300 } else { 60 },
        if compressions.wal { "lz4" } else { "on" },
    );
    if compressions.toast {
        text.push_str("default_toast_compression = lz4\n");
    }
    match durability {
        Durability::Full => {
            text.push_str("# An acknowledged sample is on the disk.\nfsync = on\nsynchronous_commit = on\n");
        }
        Durability::Throwaway => text.push_str(
            "# For tests: nothing here needs to survive a crash.\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\n",
        ),
    }
    text
}

/// `MemTotal` of `/proc/meminfo`.
fn total_memory_mb(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? / 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_fairly() {
        assert_eq!(total_memory_mb("MemTotal:       16384000 kB\nMemFree: 1 kB\n"), Some(16000));
        assert_eq!(total_memory_mb("MemFree: 1 kB\n"), None);
        let lz4 = Compressions { wal: true, toast: true };
        for (memory, shared) in
            [(Some(512), 32), (Some(4096), 256), (Some(1 << 20), 512), (None, 128)]
        {
            let text = render(memory, lz4, Path::new("/log"), Durability::Full);
            assert!(text.contains(&format!("\nshared_buffers = {shared}MB\n")), "{text}");
            assert!(text.contains("\nsynchronous_commit = on\n"), "{text}");
        }
    }

    #[test]
    fn quotes_in_paths_are_doubled() {
        let none = Compressions { wal: false, toast: false };
        let text = render(None, none, Path::new("/it's/log"), Durability::Throwaway);
        assert!(text.contains("log_directory = '/it''s/log'") && !text.contains("lz4"), "{text}");
    }
}
