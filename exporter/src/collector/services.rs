//! Whether services run, for those of a list: `watchpost_service_state{name,state}`. Off until services are named.
//!
//! Three ways are asked in turn: systemd over D-Bus, the `service` command, and the table of processes. One that is not
//! there passes all services on. One that does not know a service passes that one on, and should the last not see it
//! either, the first one's word stands. One that does not answer in time is not passed over: `timeout` says so.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use proto::exposition::{Exposition, Kind};
use tracing::{info, warn};

use self::name::Name;
use super::{Collector, Error, OptionError, Setup, own_runtime::OwnRuntime, systemd::bus::Bus};
use crate::{options::Options, procs::Processes};

mod command;
mod name;
mod table;
mod units;

/// Bounds the series (six for each) and the scripts of one scrape.
const SERVICES_MAX: usize = 200;
/// Of [`Options::services_timeout`]; two ways one after the other have to fit into a scrape.
const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// Where systems have the `service` command. Not `PATH`, which whoever starts us may have set.
const COMMANDS: [&str; 4] =
    ["/usr/sbin/service", "/sbin/service", "/usr/bin/service", "/bin/service"];

/// How a service is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Stopped,
    NotFound,
    /// Who should know did not answer in time.
    Timeout,
    /// It failed, or died without being stopped.
    Error,
    Unknown,
}

/// Who told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Systemd,
    Command,
    Processes,
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Verdict {
    state: State,
    source: Source,
}

struct Services {
    names: Vec<Name>,
    timeout: Duration,
    /// Exists while systemd is process 1.
    marker: PathBuf,
    address: Option<String>,
    command: Option<PathBuf>,
    processes: Processes,
    bus: Option<Bus>,
    /// systemd is there and could not be asked: logged when it begins and when it ends.
    is_bus_lost: bool,
    /// Dropped after the connection that lives in it.
    runtime: OwnRuntime,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let Options { services, services_timeout, services_command, systemd_bus, .. } = setup.options;
    let names = name::parse(services)?;
    let timeout = services_timeout.0;
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(OptionError::Value {
            flag: "collector.services.timeout",
            value: services_timeout.to_string(),
            problem: "is not above 0s and up to 30s",
        });
    }
    // A command of this file system would tell about another machine than the one that is watched.
    let is_ours = setup.host.root("/".as_ref()) == Path::new("/");
    let installed = || COMMANDS.iter().map(PathBuf::from).find(|path| path.is_file());
    let command = services_command.clone().or_else(|| is_ours.then(installed).flatten());
    Ok(Box::new(Services {
        names,
        timeout,
        marker: setup.host.root("/run/systemd/system".as_ref()),
        address: systemd_bus.clone(),
        command,
        processes: Processes::new(setup.host.proc("")),
        bus: None,
        is_bus_lost: false,
        runtime: OwnRuntime::default(),
    }))
}

impl Collector for Services {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let mut runtime = std::mem::take(&mut self.runtime);
        let asked = runtime.block_on(self.ask());
        self.runtime = runtime;
        let mut verdicts = asked?;
        self.look_at_processes(&mut verdicts);
        write(&self.names, &verdicts, out);
        Ok(())
    }
}

impl Services {
    /// What those say who are asked; `None` for what nobody could be asked.
    async fn ask(&mut self) -> Vec<Option<Verdict>> {
        let from =
            |source| move |state: Option<State>| state.map(|state| Verdict { state, source });
        if self.address.is_some() || self.marker.is_dir() {
            let asked =
                units::ask(&mut self.bus, self.address.as_deref(), &self.names, self.timeout).await;
            match asked {
                Ok(states) => {
                    if std::mem::take(&mut self.is_bus_lost) {
                        info!("systemd answers about services again");
                    }
                    return states.into_iter().map(from(Source::Systemd)).collect();
                }
                Err(err) => {
                    if !std::mem::replace(&mut self.is_bus_lost, true) {
                        warn!(
                            "ask systemd about services: {}; others are asked in its place",
                            service::error::chain(&err)
                        );
                    }
                }
            }
        }
        match &self.command {
            Some(command) => {
                let states = command::ask(command, &self.names, self.timeout).await;
                states.into_iter().map(from(Source::Command)).collect()
            }
            None => vec![None; self.names.len()],
        }
    }

    /// Looks for a process of those services that nobody knows.
    fn look_at_processes(&mut self, verdicts: &mut [Option<Verdict>]) {
        let is_open = |verdict: &Option<Verdict>| {
            verdict.is_none_or(|verdict| verdict.state == State::NotFound)
        };
        if !verdicts.iter().any(is_open) {
            return;
        }
        let seen = table::running(&mut self.processes, &self.names);
        for (index, verdict) in verdicts.iter_mut().enumerate().filter(|(_, v)| is_open(v)) {
            let by_table = |state| Verdict { state, source: Source::Processes };
            *verdict = match (&seen, self.names[index].of_service()) {
                (Ok(running), Some(_)) if running[index] => Some(by_table(State::Running)),
                // Who could have it installed says that it is not.
                _ if verdict.is_some() => continue,
                (Ok(_), Some(_)) => Some(by_table(State::Stopped)),
                // A timer or a socket is no process.
                _ => None,
            };
        }
    }
}

fn write(names: &[Name], verdicts: &[Option<Verdict>], out: &mut Exposition) {
    let nobody = Verdict { state: State::Unknown, source: Source::Nobody };
    let all = || {
        names.iter().zip(verdicts).map(|(name, verdict)| (name.given(), verdict.unwrap_or(nobody)))
    };
    let mut family = out.family(
        "watchpost_service_state",
        "Whether the service is in this state (1) or not (0).",
        Kind::Gauge,
    );
    for (name, verdict) in all() {
        for state in State::ALL {
            let is_in = f64::from(u8::from(verdict.state == state));
            family.sample(&[("name", name), ("state", state.as_str())], is_in);
        }
    }
    let mut family = out.family(
        "watchpost_service_source_info",
        "Who told the state of the service. The value is always 1.",
        Kind::Gauge,
    );
    for (name, verdict) in all() {
        family.sample(&[("name", name), ("source", verdict.source.as_str())], 1.0);
    }
}

impl State {
    const ALL: [Self; 6] =
        [Self::Running, Self::Stopped, Self::NotFound, Self::Timeout, Self::Error, Self::Unknown];

    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }
}

impl Source {
    fn as_str(self) -> &'static str {
        match self {
            Self::Systemd => "systemd",
            Self::Command => "service",
            Self::Processes => "processes",
            Self::Nobody => "none",
        }
    }
}

#[cfg(test)]
mod tests;
