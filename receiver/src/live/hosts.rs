//! The views `servers` (a row for each) and `server` (the charts of one), from node-style series.
//!
//! A server is a value of the label `instance` that has node-style series. Series are sorted into [`family::Part`]s,
//! each part is summed over its series, and [`output`] turns the sums into what is shown — the same for a snapshot's
//! past, one time after the other, and for now.

mod family;
mod loader;
mod output;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use promql::model::{Labels, METRIC_NAME, Matcher};

use self::{
    family::{Family, Part},
    output::{PER_FILESYSTEM, Parts},
};
use super::{
    derive::{self, Track},
    engine::{Changes, Engine, Loader, Window},
    frame::{Entry, Field, Point},
    protocol::Refusal,
    source::{self, Sample, Source},
};
use crate::model::SeriesId;

/// Rows of the list. More servers than this want a query, not a page.
const SERVERS_MAX: usize = 1_000;
/// Series of one family: 1,000 servers of 128 CPUs.
const SERIES_PER_FAMILY_MAX: usize = 128_000;
/// Scrapes of one server that are shown of one flush; more come only when somebody catches up.
const SCRAPES_AT_ONCE: usize = 32;
/// File systems of one server: beyond, they are containers' mounts.
const FILESYSTEMS_MAX: usize = 64;

/// Which servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    List,
    One { instance: String },
}

pub(super) struct Hosts {
    scope: Scope,
    /// Parallel to `inputs`.
    ids: Vec<SeriesId>,
    inputs: Vec<Input>,
    /// Positions are stable; a host that is gone stays as an empty place until the channel ends.
    hosts: Vec<Host>,
    by_instance: BTreeMap<String, usize>,
    /// Samples since the last drain: host, time, input, value.
    waiting: Vec<(usize, i64, usize, f64)>,
    more: usize,
    width: u32,
}

#[derive(Clone, Copy, Debug)]
struct Input {
    host: usize,
    part: Part,
    mount: Option<usize>,
    track: Track,
}

#[derive(Debug)]
struct Host {
    instance: String,
    job: String,
    nodename: String,
    base: u32,
    mounts: Vec<Mount>,
    /// Positions of its inputs.
    inputs: Vec<usize>,
    /// Time of its newest sample.
    newest: Option<i64>,
    /// Whether series of it came that may have samples from before.
    touched: bool,
    gone: bool,
}

#[derive(Debug)]
struct Mount {
    mountpoint: String,
    device: String,
    base: u32,
}

impl Hosts {
    pub(super) fn new(scope: Scope) -> Self {
        let mut hosts = Self {
            scope,
            ids: Vec::new(),
            inputs: Vec::new(),
            hosts: Vec::new(),
            by_instance: BTreeMap::new(),
            waiting: Vec::new(),
            more: 0,
            width: 0,
        };
        if let Scope::One { instance } = &hosts.scope {
            // The page of a server that has not reported yet waits for it.
            let (instance, job) = (instance.clone(), String::new());
            hosts.add_host(instance, job);
        }
        hosts
    }

    fn families(&self) -> &'static [Family] {
        match self.scope {
            Scope::List => family::LIST,
            Scope::One { .. } => family::ONE,
        }
    }

    fn outputs(&self) -> &'static [output::Output] {
        match self.scope {
            Scope::List => output::LIST,
            Scope::One { .. } => output::ONE,
        }
    }

    fn matchers(&self, family: &Family) -> Vec<Matcher> {
        let mut matchers = vec![Matcher::equal(METRIC_NAME, family.name)];
        matchers.extend(family.condition.map(|(name, value)| Matcher::equal(name, value)));
        if let Scope::One { instance } = &self.scope {
            matchers.push(Matcher::equal("instance", instance));
        }
        matchers
    }

    fn add_host(&mut self, instance: String, job: String) -> usize {
        let at = self.hosts.len();
        self.by_instance.insert(instance.clone(), at);
        self.hosts.push(Host {
            instance,
            job,
            nodename: String::new(),
            base: self.width,
            mounts: Vec::new(),
            inputs: Vec::new(),
            newest: None,
            touched: false,
            gone: false,
        });
        self.width += u32::try_from(self.outputs().len()).expect("a short list");
        at
    }

    /// The host a series belongs to, if it is one of a server that is shown. Hosts whose labels change are noted in `changed`.
    fn host_of(
        &mut self,
        part: Part,
        labels: &Labels,
        changed: &mut BTreeSet<usize>,
    ) -> Option<usize> {
        let instance = labels.get("instance");
        if instance.is_empty() {
            return None;
        }
        let (host, job) = (self.by_instance.get(instance).copied(), labels.get("job"));
        match host {
            Some(at) if part == Part::Up => (self.hosts[at].job == job).then_some(at),
            // `up` is everybody's: alone it does not make a server.
            None if part == Part::Up => None,
            Some(at) => {
                if self.hosts[at].job.is_empty() && !job.is_empty() {
                    job.clone_into(&mut self.hosts[at].job);
                    changed.insert(at);
                }
                Some(at)
            }
            None if self.by_instance.len() >= SERVERS_MAX => {
                // One series of each server.
                self.more += usize::from(part == Part::BootTime);
                None
            }
            None => {
                let at = self.add_host(instance.to_owned(), job.to_owned());
                changed.insert(at);
                Some(at)
            }
        }
    }

    fn mount_of(
        &mut self,
        host: usize,
        labels: &Labels,
        added: &mut Vec<Arc<Entry>>,
    ) -> Option<usize> {
        let mountpoint = labels.get("mountpoint");
        let mounts = &mut self.hosts[host].mounts;
        if let Some(at) = mounts.iter().position(|mount| mount.mountpoint == mountpoint) {
            return Some(at);
        }
        if mounts.len() >= FILESYSTEMS_MAX {
            return None;
        }
        let mount = Mount {
            mountpoint: mountpoint.to_owned(),
            device: labels.get("device").to_owned(),
            base: self.width,
        };
        if matches!(self.scope, Scope::One { .. }) {
            self.width += PER_FILESYSTEM;
            added.extend(mount.entries());
        }
        mounts.push(mount);
        Some(mounts.len() - 1)
    }

    fn host_entries(&self, host: &Host) -> Vec<Arc<Entry>> {
        let mut labels = vec![("instance".to_owned(), host.instance.clone())];
        for (name, value) in [("job", &host.job), ("nodename", &host.nodename)] {
            if !value.is_empty() {
                labels.push((name.to_owned(), value.clone()));
            }
        }
        if self.scope == Scope::List {
            return vec![Arc::new(Entry { i: host.base, labels, unit: None })];
        }
        let of_output = |(n, output): (usize, &output::Output)| {
            let mut all = vec![("name".to_owned(), output.field.name.to_owned())];
            if n == 0 {
                // Who it is, once.
                all.append(&mut labels);
            }
            Arc::new(Entry { i: host.base + n as u32, labels: all, unit: Some(output.field.unit) })
        };
        self.outputs().iter().enumerate().map(of_output).collect()
    }

    /// Selects the series of every family and sorts them into inputs, keeping what is known of old ones.
    fn select(
        &mut self,
        source: &dyn Source,
        changed: &mut BTreeSet<usize>,
        added: &mut Vec<Arc<Entry>>,
    ) -> Vec<(SeriesId, Input)> {
        self.more = 0;
        let mut found: Vec<(SeriesId, Input)> = Vec::new();
        for family in self.families() {
            let mut ids = source.select(&self.matchers(family), SERIES_PER_FAMILY_MAX);
            ids.truncate(SERIES_PER_FAMILY_MAX);
            for id in ids {
                if let Ok(at) = self.ids.binary_search(&id) {
                    found.push((id, self.inputs[at]));
                    continue;
                }
                let Some(labels) = source.labels(id) else { continue };
                let Some(part) = (family.part)(&labels) else { continue };
                let Some(host) = self.host_of(part, &labels, changed) else { continue };
                if part == Part::Name && self.hosts[host].nodename != labels.get("nodename") {
                    labels.get("nodename").clone_into(&mut self.hosts[host].nodename);
                    changed.insert(host);
                }
                let mount = if part.is_filesystem() {
                    let Some(mount) = self.mount_of(host, &labels, added) else { continue };
                    Some(mount)
                } else {
                    None
                };
                let mut track = Track::default();
                if let Some((t, v)) = source.latest(id) {
                    track.accept(t, v);
                    let host = &mut self.hosts[host];
                    host.newest = host.newest.max(Some(t));
                    host.touched = true;
                }
                found.push((id, Input { host, part, mount, track }));
            }
        }
        found.sort_unstable_by_key(|(id, _)| *id);
        found.dedup_by_key(|(id, _)| *id);
        found
    }

    fn parts(&self, host: &Host, t: i64) -> Parts {
        let mut parts = Parts::new(host.mounts.len());
        for at in &host.inputs {
            let input = &self.inputs[*at];
            let value =
                if input.part.is_counter() { input.track.rate(t) } else { input.track.gauge(t) };
            if let Some(value) = value {
                parts.add(input.part, input.mount, value);
            }
        }
        parts
    }

    /// Everything shown of a host at the time of its newest sample.
    fn points(&self, host: &Host) -> Vec<Point> {
        let Some(t) = host.newest else { return Vec::new() };
        let parts = self.parts(host, t);
        let mut points: Vec<_> = (host.base..)
            .zip(self.outputs())
            .map(|(i, output)| Point { i, t, v: output.shown(&parts) })
            .collect();
        if matches!(self.scope, Scope::One { .. }) {
            let shown = |value: Option<f64>| value.map_or(source::NONE, derive::rounded);
            for (at, mount) in host.mounts.iter().enumerate() {
                points.push(Point {
                    i: mount.base,
                    t,
                    v: shown(parts.filesystem_used_percent(at)),
                });
                points.push(Point { i: mount.base + 1, t, v: shown(parts.filesystems[at].0) });
            }
        }
        points
    }
}

impl Mount {
    fn entries(&self) -> [Arc<Entry>; PER_FILESYSTEM as usize] {
        let entry = |i, name: &str, unit| {
            let labels =
                [("name", name), ("mountpoint", &*self.mountpoint), ("device", &*self.device)];
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            Arc::new(Entry { i, labels, unit: Some(unit) })
        };
        [
            entry(self.base, "filesystem_used", "percent"),
            entry(self.base + 1, "filesystem_size", "bytes"),
        ]
    }
}

impl Engine for Hosts {
    fn resolve(&mut self, source: &dyn Source) -> Result<Changes, Refusal> {
        let mut changed = BTreeSet::new();
        let mut mounts_added = Vec::new();
        let found = self.select(source, &mut changed, &mut mounts_added);
        (self.ids, self.inputs) = found.into_iter().unzip();
        for host in &mut self.hosts {
            host.inputs.clear();
        }
        for (at, input) in self.inputs.iter().enumerate() {
            self.hosts[input.host].inputs.push(at);
        }
        let mut changes = Changes::default();
        let is_list = self.scope == Scope::List;
        for at in 0..self.hosts.len() {
            let host = &self.hosts[at];
            let only_up = host.inputs.iter().all(|input| self.inputs[*input].part == Part::Up);
            if is_list && only_up && !host.gone {
                changes.removed.push(host.base);
                changed.remove(&at);
                self.by_instance.remove(&host.instance);
                self.hosts[at].gone = true;
            }
        }
        for at in changed {
            changes.added.extend(self.host_entries(&self.hosts[at]));
        }
        changes.added.append(&mut mounts_added);
        Ok(changes)
    }

    fn inputs(&self) -> &[SeriesId] {
        &self.ids
    }

    fn accept(&mut self, input: usize, (t, v): Sample) {
        self.waiting.push((self.inputs[input].host, t, input, v));
    }

    fn drain(&mut self) -> Vec<Vec<Point>> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // A scrape after the other, as they happened, each server for itself.
        waiting.sort_unstable_by_key(|(host, t, input, _)| (*host, *t, *input));
        let mut updates: Vec<Vec<Point>> = Vec::new();
        for of_host in waiting.chunk_by(|a, b| a.0 == b.0) {
            let host = of_host[0].0;
            let scrapes: Vec<_> = of_host.chunk_by(|a, b| a.1 == b.1).collect();
            let shown_from = scrapes.len().saturating_sub(SCRAPES_AT_ONCE);
            for (nth, scrape) in scrapes.iter().enumerate() {
                for (_, t, input, v) in *scrape {
                    self.inputs[*input].track.accept(*t, *v);
                }
                let newest = &mut self.hosts[host].newest;
                let is_late = newest.is_some_and(|newest| newest > scrape[0].1);
                *newest = (*newest).max(Some(scrape[0].1));
                if let Some(update) = nth.checked_sub(shown_from).filter(|_| !is_late) {
                    updates.resize_with(updates.len().max(update + 1), Vec::new);
                    updates[update].extend(self.points(&self.hosts[host]));
                }
            }
            self.hosts[host].touched = false;
        }
        // Servers that just came show what was known of them before.
        for at in 0..self.hosts.len() {
            if std::mem::take(&mut self.hosts[at].touched) && !self.hosts[at].gone {
                updates.resize_with(updates.len().max(1), Vec::new);
                updates[0].extend(self.points(&self.hosts[at]));
            }
        }
        for points in &mut updates {
            points.sort_unstable_by_key(|point| point.i);
        }
        updates.retain(|points| !points.is_empty());
        updates
    }

    fn fields(&self) -> &'static [Field] {
        if self.scope == Scope::List { output::LIST_FIELDS } else { &[] }
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        let mut entries = Vec::new();
        for host in self.hosts.iter().filter(|host| !host.gone) {
            entries.extend(self.host_entries(host));
            if matches!(self.scope, Scope::One { .. }) {
                entries.extend(host.mounts.iter().flat_map(Mount::entries));
            }
        }
        entries
    }

    fn width(&self) -> u32 {
        self.width
    }

    fn more(&self) -> usize {
        self.more
    }

    fn loader(&self, _window: Window) -> Box<dyn Loader> {
        Box::new(loader::Past::new(self))
    }

    fn prime(&mut self, id: SeriesId, samples: &[Sample]) {
        let Ok(at) = self.ids.binary_search(&id) else { return };
        let input = &mut self.inputs[at];
        let host = &mut self.hosts[input.host];
        for (t, v) in samples.iter().rev() {
            input.track.prime(*t, *v);
            host.newest = host.newest.max(Some(*t));
        }
    }

    fn current(&self) -> Vec<Point> {
        self.hosts.iter().filter(|host| !host.gone).flat_map(|host| self.points(host)).collect()
    }
}
