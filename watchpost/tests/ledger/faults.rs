//! What breaks, and how often.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    cluster::Cluster,
    fleet::{Fleet, RECEIVERS},
    random::Random,
    room::Room,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    KillReceiver,
    /// Shorter than a lease.
    PauseReceiver,
    /// Longer than a lease: another receiver takes over.
    PauseReceiverForLong,
    StopPostgresAtOnce,
    KillPostgres,
    CutWire,
    StallWire,
    CutBeforeTheAnswer,
    FillDisk,
}

/// Often the cheap ones, so that many combinations come up.
const WEIGHTS: [(Fault, u64); 8] = [
    (Fault::KillReceiver, 5),
    (Fault::PauseReceiver, 2),
    (Fault::StopPostgresAtOnce, 2),
    (Fault::KillPostgres, 2),
    (Fault::CutWire, 5),
    (Fault::StallWire, 3),
    (Fault::CutBeforeTheAnswer, 6),
    (Fault::FillDisk, 1),
];
/// A long pause begins with every so-manieth fault, the first one early.
const LONG_PAUSE_EVERY: u64 = 40;
const LONG_PAUSE: Duration = Duration::from_secs(36);

pub(crate) struct Faults {
    random: Random,
    tried: u64,
    happened: BTreeMap<Fault, u64>,
}

impl Faults {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, tried: 0, happened: BTreeMap::new() }
    }

    pub(crate) fn n(&self) -> u64 {
        self.happened.values().sum()
    }

    pub(crate) fn summary(&self) -> String {
        format!("{:?}", self.happened)
    }

    /// Breaks something, then leaves it be for a moment.
    pub(crate) async fn next(&mut self, cluster: &mut Cluster, fleet: &Fleet, room: &Room) {
        self.tried += 1;
        let fault = if self.tried % LONG_PAUSE_EVERY == 3 {
            Fault::PauseReceiverForLong
        } else {
            self.choose()
        };
        let receiver = self.random.below(RECEIVERS as u64) as usize;
        let happened = match fault {
            Fault::KillReceiver => fleet.kill(receiver).await,
            Fault::PauseReceiver => {
                let time = Duration::from_millis(self.random.between(50, 4000));
                fleet.pause(receiver, time).await
            }
            Fault::PauseReceiverForLong => fleet.pause(receiver, LONG_PAUSE).await,
            Fault::StopPostgresAtOnce | Fault::KillPostgres => {
                cluster.signal(if fault == Fault::KillPostgres { "KILL" } else { "QUIT" });
                cluster.revive().await;
                true
            }
            Fault::CutWire => {
                fleet.wire(receiver).cut();
                true
            }
            Fault::StallWire => {
                let time = Duration::from_millis(self.random.between(100, 3000));
                fleet.wire(receiver).stall(time);
                true
            }
            Fault::CutBeforeTheAnswer => {
                fleet.wire(receiver).swallow(self.random.between(1, 3) as u32);
                true
            }
            Fault::FillDisk => {
                let filled = room.fill();
                if filled {
                    tokio::time::sleep(Duration::from_millis(self.random.between(500, 2500))).await;
                    room.clear();
                    cluster.is_up().await;
                }
                filled
            }
        };
        if happened {
            *self.happened.entry(fault).or_default() += 1;
        }
        let pause = if self.random.one_in(4) { 2500 } else { 600 };
        tokio::time::sleep(Duration::from_millis(self.random.between(20, pause))).await;
    }

    fn choose(&mut self) -> Fault {
        let total = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.random.below(total);
        for (fault, weight) in WEIGHTS {
            if at < weight {
                return fault;
            }
            at -= weight;
        }
        unreachable!("`at` is below the sum of all weights")
    }

    /// Nothing is broken any more.
    pub(crate) async fn all_is_well(&mut self, cluster: &mut Cluster, fleet: &Fleet, room: &Room) {
        room.clear();
        for receiver in 0..RECEIVERS {
            fleet.wire(receiver).swallow(0);
        }
        cluster.is_up().await;
        fleet.ready().await;
    }
}
