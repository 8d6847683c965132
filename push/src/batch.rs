//! From records to the body of a request: samples of a series that lie in several records are put together.

use std::collections::HashMap;

use proto::{
    remote_write::{
        Message,
        v1::{Label, TimeSeries, WriteRequest},
    },
    snappy,
};

use crate::version_two::{self, Descriptions};

/// Of one record when it is unpacked; they are split when they are made ([`pack`]).
const UNPACKED_BYTES_MAX: usize = 64 << 20;
/// Series of one record. Receivers take millions, but not in each place.
const SERIES_PER_RECORD: usize = 5_000;

/// One record: a snappy block of a version 1.0 request.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) payload: Vec<u8>,
    pub(crate) samples: u64,
    pub(crate) newest_ms: i64,
}

/// Records of what a scrape brought. The metadata goes with the first.
pub(crate) fn pack(mut request: WriteRequest) -> Vec<Packed> {
    let mut packed = Vec::new();
    let mut series = std::mem::take(&mut request.timeseries);
    let mut metadata = std::mem::take(&mut request.metadata);
    while !series.is_empty() || !metadata.is_empty() {
        let rest = series.split_off(series.len().min(SERIES_PER_RECORD));
        let part = WriteRequest {
            timeseries: std::mem::replace(&mut series, rest),
            metadata: std::mem::take(&mut metadata),
        };
        let samples = samples(&part).count() as u64;
        let newest_ms = samples_newest(&part);
        packed.push(Packed {
            payload: snappy::compress(&part.encode_to_vec()),
            samples,
            newest_ms,
        });
    }
    packed
}

fn samples(request: &WriteRequest) -> impl Iterator<Item = &proto::remote_write::v1::Sample> {
    request.timeseries.iter().flat_map(|series| &series.samples)
}

fn samples_newest(request: &WriteRequest) -> i64 {
    samples(request).map(|sample| sample.timestamp).max().unwrap_or(0)
}

/// What is sent at once.
#[derive(Debug)]
pub(crate) struct Batch {
    request: WriteRequest,
    pub(crate) newest_ms: i64,
}

impl Batch {
    /// Puts records together, in their order. What cannot be unpacked, though its check sum was right, is left out.
    pub(crate) fn of(payloads: &[Vec<u8>]) -> Self {
        let mut joined = WriteRequest::default();
        let mut places: HashMap<Vec<Label>, usize> = HashMap::new();
        let mut unpacked = Vec::new();
        for payload in payloads {
            unpacked.clear();
            if snappy::decompress(payload, UNPACKED_BYTES_MAX, &mut unpacked).is_err() {
                continue;
            }
            let Ok(request) = WriteRequest::decode(unpacked.as_slice()) else { continue };
            if !request.metadata.is_empty() {
                joined.metadata = request.metadata;
            }
            if payloads.len() == 1 {
                joined.timeseries = request.timeseries;
                break;
            }
            for TimeSeries { labels, samples, .. } in request.timeseries {
                if let Some(place) = places.get(&labels) {
                    joined.timeseries[*place].samples.extend(samples);
                    continue;
                }
                places.insert(labels.clone(), joined.timeseries.len());
                joined.timeseries.push(TimeSeries { labels, samples, ..TimeSeries::default() });
            }
        }
        let newest_ms = samples_newest(&joined);
        Self { request: joined, newest_ms }
    }

    /// The body of version 1.0.
    pub(crate) fn version_one(&self) -> Vec<u8> {
        snappy::compress(&self.request.encode_to_vec())
    }

    /// The body of version 2.0.
    pub(crate) fn version_two(&self, descriptions: &mut Descriptions) -> Vec<u8> {
        descriptions.learn(&self.request.metadata);
        snappy::compress(&version_two::of(&self.request, descriptions).encode_to_vec())
    }

    pub(crate) fn learn(&self, descriptions: &mut Descriptions) {
        descriptions.learn(&self.request.metadata);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::{exposition::Exposition, scrape::Target};

    use super::*;

    #[test]
    fn records_are_joined_by_series_and_in_order() {
        let mut target = Target::new(&[("job", "node")]);
        let mut payloads = Vec::new();
        for at_ms in 1..=3 {
            let mut metrics = Exposition::new();
            metrics.gauge("a", "A.", at_ms as f64);
            let packed = pack(target.scraped(&metrics, at_ms, Duration::ZERO));
            assert_eq!((packed.len(), packed[0].samples, packed[0].newest_ms), (1, 6, at_ms));
            payloads.extend(packed.into_iter().map(|packed| packed.payload));
        }
        payloads.insert(1, b"no snappy".to_vec());
        let batch = Batch::of(&payloads);
        assert_eq!(batch.newest_ms, 3);
        assert_eq!(batch.request.timeseries.len(), 6);
        for series in &batch.request.timeseries {
            let times: Vec<i64> = series.samples.iter().map(|sample| sample.timestamp).collect();
            assert_eq!(times, [1, 2, 3]);
        }
        let alone = Batch::of(&payloads[..1]);
        assert!(alone.request.timeseries.iter().all(|series| series.samples.len() == 1));
    }

    #[test]
    fn what_is_large_becomes_several_records() {
        let mut metrics = Exposition::new();
        let mut family = metrics.family("a", "A.", proto::exposition::Kind::Gauge);
        for number in 0..12_000 {
            family.sample(&[("number", &number.to_string())], 1.0);
        }
        let mut request = Target::new(&[]).scraped(&metrics, 5, Duration::ZERO);
        request.metadata = proto::scrape::metadata(&metrics);
        let packed = pack(request);
        let samples: Vec<u64> = packed.iter().map(|packed| packed.samples).collect();
        assert_eq!(samples, [5_000, 5_000, 2_005]);
        assert!(pack(WriteRequest::default()).is_empty());
    }
}
