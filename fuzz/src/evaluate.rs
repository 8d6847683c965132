//! Any query over series of every kind has an answer or an error: the first byte chooses the times, the rest is the query.

use std::{
    cell::Cell,
    sync::{Arc, OnceLock},
};

use ::promql::{
    Features, Interrupt, Limits, Options, Outcome, Query, Stop, Times, evaluate,
    model::{Histogram, HistogramSample, Labels, stale_marker},
    source::memory::MemorySource,
};

/// Series or steps between two looks at the clock that a real deadline would allow.
const CHECKS_MAX: u32 = 2_000;

pub fn target(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let Ok(query) = Query::new(text, Features::ALL) else { return };
    let times = match choice % 4 {
        0 => Times::Instant(600_000),
        1 => Times::Instant(i64::MAX),
        2 => Times::Range { start: 0, end: 900_000, step: 15_000 },
        _ => Times::Range { start: -60_000, end: 60_000, step: 1_700 },
    };
    let options = Options {
        delayed_name_removal: choice & 4 != 0,
        start_timestamps: choice & 8 != 0,
        limits: Limits { samples_max: 100_000, bytes_max: 4 << 20, steps_max: 2_000 },
        ..Options::default()
    };
    let answer = evaluate(&query, times, source(), &options, &Patience(Cell::new(CHECKS_MAX)));
    if let Ok(answer) = answer
        && let Outcome::Matrix(series) = answer.outcome
    {
        assert!(series.windows(2).all(|pair| pair[0].labels < pair[1].labels));
        for one in &series {
            let points = one.points();
            assert!(points.windows(2).all(|pair| pair[0].ts() < pair[1].ts()));
        }
    }
}

/// Ends what takes too long, the same way every time.
struct Patience(Cell<u32>);

impl Interrupt for Patience {
    fn check(&self) -> Result<(), Stop> {
        let left = self.0.get().checked_sub(1).ok_or(Stop::TimedOut)?;
        self.0.set(left);
        Ok(())
    }
}

fn source() -> &'static MemorySource {
    static SOURCE: OnceLock<MemorySource> = OnceLock::new();
    SOURCE.get_or_init(|| {
        let mut source = MemorySource::default();
        let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e308, stale_marker()];
        for (at, le) in ["0.1", "1", "+Inf", "x"].into_iter().enumerate() {
            let labels = [("__name__", "b_bucket"), ("a", "1"), ("le", le)];
            let samples = source.series(Labels::from_pairs(labels).expect("distinct"));
            (0..60).for_each(|n| samples.push(n * 15_000, (n * (at as i64 + 1)) as f64));
        }
        for (name, a) in [("m", "1"), ("m", "2"), ("target_info", "1"), ("m_total", "")] {
            let labels = [("__name__", name), ("a", a), ("job", "j"), ("instance", "i")];
            let samples = source.series(Labels::from_pairs(labels).expect("distinct"));
            for n in 0..60 {
                let value = if a == "2" { odd[n as usize % odd.len()] } else { (n % 40) as f64 };
                samples.push_since(n * 15_000 + 1, value, if n > 30 { 450_000 } else { 0 });
            }
        }
        for a in ["1", "2"] {
            let labels = [("__name__", "h"), ("a", a)];
            let samples = source.series(Labels::from_pairs(labels).expect("distinct"));
            for n in 0..40 {
                let value = Histogram { count: n as f64, sum: 0.5, ..Histogram::default() };
                let sample =
                    HistogramSample { ts: n * 15_000, value: Arc::new(value), start_ts: 0 };
                samples.histograms.push(sample);
                if a == "2" && n % 5 == 0 {
                    samples.push(n * 15_000 + 7, n as f64);
                }
            }
        }
        source
    })
}
