//! Units of systemd, over D-Bus. Off by default, as in node_exporter.
//!
//! One connection is kept and one call lists all units; what a call for each unit would cost is asked for only where a
//! flag or the unit's kind wants it, and remembered where it does not change.

use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    time::{Duration, Instant},
};

use proto::exposition::{Exposition, Kind};
use regexp::Regexp;

use self::bus::{Bus, Unit};
use super::{Collector, Error, OptionError, Setup, own_runtime::OwnRuntime};

pub(super) mod bus;

/// A service's type changes with its file only; this bounds how long we do not notice.
const TYPES_AGE_MAX: Duration = Duration::from_secs(600);
/// More units than any machine has; bounds the series that a flood of transient units can make.
const UNITS_MAX: usize = 10_000;

/// One call; systemd that does not answer for so long is stuck.
const CALL_MAX: Duration = Duration::from_secs(5);

const ACTIVE_STATES: [&str; 5] = ["active", "activating", "deactivating", "inactive", "failed"];

struct Systemd {
    /// Exists while systemd is process 1.
    marker: PathBuf,
    address: Option<String>,
    include: Regexp,
    exclude: Regexp,
    tasks: bool,
    restarts: bool,
    start_time: bool,
    bus: Option<Bus>,
    /// Dropped after the connection that lives in it.
    runtime: OwnRuntime,
    types: HashMap<String, String>,
    types_since: Instant,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let options = setup.options;
    let compile = |flag, pattern: &str| {
        Regexp::anchored(pattern).map_err(|source| OptionError::Pattern { flag, source })
    };
    Ok(Box::new(Systemd {
        marker: setup.host.root("/run/systemd/system".as_ref()),
        address: options.systemd_bus.clone(),
        include: compile("collector.systemd.unit-include", &options.systemd_include)?,
        exclude: compile("collector.systemd.unit-exclude", &options.systemd_exclude)?,
        tasks: options.systemd_tasks,
        restarts: options.systemd_restarts,
        start_time: options.systemd_start_time,
        bus: None,
        runtime: OwnRuntime::default(),
        types: HashMap::new(),
        types_since: Instant::now(),
    }))
}

impl Collector for Systemd {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        if self.address.is_none() && !self.marker.is_dir() {
            return Err(Error::NoData { what: "systemd" });
        }
        let mut runtime = std::mem::take(&mut self.runtime);
        let outcome = runtime.block_on(self.ask(out));
        self.runtime = runtime;
        outcome?.map_err(|err| {
            // A connection that failed once is made anew.
            self.bus = None;
            Error::System { call: "ask systemd over D-Bus", source: io::Error::other(err) }
        })
    }
}

impl Systemd {
    async fn ask(&mut self, out: &mut Exposition) -> zbus::Result<()> {
        let bus = match self.bus.take() {
            Some(bus) => bus,
            None => Bus::connect(self.address.as_deref(), CALL_MAX).await?,
        };
        let mut units = bus.units().await?;
        write_summary(&units, out);
        let version: String = bus.manager("Version").await?;
        let number: String =
            version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
        out.family("node_systemd_version", "Detected systemd version", Kind::Gauge)
            .sample(&[("version", &version)], number.parse().unwrap_or(0.0));
        let state: String = bus.manager("SystemState").await?;
        out.gauge(
            "node_systemd_system_running",
            "Whether the system is operational (see 'systemctl is-system-running')",
            f64::from(u8::from(state == "running")),
        );
        units.retain(|unit| {
            unit.load_state == "loaded"
                && self.include.is_match(unit.name.as_bytes())
                && !self.exclude.is_match(unit.name.as_bytes())
        });
        units.truncate(UNITS_MAX);
        units.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.learn_types(&units, &bus).await?;
        self.write_states(&units, out);
        for unit in &units {
            self.write_details(unit, &bus, out).await?;
        }
        self.bus = Some(bus);
        Ok(())
    }

    /// The type (`simple`, `forking`, …) of each service that we have not asked for yet.
    async fn learn_types(&mut self, units: &[Unit], bus: &Bus) -> zbus::Result<()> {
        if self.types_since.elapsed() >= TYPES_AGE_MAX || self.types.len() > UNITS_MAX {
            self.types.clear();
            self.types_since = Instant::now();
        }
        for unit in units.iter().filter(|unit| unit.is_a("service")) {
            if !self.types.contains_key(&unit.name) {
                // A unit may be unloaded between two calls.
                let of_service = bus.property(unit, "Service", "Type").await?.unwrap_or_default();
                self.types.insert(unit.name.clone(), of_service);
            }
        }
        Ok(())
    }

    fn write_states(&self, units: &[Unit], out: &mut Exposition) {
        let mut family = out.family("node_systemd_unit_state", "Systemd unit", Kind::Gauge);
        for unit in units {
            let of_service = self.types.get(&unit.name).map_or("", String::as_str);
            for state in ACTIVE_STATES {
                let is_in = f64::from(u8::from(unit.active_state == state));
                let labels = [("name", unit.name.as_str()), ("state", state), ("type", of_service)];
                family.sample(&labels, is_in);
            }
        }
    }

    /// What takes calls of its own.
    async fn write_details(
        &self,
        unit: &Unit,
        bus: &Bus,
        out: &mut Exposition,
    ) -> zbus::Result<()> {
        let labels = [("name", unit.name.as_str())];
        let mut write = |family, help, kind, value| {
            out.family(family, help, kind).sample(&labels, value);
        };
        if self.start_time {
            // Microseconds since the Unix epoch.
            let since = match unit.active_state.as_str() {
                "active" => bus.property(unit, "Unit", "ActiveEnterTimestamp").await?,
                _ => Some(0_u64),
            };
            if let Some(since) = since {
                write(
                    "node_systemd_unit_start_time_seconds",
                    "Start time of the unit since unix epoch in seconds.",
                    Kind::Gauge,
                    since as f64 / 1e6,
                );
            }
        }
        if unit.is_a("service") && self.restarts {
            let restarts: Option<u32> = bus.property(unit, "Service", "NRestarts").await?;
            if let Some(restarts) = restarts {
                write(
                    "node_systemd_service_restart_total",
                    "Service unit count of Restart triggers",
                    Kind::Counter,
                    f64::from(restarts),
                );
            }
        }
        if unit.is_a("service") && self.tasks {
            for (property, family, help) in [
                (
                    "TasksCurrent",
                    "node_systemd_unit_tasks_current",
                    "Current number of tasks per Systemd unit",
                ),
                (
                    "TasksMax",
                    "node_systemd_unit_tasks_max",
                    "Maximum number of tasks per Systemd unit",
                ),
            ] {
                // All bits set stand for "not counted" and "without limit".
                let tasks: Option<u64> = bus.property(unit, "Service", property).await?;
                if let Some(tasks) = tasks.filter(|tasks| *tasks != u64::MAX) {
                    write(family, help, Kind::Gauge, tasks as f64);
                }
            }
        }
        if unit.is_a("timer") {
            let last: Option<u64> = bus.property(unit, "Timer", "LastTriggerUSec").await?;
            if let Some(last) = last {
                write(
                    "node_systemd_timer_last_trigger_seconds",
                    "Seconds since epoch of last trigger.",
                    Kind::Gauge,
                    last as f64 / 1e6,
                );
            }
        }
        if unit.is_a("socket") {
            for (property, family, help, kind) in [
                (
                    "NAccepted",
                    "node_systemd_socket_accepted_connections_total",
                    "Total number of accepted socket connections",
                    Kind::Counter,
                ),
                (
                    "NConnections",
                    "node_systemd_socket_current_connections",
                    "Current number of socket connections",
                    Kind::Gauge,
                ),
                // A gauge in node_exporter, although it counts.
                (
                    "NRefused",
                    "node_systemd_socket_refused_connections_total",
                    "Total number of refused socket connections",
                    Kind::Gauge,
                ),
            ] {
                let count: Option<u32> = bus.property(unit, "Socket", property).await?;
                if let Some(count) = count {
                    write(family, help, kind, f64::from(count));
                }
            }
        }
        Ok(())
    }
}

/// How many units are in each state, all of them.
fn write_summary(units: &[Unit], out: &mut Exposition) {
    let mut family =
        out.family("node_systemd_units", "Summary of systemd unit states", Kind::Gauge);
    for state in ACTIVE_STATES {
        let count = units.iter().filter(|unit| unit.active_state == state).count();
        family.sample(&[("state", state)], count as f64);
    }
}

#[cfg(test)]
pub(super) mod daemon;
#[cfg(test)]
mod tests;
