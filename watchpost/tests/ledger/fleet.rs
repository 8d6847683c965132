//! Two receivers that are killed, paused, and started again.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::Mutex, task::JoinHandle};

use crate::{
    POLL,
    process::{Process, watchpost},
    proxy::Wire,
    random::Random,
    until,
};

pub(crate) const RECEIVERS: usize = 2;
/// How far a receiver's clock may be wrong: others' buckets and days end too early for it.
const AHEAD_HOURS: [u64; 6] = [0, 0, 3, 9, 30, 60];

pub(crate) struct Fleet {
    receivers: Vec<Arc<Receiver>>,
    keepers: Vec<JoinHandle<()>>,
}

struct Receiver {
    name: String,
    folder: PathBuf,
    port: u16,
    wire: Wire,
    state: Mutex<State>,
}

struct State {
    process: Option<Process>,
    paused: bool,
    random: Random,
}

impl Fleet {
    pub(crate) async fn start(room: &Path, socket: PathBuf, random: &mut Random) -> Self {
        let mut receivers = Vec::new();
        for n in 0..RECEIVERS {
            let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            let state = State { process: None, paused: false, random: random.fork() };
            receivers.push(Arc::new(Receiver {
                name: format!("receiver-{n}"),
                folder: room.to_owned(),
                port: listener.local_addr().unwrap().port(),
                wire: Wire::open(socket.clone()).await,
                state: Mutex::new(state),
            }));
        }
        let keepers = receivers.iter().map(|r| tokio::spawn(Arc::clone(r).keep_up())).collect();
        let fleet = Self { receivers, keepers };
        fleet.ready().await;
        fleet
    }

    pub(crate) fn addresses(&self) -> Vec<String> {
        self.receivers.iter().map(|receiver| format!("127.0.0.1:{}", receiver.port)).collect()
    }

    pub(crate) fn wire(&self, n: usize) -> &Wire {
        &self.receivers[n].wire
    }

    /// Ends a receiver as a crash would; it is started again right away. `false`: it is paused.
    pub(crate) async fn kill(&self, n: usize) -> bool {
        let mut state = self.receivers[n].state.lock().await;
        if state.paused {
            return false;
        }
        if let Some(process) = state.process.take() {
            process.kill().await;
        }
        true
    }

    /// Stops a receiver in the middle of whatever it does; it goes on after `time`, not knowing that any passed.
    pub(crate) async fn pause(&self, n: usize, time: Duration) -> bool {
        let mut state = self.receivers[n].state.lock().await;
        let Some(process) = state.process.as_ref().filter(|_| !state.paused) else { return false };
        process.signal("STOP");
        state.paused = true;
        let receiver = Arc::clone(&self.receivers[n]);
        tokio::spawn(async move {
            tokio::time::sleep(time).await;
            let mut state = receiver.state.lock().await;
            if let Some(process) = &state.process {
                process.signal("CONT");
            }
            state.paused = false;
        });
        true
    }

    /// Waits until every receiver says that it is.
    pub(crate) async fn ready(&self) {
        let http = crate::sender::http();
        for receiver in &self.receivers {
            let url = format!("http://127.0.0.1:{}/-/ready", receiver.port);
            until(&format!("{} is ready", receiver.name), async || {
                http.get(&url).send().await.ok()?.error_for_status().ok()
            })
            .await;
        }
    }

    pub(crate) async fn stop(self) {
        for keeper in &self.keepers {
            keeper.abort();
        }
        for receiver in &self.receivers {
            if let Some(process) = receiver.state.lock().await.process.take() {
                process.stop().await;
            }
        }
    }
}

impl Receiver {
    /// Starts the receiver whenever it is gone, as whoever runs it would.
    async fn keep_up(self: Arc<Self>) {
        loop {
            {
                let mut state = self.state.lock().await;
                let gone = match &mut state.process {
                    Some(process) => process.has_ended(),
                    None => true,
                };
                if gone {
                    let ahead = AHEAD_HOURS[state.random.below(AHEAD_HOURS.len() as u64) as usize];
                    let process = Process::start(&self.name, &self.folder, self.command(ahead));
                    state.process = Some(process);
                }
            }
            tokio::time::sleep(POLL * 4).await;
        }
    }

    fn command(&self, ahead_hours: u64) -> std::process::Command {
        let mut command = watchpost();
        command.args(["receiver", "--web.listen-address", &format!("127.0.0.1:{}", self.port)]);
        command.args(["--database-url", &self.wire.url(), "--storage.flush-every", "1s"]);
        command.args(["--storage.clock-ahead", &format!("{ahead_hours}h")]);
        command
    }
}

/// Fails if a receiver panicked or found damage.
pub(crate) fn check_logs(room: &Path) {
    let mut takeovers = 0;
    for entry in fs::read_dir(room).unwrap().map(Result::unwrap) {
        if !entry.file_name().to_string_lossy().ends_with(".log") {
            continue;
        }
        let text = fs::read_to_string(entry.path()).unwrap();
        for line in text.lines() {
            takeovers += usize::from(line.contains("registered anew as writer"));
            for bad in ["panicked", "do not follow their format", "does not follow its format"] {
                assert!(!line.contains(bad), "{}: {line}", entry.path().display());
            }
        }
    }
    eprintln!("{takeovers} receivers found that another one had taken over, and registered anew");
}
