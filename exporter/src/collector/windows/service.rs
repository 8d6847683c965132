//! Services and what became of them.

use proto::exposition::{Exposition, Kind};

#[derive(Clone, Debug, Default)]
pub(super) struct Service {
    pub(super) name: String,
    /// As the service control manager counts states, from 1.
    pub(super) state: u32,
    /// 0 while it does not run.
    pub(super) process_id: u32,
    /// `None` where we may not ask.
    pub(super) config: Option<Config>,
    /// When its process was started, in seconds since the Unix epoch; `None` where we may not ask.
    pub(super) started_at: Option<u64>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Config {
    pub(super) display_name: String,
    pub(super) run_as: String,
    pub(super) path: String,
    /// As the service control manager counts modes, from 0.
    pub(super) start_mode: u32,
}

/// The states with their numbers, in the order of their names.
/// <https://learn.microsoft.com/windows/win32/api/winsvc/ns-winsvc-service_status_process>
const STATES: [(&str, u32); 7] = [
    ("continue pending", 5),
    ("pause pending", 6),
    ("paused", 7),
    ("running", 4),
    ("start pending", 2),
    ("stop pending", 3),
    ("stopped", 1),
];

/// <https://learn.microsoft.com/windows/win32/api/winsvc/ns-winsvc-query_service_configw>
const START_MODES: [(&str, u32); 5] =
    [("auto", 2), ("boot", 0), ("disabled", 4), ("manual", 3), ("system", 1)];

pub(super) fn write(services: &[Service], out: &mut Exposition) {
    let with_config =
        || services.iter().filter_map(|service| Some((service, service.config.as_ref()?)));
    let mut infos = out.family(
        "windows_service_info",
        "A metric with a constant '1' value labeled with service information",
        Kind::Gauge,
    );
    for (service, config) in with_config() {
        let labels = [
            ("name", service.name.as_str()),
            ("display_name", &config.display_name),
            ("run_as", &config.run_as),
            ("path_name", &config.path),
        ];
        infos.sample(&labels, 1.0);
    }
    let mut states =
        out.family("windows_service_state", "The state of the service (State)", Kind::Gauge);
    for service in services {
        for (state, number) in STATES {
            let is_now = f64::from(u8::from(service.state == number));
            states.sample(&[("name", &service.name), ("state", state)], is_now);
        }
    }
    let mut modes = out.family(
        "windows_service_start_mode",
        "The start mode of the service (StartMode)",
        Kind::Gauge,
    );
    for (service, config) in with_config() {
        for (mode, number) in START_MODES {
            let is_set = f64::from(u8::from(config.start_mode == number));
            modes.sample(&[("name", &service.name), ("start_mode", mode)], is_set);
        }
    }
    let mut processes = out.family(
        "windows_service_process",
        "Process of started service. The value is the creation time of the process as a unix timestamp.",
        Kind::Gauge,
    );
    for service in services {
        if let (id @ 1.., Some(seconds)) = (service.process_id, service.started_at) {
            let labels = [("name", service.name.as_str()), ("process_id", &id.to_string())];
            processes.sample(&labels, seconds as f64);
        }
    }
}
