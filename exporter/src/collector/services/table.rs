//! The last way: a process that is called like the service, or like it with the daemon's `d`.

use std::path::Path;

use super::Name;
use crate::{
    collector::Error,
    host,
    procs::{COMMAND_BYTES_MAX, Processes},
};

/// For each name whether a process of it is there. Of a unit that is no service none is.
pub(super) fn running(processes: &mut Processes, names: &[Name]) -> Result<Vec<bool>, Error> {
    let programs: Vec<Option<String>> = names.iter().map(program).collect();
    let mut running = vec![false; names.len()];
    let folder = processes.folder().to_owned();
    processes.for_each(|stat| {
        if matches!(stat.state, b'Z' | b'X') {
            return;
        }
        for (program, is_running) in programs.iter().zip(&mut running) {
            let Some(program) = program else { continue };
            *is_running = *is_running || is_of(stat.pid, stat.command, program, &folder);
        }
    })?;
    Ok(running)
}

/// `openvpn@office` is a process `openvpn`.
fn program(name: &Name) -> Option<String> {
    let service = name.of_service()?;
    Some(service.split('@').next().unwrap_or(service).to_owned())
}

fn is_of(pid: u32, command: &[u8], program: &str, folder: &Path) -> bool {
    let is_called = |name: &[u8]| matches!(name.strip_prefix(program.as_bytes()), Some(rest) if matches!(rest, b"" | b"d"));
    if command.len() < COMMAND_BYTES_MAX {
        return is_called(command);
    }
    // The kernel keeps the beginning only, in which many are alike.
    if !format!("{program}d").as_bytes().starts_with(command) {
        return false;
    }
    let Ok(line) = host::attribute(&folder.join(format!("{pid}/cmdline"))) else { return false };
    // The second word is the script where the first is its interpreter.
    line.split(|byte| *byte == 0).take(2).any(|word| {
        let name = word.rsplit(|byte| *byte == b'/').next();
        is_called(name.unwrap_or(word))
    })
}
