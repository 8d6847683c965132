//! Reading the past for a snapshot: in parts, so that memory stays bounded by the answer and not by the samples.

use super::{
    derive::{FRESH_MS, Grid},
    engine::{Loader, Reach, Window},
    frame::Column,
    source::{Sample, Source},
};
use crate::model::SeriesId;

/// Series read at once: 256 series × 6 h × 1 sample a second is 90 MB, and 15 min is 4.
const SERIES_AT_ONCE: usize = 256;
/// Series whose spacing is looked at to find how often samples come.
const SPACING_SERIES: usize = 32;
/// Steps people find on a clock.
const ROUND_STEPS_MS: [i64; 14] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
    1_800_000, 3_600_000, 7_200_000,
];

/// The past of a channel.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) grid: Grid,
    pub(super) columns: Vec<(u32, Column)>,
    /// The newest two samples of every series read.
    pub(super) tails: Vec<(SeriesId, Vec<Sample>)>,
}

/// Reads what `loader` wants up to `now_ms`.
pub(super) async fn load(
    source: &dyn Source,
    mut loader: Box<dyn Loader>,
    window: Window,
    now_ms: i64,
) -> anyhow::Result<Loaded> {
    let mut wants: Vec<_> = loader.wants().into_iter().enumerate().collect();
    // The window first: its first part tells how often samples come.
    wants.sort_by_key(|(_, (_, reach))| *reach != Reach::Window);
    let mut grid = None;
    let mut tails = Vec::with_capacity(wants.len());
    for part in wants.chunk_by(|a, b| a.1.1 == b.1.1).flat_map(|same| same.chunks(SERIES_AT_ONCE)) {
        let reach_ms = match part[0].1.1 {
            // A rate at the first point needs a sample before it.
            Reach::Window => window.range_ms + 2 * window.step_ms.max(30_000),
            Reach::Recent { ms } => ms,
        };
        let ids: Vec<_> = part.iter().map(|(_, (id, _))| *id).collect();
        let rows = source.read(&ids, now_ms - reach_ms, now_ms).await?;
        anyhow::ensure!(
            rows.len() == ids.len(),
            "the store answered {} of {} series",
            rows.len(),
            ids.len()
        );
        if grid.is_none() {
            let found = grid_for(window, spacing_ms(&rows), now_ms);
            loader.begin(found);
            grid = Some(found);
        }
        for ((want, (id, _)), samples) in part.iter().zip(&rows) {
            loader.take(*want, samples);
            tails.push((*id, samples[samples.len().saturating_sub(2)..].to_vec()));
        }
    }
    let grid = grid.unwrap_or_else(|| {
        let found = grid_for(window, None, now_ms);
        loader.begin(found);
        found
    });
    Ok(Loaded { grid, columns: loader.finish(), tails })
}

/// The usual distance of samples: the median of the most frequent series.
fn spacing_ms(rows: &[Vec<Sample>]) -> Option<i64> {
    let of_one = |samples: &Vec<Sample>| {
        let mut distances: Vec<_> =
            samples.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|ms| *ms > 0).collect();
        distances.sort_unstable();
        distances.get(distances.len() / 2).copied()
    };
    rows.iter().filter(|samples| samples.len() > 2).take(SPACING_SERIES).filter_map(of_one).min()
}

/// Points no closer than asked, than there are samples, and than the window needs.
fn grid_for(window: Window, spacing_ms: Option<i64>, now_ms: i64) -> Grid {
    let fits = window.range_ms / i64::from(window.points.max(1));
    let spacing = spacing_ms.unwrap_or(0).min(FRESH_MS);
    // Scrapes tremble: 15.003 s is 15 s.
    let least = window.step_ms.max(fits).max(spacing - spacing / 20).max(1);
    let step_ms = ROUND_STEPS_MS.into_iter().find(|step| *step >= least).unwrap_or(least);
    let points = (window.range_ms / step_ms).max(1);
    let last = now_ms - now_ms.rem_euclid(step_ms);
    Grid {
        t0: last - (points - 1) * step_ms,
        step_ms,
        points: usize::try_from(points).unwrap_or(1),
        look_back_ms: (spacing * 5 / 2).max(step_ms + step_ms / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_follows_the_samples_and_the_clock() {
        let window = Window { range_ms: 900_000, step_ms: 1_000, points: 600 };
        let check = |spacing, expected_step, expected_points| {
            let grid = grid_for(window, spacing, 1_000_007);
            assert_eq!((grid.step_ms, grid.points), (expected_step, expected_points));
            assert_eq!(grid.t0 % grid.step_ms, 0);
            let last = grid.times().last().unwrap();
            assert!(last <= 1_000_007 && last > 1_000_007 - grid.step_ms);
        };
        check(None, 2_000, 450);
        check(Some(1_000), 2_000, 450);
        check(Some(15_003), 15_000, 60);
        check(Some(60_000), 60_000, 15);
        let rows = vec![
            vec![(0, 1.0), (15_001, 1.0), (30_000, 1.0), (90_000, 1.0)],
            vec![],
            vec![(0, 0.0)],
        ];
        assert_eq!(spacing_ms(&rows), Some(15_001));
        assert_eq!(spacing_ms(&[]), None);
    }
}
