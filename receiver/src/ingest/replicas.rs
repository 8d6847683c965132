//! Pairs of Prometheus servers: of all that scrape the same, the samples of one are taken.
//!
//! Senders carry two labels: which cluster they belong to, and which replica of it they are. A cluster has one leader at a
//! time, and the times at which leaders changed are kept ([`election`]), so a sample is taken if its replica led *at the
//! time of the sample*: a former leader that comes back delivers what it had collected until it was replaced, and there
//! is neither a gap nor a double.
//!
//! Requests look at a [`Snapshot`] in memory and note which replicas are heard. Everything else happens beside them: the
//! receivers agree by rows in PostgreSQL.

pub(super) mod election;
mod terms;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use promql::model::Labels;
use serde::Deserialize;
use service::units::Span;
use tokio::sync::Notify;

pub(super) use self::terms::Terms;
use super::Reason;

/// Clusters, and replicas of all of them together: Mimir's limit is 100 clusters, and nobody has many replicas of one.
const CLUSTERS_MAX: usize = 1000;
const PEERS_MAX: usize = 8000;

/// The section `replicas` of the configuration file: how senders say which replica they are.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    pub cluster_label: String,
    pub replica_label: String,
    /// How long a leader may be silent before another replica takes over.
    pub timeout: Span,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            cluster_label: "cluster".to_owned(),
            replica_label: "__replica__".to_owned(),
            timeout: Span(Duration::from_secs(30)),
        }
    }
}

/// A replica of a cluster, as a small number. 0 is everybody who is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Peer(pub(super) u16);

impl Peer {
    pub(super) const NOBODY: Self = Self(0);
}

/// See the [module](self). Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Replicas(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    snapshot: RwLock<Arc<Snapshot>>,
    /// Held by whoever makes the next snapshot.
    changing: Mutex<()>,
    /// There is a replica that PostgreSQL may not know of.
    news: Notify,
}

/// Who leads, and who is there. Never changed: another takes its place.
#[derive(Debug, Default)]
pub(super) struct Snapshot {
    clusters: Vec<Cluster>,
    by_cluster: HashMap<Box<str>, usize>,
    peers: Vec<Arc<Replica>>,
}

#[derive(Clone, Debug)]
struct Cluster {
    name: Box<str>,
    terms: Terms,
    /// Numbers into `peers`, plus one.
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Replica {
    cluster: usize,
    name: Box<str>,
    /// When a request of it last came, in milliseconds since the Unix epoch.
    heard_at: AtomicI64,
}

impl Snapshot {
    fn replica(&self, peer: Peer) -> &Replica {
        &self.peers[usize::from(peer.0) - 1]
    }

    /// Whether a sender is of this snapshot or newer.
    pub(super) fn knows(&self, peer: Peer) -> bool {
        usize::from(peer.0) <= self.peers.len()
    }

    /// Whether a sender ever led, so that something of the past may be taken from it.
    pub(super) fn ever_led(&self, peer: Peer) -> bool {
        let replica = self.replica(peer);
        self.clusters[replica.cluster].terms.ever_led(&replica.name)
    }

    /// Whether a sample of this time is taken from this sender. Notes that the sender was heard at `now`.
    #[inline]
    pub(super) fn takes(&self, peer: Peer, ts: i64, now: i64) -> bool {
        if peer == Peer::NOBODY {
            return true;
        }
        let replica = self.replica(peer);
        if replica.heard_at.load(Ordering::Relaxed) < now {
            replica.heard_at.store(now, Ordering::Relaxed);
        }
        self.clusters[replica.cluster].terms.leader_at(ts) == Some(&*replica.name)
    }

    fn find(&self, cluster: &str, replica: &str) -> Option<Peer> {
        let cluster = &self.clusters[*self.by_cluster.get(cluster)?];
        cluster.peers.iter().copied().find(|peer| &*self.replica(*peer).name == replica)
    }
}

impl Replicas {
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.0.snapshot.read().expect("no holder panics"))
    }

    /// Who sends a series, and its labels without the one that says so. The same labels for a series without both.
    pub(super) fn split(
        &self,
        settings: &Settings,
        labels: Labels,
        now: i64,
    ) -> Result<(Peer, Labels), Reason> {
        let (cluster, replica) =
            (labels.get(&settings.cluster_label), labels.get(&settings.replica_label));
        if cluster.is_empty() || replica.is_empty() {
            return Ok((Peer::NOBODY, labels));
        }
        let peer = match self.snapshot().find(cluster, replica) {
            Some(peer) => peer,
            None => self.admit(cluster, replica, now)?,
        };
        let others = labels.iter().filter(|label| *label.name != *settings.replica_label);
        let others = Labels::from_pairs(others.map(|label| (&*label.name, &*label.value)))
            .expect("labels without one of them are labels");
        Ok((peer, others))
    }

    /// Makes a replica known. The first of a cluster leads it from now on: whether PostgreSQL knows better is found out
    /// soon, and nobody waits for it.
    fn admit(&self, cluster: &str, replica: &str, now: i64) -> Result<Peer, Reason> {
        let _changing = self.0.changing.lock().expect("no holder panics");
        let before = self.snapshot();
        if let Some(peer) = before.find(cluster, replica) {
            return Ok(peer);
        }
        let mut next = before.copy();
        let Some(at) = next.cluster(cluster) else { return Err(Reason::TooManyReplicas) };
        if next.peers.len() >= PEERS_MAX {
            return Err(Reason::TooManyReplicas);
        }
        let heard_at = AtomicI64::new(now);
        next.peers.push(Arc::new(Replica { cluster: at, name: replica.into(), heard_at }));
        let peer = Peer(next.peers.len() as u16);
        next.clusters[at].peers.push(peer);
        if next.clusters[at].terms.is_empty() {
            next.clusters[at].terms = Terms::led_by(replica);
        }
        self.put(next);
        self.0.news.notify_one();
        Ok(peer)
    }

    fn put(&self, next: Snapshot) {
        *self.0.snapshot.write().expect("no holder panics") = Arc::new(next);
    }
}

impl Snapshot {
    fn copy(&self) -> Self {
        Self {
            clusters: self.clusters.clone(),
            by_cluster: self.by_cluster.clone(),
            peers: self.peers.clone(),
        }
    }

    /// Where the cluster is, made if need be. `None`: there are too many.
    fn cluster(&mut self, name: &str) -> Option<usize> {
        if let Some(at) = self.by_cluster.get(name) {
            return Some(*at);
        }
        if self.clusters.len() >= CLUSTERS_MAX {
            return None;
        }
        let at = self.clusters.len();
        let (terms, peers) = (Terms::default(), Vec::new());
        self.clusters.push(Cluster { name: name.into(), terms, peers });
        self.by_cluster.insert(name.into(), at);
        Some(at)
    }
}
