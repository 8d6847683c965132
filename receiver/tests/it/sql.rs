//! What people see with nothing but SQL.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use receiver::{
    model::{Sample, SeriesId},
    storage::block,
};

use crate::harness::{TestReceiver, now, series};

#[tokio::test]
async fn samples_and_latest() {
    let test = TestReceiver::open().await;
    let ts = now() / 1000 * 1000;
    let stale = proto::remote_write::stale_marker();
    let written = test
        .write(vec![
            series(
                &[("__name__", "load"), ("instance", "a"), ("job", "node")],
                &[(ts - 2000, 0.5), (ts - 1000, 0.75)],
            ),
            series(
                &[("__name__", "load"), ("instance", "b"), ("job", "node")],
                &[(ts - 2000, 1.5), (ts - 1000, stale)],
            ),
            series(&[("__name__", "other"), ("instance", "a")], &[(ts, 9.0)]),
        ])
        .await;
    assert_eq!(written.0, StatusCode::NO_CONTENT);
    let rows: Vec<(String, f64, f64)> = sqlx::query_as(
        "SELECT labels ->> 'instance', extract(epoch FROM ts)::float8 * 1000, value
           FROM watchpost.samples('load') ORDER BY series_id, ts",
    )
    .fetch_all(&test.db)
    .await
    .unwrap();
    let row = |instance: &str, ts: i64, value| (instance.to_owned(), ts as f64, value);
    assert_eq!(
        rows,
        [row("a", ts - 2000, 0.5), row("a", ts - 1000, 0.75), row("b", ts - 2000, 1.5)]
    );

    let count = async |sql: &'static str| -> i64 {
        sqlx::query_scalar(sql).fetch_one(&test.db).await.unwrap()
    };
    assert_eq!(
        count("SELECT count(*) FROM watchpost.samples('load', '{\"instance\": \"a\"}')").await,
        2
    );
    assert_eq!(
        count("SELECT count(*) FROM watchpost.samples('load', '{\"instance\": \"none\"}')").await,
        0
    );
    assert_eq!(count("SELECT count(*) FROM watchpost.samples('no such metric')").await, 0);
    assert_eq!(
        count(
            "SELECT count(*) FROM watchpost.samples('load', \"to\" => now() - interval '1 hour')"
        )
        .await,
        0
    );
    assert_eq!(count("SELECT count(*) FROM watchpost.samples_raw('load')").await, 4);
    // The series that ended has no latest value.
    let latest: Vec<(String, f64)> =
        sqlx::query_as("SELECT labels ->> 'instance', value FROM watchpost.latest('load')")
            .fetch_all(&test.db)
            .await
            .unwrap();
    assert_eq!(latest, [("a".to_owned(), 0.75)]);
}

#[tokio::test]
async fn floats_and_their_bits() {
    let test = TestReceiver::open().await;
    for value in [
        0.0,
        -0.0,
        1.0,
        -1.5,
        0.1,
        1e300,
        -1e-300,
        f64::MIN_POSITIVE,
        f64::from_bits(1),
        -f64::from_bits(7),
        f64::MAX,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ] {
        let bits = value.to_bits() as i64;
        let (back, to): (f64, i64) =
            sqlx::query_as("SELECT watchpost.float8_from_bits($1), watchpost.float8_to_bits($2)")
                .bind(bits)
                .bind(value)
                .fetch_one(&test.db)
                .await
                .unwrap();
        assert_eq!((back.to_bits(), to), (value.to_bits(), bits), "{value}");
    }
}

/// Numbers without rhyme, the same each time: splitmix64.
fn roll(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Series of every kind of chunk and every length of varint: what Rust encodes, SQL decodes to the same 64 bits, whole
/// and in part.
#[tokio::test]
async fn sql_decodes_what_rust_encodes() {
    let test = TestReceiver::open().await;
    let mut state = 1;
    let mut encoder = block::Encoder::default();
    for round in 0..60u32 {
        let mut expected: BTreeMap<SeriesId, Vec<Sample>> = BTreeMap::new();
        for id in 0..1 + roll(&mut state) % 64 {
            let n = [1, 2, 3, 7, 8, 9, 15, 16, 17, 120, 513, 514, 515, 700]
                [roll(&mut state) as usize % 14];
            let size = 1u64 << (roll(&mut state) % 40);
            let (scale, kind) = (10f64.powi((roll(&mut state) % 8) as i32), roll(&mut state) % 12);
            // What all differences have in common, up to what is too far apart to be packed.
            let factor = (1 + (roll(&mut state) % 100) as i64) << (roll(&mut state) % 45);
            let odd = roll(&mut state).is_multiple_of(3);
            let jitter = roll(&mut state).is_multiple_of(2);
            let (mut m, mut d) = (0i64, (roll(&mut state) % 1000) as i64);
            let mut samples: Vec<Sample> = Vec::new();
            let mut sum = 0.0;
            let mut ts = 1_700_000_000_000 + (roll(&mut state) % 3) as i64 * 1000;
            for _ in 0..n {
                let noise = (roll(&mut state) % size) as i64 - (size / 2) as i64;
                match kind {
                    0 => {}
                    1 => m += noise,
                    2 => m += d,
                    3 => {
                        d += noise % 50;
                        m += d;
                    }
                    4 => m = noise,
                    5 => m += noise % 30,
                    6 => m += (noise % 3) * 1000,
                    // Steps and values with a common factor, some of them far away.
                    8 => m = (m + noise % 9 * factor) % (1 << 53),
                    9 => m = noise % 9 * factor % (1 << 53),
                    // Standing still for long.
                    10 if !roll(&mut state).is_multiple_of(40) => {}
                    // Mostly little ones, and a restart now and then.
                    11 if roll(&mut state).is_multiple_of(30) => m = noise % 1_000_000,
                    _ => m += noise.rem_euclid(100),
                }
                let bits = roll(&mut state);
                sum += (bits % 1_000_000) as f64 / 1e9;
                let value = match (odd, bits % 50, kind) {
                    (true, 0, _) => f64::from_bits(proto::remote_write::STALE_MARKER_BITS),
                    (true, 1, _) => -0.0,
                    (true, 2, _) => 1.0 / 3.0,
                    (true, 3, _) => f64::NEG_INFINITY,
                    (true, _, 4) => f64::from_bits(bits),
                    // Sums, which are noisy decimals.
                    (_, _, 7) => sum,
                    _ => m as f64 / scale,
                };
                samples.push(Sample { ts, value });
                ts += if jitter { 15_000 + (bits % 7) as i64 / 6 } else { 15_000 };
            }
            expected.insert(SeriesId((id * (1 + roll(&mut state) % 3) * 70 + 5) as i64), samples);
        }
        let encoded = encoder.encode(expected.iter().map(|(id, samples)| (*id, &samples[..])));
        let decode = async |wanted: Option<Vec<i64>>, from: i64, to: i64| {
            let rows: Vec<(i64, i64, i64)> = sqlx::query_as(
                "SELECT s.series_id, s.ts, coalesce(s.bits, watchpost.float8_to_bits(s.value))
                   FROM (SELECT c.series_id, unnest(c.times) AS ts, unnest(c.mantissas) / c.power AS value,
                                unnest(c.bits) AS bits
                           FROM watchpost.block_columns($1, $2, $3, $4) c) s",
            )
            .bind(&encoded.body)
            .bind(wanted)
            .bind(from)
            .bind(to)
            .fetch_all(&test.db)
            .await
            .unwrap();
            rows
        };
        let told = |only: Option<i64>, from: i64, to: i64| -> Vec<(i64, i64, i64)> {
            expected
                .iter()
                .filter(|(id, _)| only.is_none_or(|only| only == id.0))
                .flat_map(|(id, samples)| {
                    samples.iter().map(|s| (id.0, s.ts, s.value.to_bits() as i64))
                })
                .filter(|(_, ts, _)| (from..=to).contains(ts))
                .collect()
        };
        let first_difference = |a: Vec<(i64, i64, i64)>, b: Vec<(i64, i64, i64)>| {
            let differing = a.iter().zip(&b).find(|(a, b)| a != b).map(|(a, b)| (*a, *b));
            (a.len() != b.len() || differing.is_some()).then_some((a.len(), b.len(), differing))
        };
        let all = decode(None, i64::MIN, i64::MAX).await;
        assert_eq!(first_difference(all, told(None, i64::MIN, i64::MAX)), None, "round {round}");
        let last = *expected.keys().last().unwrap();
        let (from, to) = (1_700_000_040_000, 1_700_001_000_000);
        let part = decode(Some(vec![-5, last.0, i64::MAX]), from, to).await;
        assert_eq!(first_difference(part, told(Some(last.0), from, to)), None, "round {round}");
    }
}
