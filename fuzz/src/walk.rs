//! The walk of a request in place against prost: what prost takes, the walk takes too, and both see the same.

use proto::remote_write::{
    Message, WireError,
    v1::{Exemplar, Histogram, Label, MetricMetadata, Sample, TimeSeries, WriteRequest},
    walk,
};

/// What a walk saw, in terms of prost's structs.
#[derive(Default)]
struct Rebuilt {
    request: WriteRequest,
    /// Something inside of a message that the walk steps over is no message.
    is_odd_inside: bool,
}

impl walk::Visitor for Rebuilt {
    type Error = WireError;

    fn series(&mut self, series: walk::RawSeries<'_>) -> Result<(), WireError> {
        let mut rebuilt = TimeSeries::default();
        for label in walk::labels(series.labels) {
            match label {
                Ok((name, value)) => {
                    match (String::from_utf8(name.to_vec()), String::from_utf8(value.to_vec())) {
                        (Ok(name), Ok(value)) => rebuilt.labels.push(Label { name, value }),
                        _ => self.is_odd_inside = true,
                    }
                }
                Err(_) => self.is_odd_inside = true,
            }
        }
        rebuilt.samples = series
            .samples
            .iter()
            .map(|sample| Sample { value: sample.value, timestamp: sample.timestamp })
            .collect();
        rebuilt.exemplars =
            series.exemplars.iter().map(|bytes| self.decoded::<Exemplar>(bytes)).collect();
        rebuilt.histograms =
            series.histograms.iter().map(|bytes| self.decoded::<Histogram>(bytes)).collect();
        self.request.timeseries.push(rebuilt);
        Ok(())
    }

    fn metadata(&mut self, message: &[u8]) -> Result<(), WireError> {
        let metadata = self.decoded::<MetricMetadata>(message);
        self.request.metadata.push(metadata);
        Ok(())
    }
}

impl Rebuilt {
    fn decoded<M: Message + Default>(&mut self, bytes: &[u8]) -> M {
        M::decode(bytes).unwrap_or_else(|_| {
            self.is_odd_inside = true;
            M::default()
        })
    }
}

pub fn target(data: &[u8]) {
    let mut rebuilt = Rebuilt::default();
    let walked = walk::v1(data, walk::Bounds::default(), &mut rebuilt);
    let Ok(decoded) = WriteRequest::decode(data) else {
        // Prost looks into everything at once.
        return;
    };
    assert_eq!(walked, Ok(()));
    assert!(!rebuilt.is_odd_inside);
    assert_eq!(rebuilt.request.encode_to_vec(), decoded.encode_to_vec());
    // Encoding leaves out −0, so the bits are compared apart.
    let bits = |request: &WriteRequest| {
        let samples = request.timeseries.iter().flat_map(|series| &series.samples);
        samples.map(|sample| (sample.timestamp, sample.value.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(bits(&rebuilt.request), bits(&decoded));
}
