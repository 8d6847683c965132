//! The walk of a 2.0 request in place against prost: what prost takes, the walk takes too, and both see the same.

use proto::remote_write::{
    Message, WireError,
    v2::{Exemplar, Histogram, Metadata, Request, Sample, TimeSeries},
    walk::{self, Bounds, ReferencedSeries, ReferencedVisitor, Symbols},
};

/// What a walk saw, in terms of prost's structs.
#[derive(Default)]
struct Rebuilt {
    request: Request,
    /// Something inside of a message that the walk steps over is no message.
    is_odd_inside: bool,
    is_cut: bool,
}

impl<'a> ReferencedVisitor<'a> for Rebuilt {
    type Error = WireError;

    fn symbols(&mut self, symbols: &Symbols<'a>) -> Result<(), WireError> {
        for symbol in symbols.iter() {
            match String::from_utf8(symbol.to_vec()) {
                Ok(text) => self.request.symbols.push(text),
                Err(_) => self.is_odd_inside = true,
            }
        }
        Ok(())
    }

    fn series(&mut self, _: &Symbols<'a>, series: ReferencedSeries<'_>) -> Result<(), WireError> {
        self.is_cut |= series.labels.len() != series.n_label_refs;
        let sample = |s: &walk::RawSample| Sample {
            value: s.value,
            timestamp: s.timestamp,
            start_timestamp: s.start_timestamp,
        };
        let rebuilt = TimeSeries {
            labels_refs: series.labels.to_vec(),
            samples: series.samples.iter().map(sample).collect(),
            histograms: series.histograms.iter().map(|m| self.decoded::<Histogram>(m)).collect(),
            exemplars: series.exemplars.iter().map(|m| self.decoded::<Exemplar>(m)).collect(),
            metadata: series.metadata.map(|raw| Metadata {
                r#type: raw.kind,
                help_ref: raw.help_ref,
                unit_ref: raw.unit_ref,
            }),
        };
        self.request.timeseries.push(rebuilt);
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
    let walked = walk::v2(data, Bounds::default(), &mut rebuilt);
    if rebuilt.is_cut || matches!(walked, Err(WireError::TooMany { .. })) {
        return;
    }
    let Ok(decoded) = Request::decode(data) else {
        // Prost looks into everything at once.
        return;
    };
    assert_eq!(walked, Ok(()));
    assert!(!rebuilt.is_odd_inside);
    assert_eq!(rebuilt.request.encode_to_vec(), decoded.encode_to_vec());
    // Encoding leaves out −0, so the bits are compared apart.
    let bits = |request: &Request| {
        let samples = request.timeseries.iter().flat_map(|series| &series.samples);
        samples.map(|sample| (sample.timestamp, sample.value.to_bits())).collect::<Vec<_>>()
    };
    assert_eq!(bits(&rebuilt.request), bits(&decoded));
}
