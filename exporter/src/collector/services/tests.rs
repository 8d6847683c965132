//! Each way with a stand-in: a bus with a made-up systemd, scripts in place of the `service` command, and a made-up
//! `/proc`.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use zbus::{Connection, OwnedObjectPath, connection, interface};

use super::{super::systemd::daemon::Daemon, *};

/// A collector that knows of no way but the table of processes.
fn services(names: &[&str], procfs: &Path) -> Services {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    Services {
        names: name::parse(&names).unwrap(),
        timeout: Duration::from_secs(20),
        marker: PathBuf::from("/nowhere"),
        address: None,
        command: None,
        processes: Processes::new(procfs.to_owned()),
        bus: None,
        is_bus_lost: false,
        runtime: OwnRuntime::default(),
    }
}

/// Runs it and returns `name state source` for each service; each must be in exactly one state.
fn collect(services: &mut Services) -> Vec<String> {
    let mut out = Exposition::new();
    services.collect(&mut out).unwrap();
    let text = out.to_text();
    let label = |line: &str, label: &str| {
        let rest = line.split_once(&format!("{label}=\"")).unwrap().1;
        rest.split('"').next().unwrap().replace("\\\\", "\\")
    };
    let lines = |family: &str| {
        let beginning = format!("{family}{{");
        text.lines().filter(move |line| line.starts_with(&beginning)).collect::<Vec<_>>()
    };
    let states = lines("watchpost_service_state");
    assert_eq!(states.len(), services.names.len() * 6, "{text}");
    let in_it: Vec<&&str> = states.iter().filter(|line| line.ends_with(" 1")).collect();
    let sources = lines("watchpost_service_source_info");
    assert_eq!(
        (in_it.len(), sources.len()),
        (services.names.len(), services.names.len()),
        "{text}"
    );
    in_it
        .iter()
        .zip(sources)
        .map(|(state, source)| {
            assert_eq!(label(state, "name"), label(source, "name"));
            format!(
                "{} {} {}",
                label(state, "name"),
                label(state, "state"),
                label(source, "source")
            )
        })
        .collect()
}

/// As the runner does it: in a thread that no runtime knows.
async fn collect_apart(mut services: Services) -> (Services, Vec<String>) {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let seen = collect(&mut services);
        let _ = sender.send((services, seen));
    });
    receiver.await.unwrap()
}

/// A `/proc` with these processes: id, command, state and command line.
fn procfs(processes: &[(u32, &str, char, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (pid, command, state, line) in processes {
        let process = folder.path().join(pid.to_string());
        fs::create_dir(&process).unwrap();
        let rest = "1 ".repeat(49);
        fs::write(process.join("stat"), format!("{pid} ({command}) {state} {rest}\n")).unwrap();
        fs::write(process.join("cmdline"), line.replace(' ', "\0")).unwrap();
    }
    folder
}

/// A stand-in for the `service` command.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("service");
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn processes_tell_where_nobody_else_does() {
    let procfs = procfs(&[
        (1, "init", 'S', "/sbin/init"),
        (10, "sshd", 'S', "sshd:"),
        (11, "cron", 'S', "/usr/sbin/cron"),
        (12, "nginx", 'Z', ""),
        (13, "openvpn", 'S', "openvpn"),
        (14, "prometheus-node", 'S', "/usr/bin/prometheus-node-exporter --x"),
        (15, "fail2ban-server", 'S', "/usr/bin/python3 /usr/bin/fail2ban-server -x"),
        (16, "a-very-long-nam", 'S', "/bin/a-very-long-name-of-another"),
    ]);
    let names = [
        "ssh",
        "cron.service",
        "nginx",
        "openvpn@office",
        "prometheus-node-exporter",
        "fail2ban-server",
        "a-very-long-name-of-one",
        "backup.timer",
        "cro",
    ];
    assert_eq!(
        collect(&mut services(&names, procfs.path())),
        [
            "ssh running processes",
            "cron.service running processes",
            "nginx stopped processes",
            "openvpn@office running processes",
            "prometheus-node-exporter running processes",
            "fail2ban-server running processes",
            "a-very-long-name-of-one stopped processes",
            "backup.timer unknown none",
            "cro stopped processes",
        ]
    );
    assert_eq!(collect(&mut services(&["ssh"], Path::new("/nowhere"))), ["ssh unknown none"]);
}

#[test]
fn the_service_command_tells_by_its_code_and_words() {
    let procfs = procfs(&[(9, "handmade", 'S', "handmade")]);
    let folder = tempfile::tempdir().unwrap();
    let command = script(
        folder.path(),
        r#"
        [ "$2" = status ] && [ $# = 2 ] || exit 99
        [ -z "$HOME" ] || exit 99
        case "$1" in
            up) echo "up is running";;
            down) exit 3;;
            sloppy) echo "sloppy is not running"; exit 1;;
            dead) echo "dead but pid file exists"; exit 1;;
            crashed) exit 32;;
            odd) exit 4;;
            killed) kill -9 $$;;
            # More than a pipe holds.
            chatty) yes chatty | head -c 1000000; yes bad | head -c 1000000 >&2; exit 3;;
            # Ends, and leaves somebody with its pipes.
            leaves) sleep 30 & exit 3;;
            *) echo "$1: unrecognized service" >&2; exit 1;;
        esac
        "#,
    );
    let names = [
        "up",
        "down.service",
        "sloppy",
        "dead",
        "crashed",
        "odd",
        "killed",
        "chatty",
        "leaves",
        "none",
        "handmade",
        "x.timer",
    ];
    let mut services = services(&names, procfs.path());
    services.command = Some(command);
    assert_eq!(
        collect(&mut services),
        [
            "up running service",
            "down.service stopped service",
            "sloppy stopped service",
            "dead error service",
            "crashed error service",
            "odd unknown service",
            "killed error service",
            "chatty stopped service",
            "leaves stopped service",
            "none not_found service",
            // Nobody installed it as a service, and yet it runs.
            "handmade running processes",
            "x.timer unknown none",
        ]
    );
}

/// Whether a process with this id is there and no zombie.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn a_script_that_hangs_is_killed_with_its_children() {
    let procfs = procfs(&[(1, "init", 'S', "init")]);
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display();
    let command = script(
        folder.path(),
        &format!(
            r#"
            case "$1" in
                hung*) sleep 600 & echo $! > {at}/$1.child; echo $$ > {at}/$1; trap '' TERM; sleep 600;;
                *) exit 0;;
            esac
            "#
        ),
    );
    let names = ["hung1", "hung2", "hung3", "hung4", "hung5", "good"];
    let mut hanging = services(&names, procfs.path());
    hanging.command = Some(command);
    hanging.timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let seen = collect(&mut hanging);
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    // Those behind the four that hang never had their turn.
    assert_eq!(seen, names.map(|name| format!("{name} timeout service")));
    for name in &names[..4] {
        for file in [format!("{name}.child"), (*name).to_owned()] {
            let pid = fs::read_to_string(folder.path().join(&file)).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            while is_alive(&pid) {
                assert!(Instant::now() < deadline, "{file} {pid} is still there");
                std::thread::yield_now();
            }
        }
    }
}

#[test]
fn a_command_that_cannot_be_run_is_passed_over() {
    let procfs = procfs(&[(7, "cron", 'S', "cron")]);
    let folder = tempfile::tempdir().unwrap();
    for command in [PathBuf::from("/nowhere/service"), folder.path().to_owned()] {
        let mut services = services(&["cron", "ssh"], procfs.path());
        services.command = Some(command);
        assert_eq!(collect(&mut services), ["cron running processes", "ssh stopped processes"]);
    }
}

/// A systemd that has some units, or that never answers.
struct Manager {
    is_hung: bool,
}

#[derive(Debug, zbus::DBusError)]
#[zbus(prefix = "org.freedesktop.systemd1")]
enum Refused {
    #[zbus(error)]
    ZBus(zbus::Error),
    BadUnitSetting(String),
}

type Listed =
    (String, String, String, String, String, String, OwnedObjectPath, u32, String, OwnedObjectPath);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    async fn list_units_by_names(&self, names: Vec<String>) -> Result<Vec<Listed>, Refused> {
        if self.is_hung {
            std::future::pending::<()>().await;
        }
        let path = || OwnedObjectPath::try_from("/").unwrap();
        let mut units = Vec::new();
        for name in names {
            let (load, active, sub) = match name.as_str() {
                "web.service" => ("loaded", "active", "running"),
                "again.service" => ("loaded", "reloading", "reload"),
                "once.service" => ("loaded", "inactive", "dead"),
                "starting.service" => ("loaded", "activating", "start-pre"),
                "looping.service" => ("loaded", "activating", "auto-restart"),
                "broken.service" => ("loaded", "failed", "failed"),
                "wrong.service" => ("bad-setting", "inactive", "dead"),
                "off.service" => ("masked", "inactive", "dead"),
                "daily.timer" => ("loaded", "active", "waiting"),
                "strange.service" => ("loaded", "transcending", "dead"),
                "poison.service" => return Err(Refused::BadUnitSetting("poison".to_owned())),
                // As systemd does with what is no name of a unit to it.
                "skipped.service" => continue,
                _ => ("not-found", "inactive", "dead"),
            };
            // The name is that of the unit behind an alias.
            let [name, load, active, sub, empty] =
                ["primary.service", load, active, sub, ""].map(str::to_owned);
            units.push((
                name,
                empty.clone(),
                load,
                active,
                sub,
                empty.clone(),
                path(),
                0,
                empty,
                path(),
            ));
        }
        Ok(units)
    }
}

async fn systemd(daemon: &Daemon, is_hung: bool) -> Connection {
    connection::Builder::address(daemon.address.as_str())
        .name("org.freedesktop.systemd1")
        .serve_at("/org/freedesktop/systemd1", Manager { is_hung })
        .build()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_tells_first() {
    let Some(daemon) = Daemon::start() else { return };
    let connection = systemd(&daemon, false).await;
    let procfs = procfs(&[(8, "byhand", 'S', "byhand"), (9, "once", 'S', "once")]);
    let folder = tempfile::tempdir().unwrap();
    let names = [
        "web",
        "again.service",
        "once",
        "starting",
        "looping",
        "broken",
        "wrong",
        "off",
        "daily.timer",
        "strange",
        "missing",
        "byhand",
    ];
    let mut asking = services(&names, procfs.path());
    asking.address = Some(daemon.address.clone());
    // Would say that everything runs.
    asking.command = Some(script(folder.path(), "touch asked; exit 0"));
    let expected = [
        "web running systemd",
        "again.service running systemd",
        // Whatever else runs under its name.
        "once stopped systemd",
        "starting stopped systemd",
        "looping error systemd",
        "broken error systemd",
        "wrong error systemd",
        "off stopped systemd",
        "daily.timer running systemd",
        "strange unknown systemd",
        "missing not_found systemd",
        "byhand running processes",
    ];
    // The second time over the same connection.
    for _ in 0..2 {
        let (back, seen) = collect_apart(asking).await;
        assert_eq!(seen, expected);
        assert!(back.bus.is_some());
        asking = back;
    }
    // One that systemd does not answer about harms no other.
    asking.names = name::parse(&["web", "poison", "skipped"].map(str::to_owned)).unwrap();
    let (asking, seen) = collect_apart(asking).await;
    assert_eq!(seen, ["web running systemd", "poison error systemd", "skipped not_found systemd"]);
    // systemd is gone from the bus: the next is asked.
    connection.close().await.unwrap();
    let (asking, seen) = collect_apart(asking).await;
    assert_eq!(seen, ["web running service", "poison running service", "skipped running service"]);
    assert!(asking.is_bus_lost);
    let connection = systemd(&daemon, false).await;
    let (asking, seen) = collect_apart(asking).await;
    assert_eq!(seen[0], "web running systemd");
    assert!(!asking.is_bus_lost);
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_systemd_that_hangs_is_a_timeout() {
    let Some(daemon) = Daemon::start() else { return };
    let _connection = systemd(&daemon, true).await;
    let procfs = procfs(&[(8, "web", 'S', "web")]);
    let mut asking = services(&["web", "other"], procfs.path());
    asking.address = Some(daemon.address.clone());
    asking.timeout = Duration::from_millis(300);
    let begun = Instant::now();
    let (_, seen) = collect_apart(asking).await;
    assert_eq!(seen, ["web timeout systemd", "other timeout systemd"]);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}
