//! Round trips of any histograms, the stored bytes of known ones, and damage.

use proptest::prelude::*;

use super::*;
use crate::storage::histogram::testing::{any_run, exponential, float, nhcb};

fn round_trip(samples: &[HistogramSample]) -> Vec<u8> {
    let bytes = encode_chunk(samples);
    let back = decode_chunk(&bytes, samples.len()).unwrap();
    let sent: Vec<&NativeHistogram> = samples.iter().map(|sample| &*sample.histogram).collect();
    assert_eq!(back.iter().collect::<Vec<_>>(), sent);
    bytes
}

fn at_times(histograms: Vec<NativeHistogram>) -> Vec<HistogramSample> {
    histograms
        .into_iter()
        .zip(1i64..)
        .map(|(histogram, ts)| HistogramSample { ts: ts * 1000, histogram: Arc::new(histogram) })
        .collect()
}

/// A busy histogram's life: counts grow, a bucket is added, the series ends and comes back.
fn life() -> Vec<NativeHistogram> {
    let mut life: Vec<NativeHistogram> =
        (0..20).map(|i| exponential(3, &[(-2, 3), (4, 1)], &[5 + i, 7, 9 + i * i, 1])).collect();
    life.push(NativeHistogram::stale());
    life.extend((0..5).map(|i| exponential(3, &[(-2, 4), (3, 1)], &[30 + i, 7, 500, i, 1])));
    life
}

/// The stored bytes of known chunks. A failure here means that stored data would no longer be read.
#[test]
fn goldens() {
    let check = |histograms: Vec<NativeHistogram>, hex: &str| {
        let bytes = round_trip(&at_times(histograms));
        let found: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(found, hex);
    };
    check(vec![NativeHistogram::stale()], GOLDEN_STALE);
    check(vec![exponential(3, &[(-2, 3), (4, 1)], &[5, 7, 9, 1])], GOLDEN_ONE);
    check(vec![nhcb(&[0.005, 0.01, 1.0], &[1, 2, 3, 4]); 3], GOLDEN_CUSTOM);
    check(vec![float(0, &[(0, 2)], &[0.5, 1e300]); 2], GOLDEN_FLOAT);
    check(life(), GOLDEN_LIFE);
}

const GOLDEN_STALE: &str = "01000000000030020000000000f07f0000";
const GOLDEN_ONE: &str = "011006ff010203030801000002fe082e020a0e1202";
const GOLDEN_CUSTOM: &str = "01046901000403130a0abc0f0000000001fa01001400000002000400060008";
const GOLDEN_FLOAT: &str =
    "012100fca9f1d24d62503f0100020000000003fa01309c7500883ce4377e000000010a309c7500883ce4377e00";
const GOLDEN_LIFE: &str = "031006ff0102030308010000001006ff010203040601001401010205000000008206fe0832028000012e04080c1014181c2024282c3034383c4044484c0002020a02000000000000000000000000000000000000000e011202060a0e12161a1e22262a2e32363a3e42464a0002000030020000000000f07f00000000000022c6d2016400000002b608040000000002023c02000000000e00e8070200020000000002";

#[test]
fn standing_buckets_cost_three_bytes() {
    let quiet: Vec<NativeHistogram> = (0..480)
        .map(|i| exponential(3, &[(0, 100)], &[&[7 + i][..], &[50; 99]].concat()))
        .collect();
    let bytes = round_trip(&at_times(quiet));
    // Hints, starts, sum, count and the first bucket change or are short; 99 columns stand still.
    assert!(bytes.len() < 99 * 3 + 3 * 500, "{}", bytes.len());
}

#[test]
fn damaged_chunks_are_errors() {
    let samples = at_times(life());
    let whole = encode_chunk(&samples);
    for cut in 0..whole.len() {
        assert!(decode_chunk(&whole[..cut], samples.len()).is_err(), "cut at {cut}");
    }
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            let _ = decode_chunk(&bytes, samples.len());
        }
    }
    assert!(decode_chunk(&whole, 0).is_err());
    assert!(decode_chunk(&whole, CHUNK_LEN_MAX + 1).is_err());
}

/// Few bytes cannot claim much memory: constant columns of a thousand histograms with sixteen thousand buckets.
#[test]
fn claims_are_bounded() {
    // One layout: plain, schema 0, no threshold, one span of 16384 buckets; then columns that need three bytes each.
    let mut bytes = vec![1, 0, 0, 1, 0, 0x80, 0x80, 0x01];
    bytes.extend(vec![0; 3 * 20_000]);
    let refused = decode_chunk(&bytes, CHUNK_LEN_MAX).unwrap_err();
    assert!(matches!(refused, CodecError::Malformed { what: "a chunk holds too many counts", .. }));
    assert_eq!(decode_chunk(&bytes, 1).unwrap()[0].counts().n_buckets(), 16384);
}

/// A group of any series, and of a few of them.
fn group_round_trip(series: &[(i64, Vec<HistogramSample>)]) {
    let mut encoder = Encoder::default();
    let (mut dictionary, mut members) = (Dictionary::default(), Vec::new());
    for (id, samples) in series {
        encoder.cut(*id, samples, &mut dictionary, &mut members);
    }
    let mut bytes = Vec::new();
    dictionary.encode(0, &mut bytes);
    encoder.encode(&members, &mut bytes);
    for wanted in [&[][..], &[series[0].0], &series.iter().map(|(id, _)| *id).collect::<Vec<_>>()] {
        let mut reader = Reader::new(&bytes);
        let vectors = Vectors::decode(&mut reader, 0).unwrap();
        let mut seen: Vec<(i64, Vec<HistogramSample>)> = Vec::new();
        let sink = |id, sample| match seen.last_mut() {
            Some((last, samples)) if *last == id => samples.push(sample),
            _ => seen.push((id, vec![sample])),
        };
        decode(&mut reader, &vectors, &mut Scratch::default(), |id| wanted.contains(&id), sink)
            .unwrap();
        assert!(reader.is_at_end());
        let expected: Vec<_> =
            series.iter().filter(|(id, _)| wanted.contains(id)).cloned().collect();
        assert_eq!(seen, expected);
    }
}

#[test]
fn long_series_are_cut() {
    let long = |n: usize, buckets: u32| {
        at_times(vec![exponential(0, &[(0, buckets)], &vec![1; buckets as usize]); n])
    };
    group_round_trip(&[(3, long(2500, 1)), (4, long(70, 16_000)), (900, long(1, 0))]);
}

proptest! {
    #[test]
    fn all_bits_survive(histograms in any_run()) {
        round_trip(&at_times(histograms));
    }

    #[test]
    fn groups(series in prop::collection::btree_map(0i64..1000, any_run(), 1..5)) {
        let series: Vec<_> = series.into_iter().map(|(id, run)| (id, at_times(run))).collect();
        group_round_trip(&series);
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), n in 0usize..100) {
        let _ = decode_chunk(&bytes, n);
        let mut reader = Reader::new(&bytes);
        if let Ok(vectors) = Vectors::decode(&mut reader, 0) {
            let _ = decode(&mut reader, &vectors, &mut Scratch::default(), |_| true, |_, _| {});
        }
    }
}
