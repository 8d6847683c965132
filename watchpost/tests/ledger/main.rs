//! Nothing that was acknowledged is ever lost, and nothing appears that nobody sent, whatever breaks.
//!
//! Several senders write to two receivers on one PostgreSQL and keep a ledger of what was acknowledged. Meanwhile
//! receivers are killed and paused until another one takes over, PostgreSQL is killed, the connection between them is
//! reset, stalled, and cut between a commit and its answer, and the disk is full. The receivers flush every second and
//! their clocks are hours and days apart, so that they merge what others still write to. When everything has calmed down,
//! what is stored is compared with the ledger: all 64 bits of every sample, each once.
//!
//! | variable | what |
//! |---|---|
//! | `WATCHPOST_LEDGER_SECONDS` | for how long things break (40) |
//! | `WATCHPOST_LEDGER_FAULTS` | how many faults at least (0) |
//! | `WATCHPOST_LEDGER_SEED` | repeats a run's choices, though not its timing |

#![expect(
    clippy::print_stderr,
    reason = "the seed, the faults and the figures belong into the test's output"
)]

mod book;
mod cluster;
mod faults;
mod fleet;
#[expect(dead_code, reason = "shared with the end-to-end tests, which use all of it")]
#[path = "../e2e/harness/process.rs"]
mod process;
mod proxy;
mod random;
mod room;
mod sender;
mod settled;

use std::{
    env,
    sync::Arc,
    time::{Duration, Instant},
};

use self::{
    book::Book, cluster::Cluster, faults::Faults, fleet::Fleet, random::Random, room::Room,
    sender::Senders,
};

/// How long anything may take before the test gives up on it; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(50);
/// After the last fault.
const CALM: Duration = Duration::from_secs(3);

/// Waits until `condition` gives a value; says `what` did not happen otherwise.
async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < deadline, "{} s passed and not yet: {what}", PATIENCE.as_secs());
        tokio::time::sleep(POLL).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

#[test]
fn nothing_acknowledged_is_lost() {
    if room::entered(module_path!(), "nothing_acknowledged_is_lost") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(run());
    }
}

async fn run() {
    let seed = number("WATCHPOST_LEDGER_SEED").unwrap_or_else(random::seed);
    let seconds = number("WATCHPOST_LEDGER_SECONDS").unwrap_or(40);
    let faults_min = number("WATCHPOST_LEDGER_FAULTS").unwrap_or(0);
    eprintln!("WATCHPOST_LEDGER_SEED={seed}");
    let mut random = Random::new(seed);
    let room = Room::open();
    let mut cluster = Cluster::start(room.path()).await;
    let fleet = Fleet::start(room.path(), cluster.socket(), &mut random).await;
    let book = Arc::new(Book::default());
    let senders = Senders::start(&book, fleet.addresses(), &mut random);

    let started = Instant::now();
    let mut faults = Faults::new(random);
    while started.elapsed() < Duration::from_secs(seconds) || faults.n() < faults_min {
        faults.next(&mut cluster, &fleet, &room).await;
    }
    eprintln!("{} faults in {:?}: {}", faults.n(), started.elapsed(), faults.summary());
    faults.all_is_well(&mut cluster, &fleet, &room).await;
    tokio::time::sleep(CALM).await;
    let figures = senders.stop().await;
    eprintln!("{figures}; {}", book.summary());
    fleet.stop().await;

    let (sent, acknowledged) = book.close();
    assert!(acknowledged > 1000, "only {acknowledged} samples were acknowledged");
    settled::compare(&cluster, &sent).await;
    fleet::check_logs(room.path());
    cluster.stop().await;
}
