//! The in-place walk against prost: the same messages, read by both, must hold the same.

use proptest::prelude::*;
use prost::Message;
use proto::remote_write::{WireError, v1, walk};

/// What a walk saw, in terms of prost's structs.
#[derive(Default)]
struct Rebuilt(v1::WriteRequest);

impl walk::Visitor for Rebuilt {
    type Error = WireError;

    fn series(&mut self, series: walk::RawSeries<'_>) -> Result<(), WireError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let labels = walk::labels(series.labels)
            .map(|label| {
                label.map(|(name, value)| v1::Label { name: text(name), value: text(value) })
            })
            .collect::<Result<_, _>>()?;
        self.0.timeseries.push(v1::TimeSeries {
            labels,
            samples: series
                .samples
                .iter()
                .map(|s| v1::Sample { value: s.value, timestamp: s.timestamp })
                .collect(),
            exemplars: series.exemplars.iter().map(|m| v1::Exemplar::decode(*m).unwrap()).collect(),
            histograms: series
                .histograms
                .iter()
                .map(|m| v1::Histogram::decode(*m).unwrap())
                .collect(),
        });
        Ok(())
    }

    fn metadata(&mut self, message: &[u8]) -> Result<(), WireError> {
        self.0.metadata.push(v1::MetricMetadata::decode(message).unwrap());
        Ok(())
    }
}

fn walked(body: &[u8]) -> Result<v1::WriteRequest, WireError> {
    let mut rebuilt = Rebuilt::default();
    walk::v1(body, walk::Bounds::default(), &mut rebuilt)?;
    Ok(rebuilt.0)
}

fn any_label() -> impl Strategy<Value = v1::Label> {
    ("[a-z_]{0,8}", "\\PC{0,12}").prop_map(|(name, value)| v1::Label { name, value })
}

fn any_series() -> impl Strategy<Value = v1::TimeSeries> {
    let sample =
        (any::<f64>(), any::<i64>()).prop_map(|(value, timestamp)| v1::Sample { value, timestamp });
    let exemplar = (prop::collection::vec(any_label(), 0..3), any::<f64>(), any::<i64>())
        .prop_map(|(labels, value, timestamp)| v1::Exemplar { labels, value, timestamp });
    let histogram = (any::<u64>(), any::<f64>(), any::<i32>(), any::<i64>()).prop_map(
        |(n, sum, schema, timestamp)| v1::Histogram {
            count: Some(v1::histogram::Count::CountInt(n)),
            sum,
            schema,
            timestamp,
            ..Default::default()
        },
    );
    (
        prop::collection::vec(any_label(), 0..6),
        prop::collection::vec(sample, 0..4),
        prop::collection::vec(exemplar, 0..2),
        prop::collection::vec(histogram, 0..2),
    )
        .prop_map(|(labels, samples, exemplars, histograms)| v1::TimeSeries {
            labels,
            samples,
            exemplars,
            histograms,
        })
}

fn any_request() -> impl Strategy<Value = v1::WriteRequest> {
    let metadata = ("[a-z]{1,8}", "\\PC{0,12}", 0..8).prop_map(|(name, help, r#type)| {
        v1::MetricMetadata { r#type, metric_family_name: name, help, unit: String::new() }
    });
    (prop::collection::vec(any_series(), 0..6), prop::collection::vec(metadata, 0..3))
        .prop_map(|(timeseries, metadata)| v1::WriteRequest { timeseries, metadata })
}

proptest! {
    #[test]
    fn walk_and_prost_agree(request in any_request()) {
        // NaNs are equal by their encoding only.
        prop_assert_eq!(walked(&request.encode_to_vec()).unwrap().encode_to_vec(), request.encode_to_vec());
    }

    /// What prost accepts, the walk accepts and reads alike; whatever the walk is given, it returns.
    #[test]
    fn damaged_bytes(request in any_request(), at in any::<prop::sample::Index>(), bits in 1u8..) {
        let mut bytes = request.encode_to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
        }
        if let Ok(message) = v1::WriteRequest::decode(&bytes[..]) {
            prop_assert_eq!(walked(&bytes).unwrap().encode_to_vec(), message.encode_to_vec());
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        struct Ignore;
        impl walk::Visitor for Ignore {
            type Error = WireError;
            fn series(&mut self, series: walk::RawSeries<'_>) -> Result<(), WireError> {
                walk::labels(series.labels).try_for_each(|label| label.map(drop))
            }
            fn metadata(&mut self, _: &[u8]) -> Result<(), WireError> { Ok(()) }
        }
        let _ = walk::v1(&bytes, walk::Bounds::default(), &mut Ignore);
    }
}

#[test]
fn scattered_labels_unknown_fields_and_odd_orders() {
    let label = |name: &str| v1::Label { name: name.into(), value: "v".into() }.encode_to_vec();
    let sample = [0x10, 7, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x18, 9];
    let mut series = Vec::new();
    let field = |out: &mut Vec<u8>, number: u8, content: &[u8]| {
        out.extend_from_slice(&[number << 3 | 2, content.len() as u8]);
        out.extend_from_slice(content);
    };
    field(&mut series, 1, &label("a"));
    field(&mut series, 2, &sample);
    field(&mut series, 9, b"from the future");
    field(&mut series, 1, &label("b"));
    let mut body = vec![0x38, 1];
    field(&mut body, 1, &series);
    let expected = v1::WriteRequest::decode(&body[..]).unwrap();
    assert_eq!(walked(&body).unwrap(), expected);
    assert_eq!(expected.timeseries[0].labels.len(), 2);
    assert_eq!(expected.timeseries[0].samples, [v1::Sample { value: 1.0, timestamp: 7 }]);
}
