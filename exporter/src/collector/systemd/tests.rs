//! The collector against a bus of our own, on which a made-up systemd answers.
//!
//! Skipped, loudly, where no `dbus-daemon` is installed.

use zbus::{OwnedObjectPath, connection, interface};

use super::{daemon::Daemon, *};

struct Manager;

type Row = (&'static str, &'static str, &'static str, &'static str);

const UNITS: [Row; 6] = [
    ("web.service", "loaded", "active", "/org/freedesktop/systemd1/unit/web"),
    ("broken.service", "loaded", "failed", "/org/freedesktop/systemd1/unit/gone"),
    ("missing.service", "not-found", "inactive", "/org/freedesktop/systemd1/unit/gone"),
    ("daily.timer", "loaded", "active", "/org/freedesktop/systemd1/unit/daily"),
    ("in.socket", "loaded", "active", "/org/freedesktop/systemd1/unit/in"),
    ("x.mount", "loaded", "active", "/org/freedesktop/systemd1/unit/gone"),
];

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    #[expect(clippy::type_complexity, reason = "it is systemd's")]
    fn list_units(
        &self,
    ) -> Vec<(
        String,
        String,
        String,
        String,
        String,
        String,
        OwnedObjectPath,
        u32,
        String,
        OwnedObjectPath,
    )> {
        let path = |path: &str| OwnedObjectPath::try_from(path.to_owned()).unwrap();
        UNITS
            .into_iter()
            .map(|(name, load, active, at)| {
                let text = str::to_owned;
                (
                    text(name),
                    text(""),
                    text(load),
                    text(active),
                    text(""),
                    text(""),
                    path(at),
                    0,
                    text(""),
                    path("/"),
                )
            })
            .collect()
    }

    #[zbus(property)]
    fn version(&self) -> String {
        "252.39-1~deb12u1".to_owned()
    }

    #[zbus(property)]
    fn system_state(&self) -> String {
        "degraded".to_owned()
    }
}

struct Service;

#[interface(name = "org.freedesktop.systemd1.Service")]
impl Service {
    #[zbus(property, name = "Type")]
    fn type_(&self) -> String {
        "simple".to_owned()
    }

    #[zbus(property, name = "NRestarts")]
    fn n_restarts(&self) -> u32 {
        3
    }

    #[zbus(property, name = "TasksCurrent")]
    fn tasks_current(&self) -> u64 {
        7
    }

    #[zbus(property, name = "TasksMax")]
    fn tasks_max(&self) -> u64 {
        u64::MAX
    }
}

struct Timer;

#[interface(name = "org.freedesktop.systemd1.Timer")]
impl Timer {
    #[zbus(property, name = "LastTriggerUSec")]
    fn last_trigger(&self) -> u64 {
        1_700_000_000_500_000
    }
}

struct Socket;

#[interface(name = "org.freedesktop.systemd1.Socket")]
impl Socket {
    #[zbus(property, name = "NAccepted")]
    fn n_accepted(&self) -> u32 {
        11
    }

    #[zbus(property, name = "NConnections")]
    fn n_connections(&self) -> u32 {
        2
    }

    #[zbus(property, name = "NRefused")]
    fn n_refused(&self) -> u32 {
        1
    }
}

fn collector(address: &str) -> Systemd {
    Systemd {
        marker: PathBuf::new(),
        address: Some(address.to_owned()),
        include: Regexp::anchored(".+").unwrap(),
        exclude: Regexp::anchored(r".+\.(automount|device|mount|scope|slice)").unwrap(),
        tasks: true,
        restarts: true,
        start_time: false,
        bus: None,
        runtime: OwnRuntime::default(),
        types: HashMap::new(),
        types_since: Instant::now(),
    }
}

async fn collect(mut systemd: Systemd) -> (Systemd, Result<String, String>) {
    // As the runner does it: in a thread that no runtime knows.
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut out = Exposition::new();
        let outcome = systemd.collect(&mut out).map(|()| out.to_text());
        let outcome = outcome.map_err(|err| service::error::chain(&err));
        let _ = sender.send((systemd, outcome));
    });
    receiver.await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn units_are_told() {
    let Some(daemon) = Daemon::start() else { return };
    let unit = "/org/freedesktop/systemd1/unit";
    let connection = connection::Builder::address(daemon.address.as_str())
        .name("org.freedesktop.systemd1")
        .serve_at("/org/freedesktop/systemd1", Manager)
        .serve_at(format!("{unit}/web"), Service)
        .serve_at(format!("{unit}/daily"), Timer)
        .serve_at(format!("{unit}/in"), Socket)
        .build()
        .await
        .unwrap();
    let mut systemd = collector(&daemon.address);
    // The second time over the same connection.
    for _ in 0..2 {
        let (back, outcome) = collect(systemd).await;
        systemd = back;
        let text = outcome.unwrap();
        for line in [
            "node_systemd_units{state=\"active\"} 4",
            "node_systemd_units{state=\"failed\"} 1",
            "node_systemd_system_running 0",
            "node_systemd_version{version=\"252.39-1~deb12u1\"} 252.39",
            "node_systemd_unit_state{name=\"web.service\",state=\"active\",type=\"simple\"} 1",
            "node_systemd_unit_state{name=\"broken.service\",state=\"failed\",type=\"\"} 1",
            "node_systemd_unit_state{name=\"broken.service\",state=\"active\",type=\"\"} 0",
            "node_systemd_service_restart_total{name=\"web.service\"} 3",
            "node_systemd_unit_tasks_current{name=\"web.service\"} 7",
            "node_systemd_timer_last_trigger_seconds{name=\"daily.timer\"} 1700000000.5",
            "node_systemd_socket_accepted_connections_total{name=\"in.socket\"} 11",
            "node_systemd_socket_current_connections{name=\"in.socket\"} 2",
            "node_systemd_socket_refused_connections_total{name=\"in.socket\"} 1",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
        for absent in ["missing.service", "x.mount", "tasks_max"] {
            assert!(!text.contains(absent), "{absent} in\n{text}");
        }
    }
    // Nobody answers for systemd any more; then it is back.
    connection.close().await.unwrap();
    let (systemd, outcome) = collect(systemd).await;
    assert!(outcome.unwrap_err().starts_with("ask systemd over D-Bus: "));
    drop(daemon);
    let (systemd, outcome) = collect(systemd).await;
    assert!(outcome.is_err());
    // Dropped inside of a runtime, which must not panic.
    drop(systemd);
}
