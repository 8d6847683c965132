//! The past of servers: each series folded into the sums of its part as soon as it is read.

use std::collections::BTreeMap;

use super::{
    super::{
        derive::{self, Grid},
        engine::{Loader, Reach},
        frame::Column,
        source::{self, Sample},
    },
    Hosts, Scope,
    family::Part,
    output::{Output, Parts},
};
use crate::model::SeriesId;

/// Enough for two samples of a counter at the usual intervals, for its present rate.
const RATE_REACH_MS: i64 = 150_000;

pub(super) struct Past {
    wants: Vec<Want>,
    shown: Vec<Shown>,
    outputs: &'static [Output],
    grid: Option<Grid>,
    sums: BTreeMap<(usize, Part, Option<usize>), Vec<Sum>>,
}

struct Want {
    id: SeriesId,
    host: usize,
    part: Part,
    mount: Option<usize>,
    reach: Reach,
}

/// Where the values of a host go.
struct Shown {
    host: usize,
    base: u32,
    /// Index of each file system's percent; empty where they are not shown.
    mounts: Vec<u32>,
}

#[derive(Clone, Copy, Default)]
struct Sum {
    sum: f64,
    count: u32,
}

impl Past {
    pub(super) fn new(hosts: &Hosts) -> Self {
        let is_list = hosts.scope == Scope::List;
        let wanted = |part: Part| match part {
            Part::Name | Part::Up | Part::BootTime => None,
            _ if !is_list || part == Part::CpuIdle => Some(Reach::Window),
            _ if part.is_counter() => Some(Reach::Recent { ms: RATE_REACH_MS }),
            // A gauge's present value is known without reading.
            _ => None,
        };
        let wants = hosts.ids.iter().zip(&hosts.inputs).filter_map(|(id, input)| {
            let reach = wanted(input.part)?;
            Some(Want { id: *id, host: input.host, part: input.part, mount: input.mount, reach })
        });
        let shown =
            hosts.hosts.iter().enumerate().filter(|(_, host)| !host.gone).map(|(at, host)| {
                let mounts = if is_list { &[][..] } else { &host.mounts };
                Shown {
                    host: at,
                    base: host.base,
                    mounts: mounts.iter().map(|mount| mount.base).collect(),
                }
            });
        Self {
            wants: wants.collect(),
            shown: shown.collect(),
            outputs: hosts.outputs(),
            grid: None,
            sums: BTreeMap::new(),
        }
    }

    /// The sums of one host at one point.
    fn parts(&self, host: usize, n_mounts: usize, point: usize) -> Parts {
        let mut parts = Parts::new(n_mounts);
        let of_host = (host, Part::Up, None)..(host + 1, Part::Up, None);
        for ((_, part, mount), sums) in self.sums.range(of_host) {
            let Sum { sum, count } = sums[point];
            if count > 0 && mount.is_none_or(|mount| mount < n_mounts) {
                parts.add_sum(*part, *mount, sum, count);
            }
        }
        parts
    }
}

impl Loader for Past {
    fn wants(&self) -> Vec<(SeriesId, Reach)> {
        self.wants.iter().map(|want| (want.id, want.reach)).collect()
    }

    fn begin(&mut self, grid: Grid) {
        self.grid = Some(grid);
    }

    fn take(&mut self, want: usize, samples: &[Sample]) {
        let Want { host, part, mount, reach, .. } = self.wants[want];
        let Some(grid) = self.grid.filter(|_| reach == Reach::Window) else { return };
        let values = if part.is_counter() { grid.rate(samples) } else { grid.gauge(samples) };
        let sums = self
            .sums
            .entry((host, part, mount))
            .or_insert_with(|| vec![Sum::default(); grid.points]);
        for (sum, value) in sums.iter_mut().zip(values) {
            if let Some(value) = value {
                sum.sum += value;
                sum.count += 1;
            }
        }
    }

    fn finish(self: Box<Self>) -> Vec<(u32, Column)> {
        let n_points = self.grid.map_or(0, |grid| grid.points);
        let mut columns = Vec::new();
        for Shown { host, base, mounts } in &self.shown {
            let points: Vec<_> =
                (0..n_points).map(|point| self.parts(*host, mounts.len(), point)).collect();
            let column = |value: &dyn Fn(&Parts) -> f64| Column {
                times: None,
                values: points.iter().map(value).collect(),
            };
            for (i, output) in (*base..).zip(self.outputs).filter(|(_, output)| output.history) {
                columns.push((i, column(&|parts| output.shown(parts))));
            }
            for (at, i) in mounts.iter().enumerate() {
                columns.push((
                    *i,
                    column(&|parts| {
                        parts.filesystem_used_percent(at).map_or(source::NONE, derive::rounded)
                    }),
                ));
            }
        }
        columns
    }
}
