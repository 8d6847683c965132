//! Going through all processes: `/proc/<pid>/stat`, one read each.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use crate::{collector::Error, host, scan};

/// More processes than Linux allows (`PID_MAX_LIMIT`).
const PROCESSES_MAX: usize = 1 << 22;

/// What the kernel keeps of a command's name (`TASK_COMM_LEN`, less the byte that ends it).
pub(crate) const COMMAND_BYTES_MAX: usize = 15;

/// Reads processes. Keeps its buffers.
#[derive(Debug)]
pub(crate) struct Processes {
    procfs: PathBuf,
    path: String,
}

/// One process, as `/proc/<pid>/stat` has it; see `proc_pid_stat(5)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat<'a> {
    pub(crate) pid: u32,
    /// The first [`COMMAND_BYTES_MAX`] bytes; of kernel threads more.
    pub(crate) command: &'a [u8],
    /// `R`, `S`, `D`, `Z`, …
    pub(crate) state: u8,
    pub(crate) minor_faults: u64,
    pub(crate) major_faults: u64,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    pub(crate) n_threads: u64,
    /// Since the machine started.
    pub(crate) start_ticks: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) resident_pages: u64,
}

impl Processes {
    pub(crate) fn new(procfs: PathBuf) -> Self {
        Self { procfs, path: String::new() }
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.procfs
    }

    /// Calls `visit` for each process. One that ends meanwhile is left out.
    pub(crate) fn for_each(&mut self, mut visit: impl FnMut(Stat<'_>)) -> Result<(), Error> {
        let failed = |source| Error::Read { path: self.procfs.clone(), source };
        let mut text = [0; 1024];
        for entry in std::fs::read_dir(&self.procfs).map_err(failed)?.take(PROCESSES_MAX) {
            let name = entry.map_err(failed)?.file_name();
            let Some(pid) = scan::u64(name.as_encoded_bytes()) else { continue };
            self.path.clear();
            write!(self.path, "{}/{pid}/stat", self.procfs.display())
                .expect("writing to a String cannot fail");
            let Ok(file) = host::open(Path::new(&self.path)) else { continue };
            let Ok(n_bytes) = rustix::io::retry_on_intr(|| rustix::io::read(&file, &mut text))
            else {
                continue;
            };
            if let Some(stat) = Stat::parse(&text[..n_bytes]) {
                visit(stat);
            }
        }
        Ok(())
    }
}

impl<'a> Stat<'a> {
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let open = memchr::memchr(b'(', text)?;
        // The command may hold parentheses itself; what follows the last one may not.
        let close = memchr::memrchr(b')', text)?;
        let pid = u32::try_from(scan::u64(text[..open].trim_ascii())?).ok()?;
        let command = text.get(open + 1..close)?;
        let mut fields = scan::fields(&text[close + 1..]);
        let state = *fields.next()?.first()?;
        // Field 4 of the man page comes next; `skip` counts from the field read last.
        let mut number = |skip: usize| scan::u64(fields.nth(skip)?);
        Some(Self {
            pid,
            command,
            state,
            minor_faults: number(6)?,
            major_faults: number(1)?,
            user_ticks: number(1)?,
            system_ticks: number(0)?,
            n_threads: number(4)?,
            start_ticks: number(1)?,
            virtual_bytes: number(0)?,
            resident_pages: number(0)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_where_the_manual_says() {
        // The value of each field is its number, but for pid, command and state.
        let numbers: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let text = format!("7 (a) (b c) S {}\n", numbers.join(" "));
        let stat = Stat::parse(text.as_bytes()).unwrap();
        assert_eq!(
            stat,
            Stat {
                pid: 7,
                command: b"a) (b c",
                state: b'S',
                minor_faults: 10,
                major_faults: 12,
                user_ticks: 14,
                system_ticks: 15,
                n_threads: 20,
                start_ticks: 22,
                virtual_bytes: 23,
                resident_pages: 24,
            }
        );
        for garbage in [&b""[..], b"7 (a", b")7(", b"7 (a) S 1 2", b"x (a) S 1", b"7 (a)"] {
            assert_eq!(Stat::parse(garbage), None, "{garbage:?}");
        }
    }

    #[test]
    fn we_see_ourselves() {
        let mut found = false;
        let own = std::process::id();
        Processes::new("/proc".into()).for_each(|stat| found |= stat.pid == own).unwrap();
        assert!(found);
    }
}
