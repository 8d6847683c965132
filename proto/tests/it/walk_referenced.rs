//! The in-place walk of remote write 2.0 against prost: the same messages, read by both, must hold the same.

use proptest::prelude::*;
use prost::Message;
use proto::remote_write::{
    Element, WireError, v2,
    walk::{self, Bounds, ReferencedSeries, ReferencedVisitor, Symbols},
};

/// What a walk saw, in terms of prost's structs.
#[derive(Default)]
struct Rebuilt(v2::Request);

impl<'a> ReferencedVisitor<'a> for Rebuilt {
    type Error = WireError;

    fn symbols(&mut self, symbols: &Symbols<'a>) -> Result<(), WireError> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        self.0.symbols = symbols.iter().map(text).collect();
        Ok(())
    }

    fn series(&mut self, _: &Symbols<'a>, series: ReferencedSeries<'_>) -> Result<(), WireError> {
        assert_eq!(series.n_label_refs, series.labels.len());
        let sample = |s: &walk::RawSample| v2::Sample {
            value: s.value,
            timestamp: s.timestamp,
            start_timestamp: s.start_timestamp,
        };
        self.0.timeseries.push(v2::TimeSeries {
            labels_refs: series.labels.to_vec(),
            samples: series.samples.iter().map(sample).collect(),
            histograms: series
                .histograms
                .iter()
                .map(|message| v2::Histogram::decode(*message).unwrap())
                .collect(),
            exemplars: series
                .exemplars
                .iter()
                .map(|message| v2::Exemplar::decode(*message).unwrap())
                .collect(),
            metadata: series.metadata.map(|raw| v2::Metadata {
                r#type: raw.kind,
                help_ref: raw.help_ref,
                unit_ref: raw.unit_ref,
            }),
        });
        Ok(())
    }
}

fn walked(body: &[u8]) -> Result<v2::Request, WireError> {
    let mut rebuilt = Rebuilt::default();
    walk::v2(body, Bounds::default(), &mut rebuilt)?;
    Ok(rebuilt.0)
}

fn any_refs() -> impl Strategy<Value = Vec<u32>> {
    prop::collection::vec(prop_oneof![0u32..8, 0u32..300, any::<u32>()], 0..9)
}

fn any_series() -> impl Strategy<Value = v2::TimeSeries> {
    let value = || any::<u64>().prop_map(f64::from_bits);
    let sample =
        (value(), any::<i64>(), any::<i64>()).prop_map(|(value, timestamp, start_timestamp)| {
            v2::Sample { value, timestamp, start_timestamp }
        });
    let exemplar = (any_refs(), value(), any::<i64>())
        .prop_map(|(labels_refs, value, timestamp)| v2::Exemplar { labels_refs, value, timestamp });
    let histogram = (
        any::<f64>(),
        value(),
        any::<i32>(),
        any::<i64>(),
        prop::collection::vec(any::<i64>(), 0..4),
    )
        .prop_map(|(count, sum, schema, start_timestamp, positive_deltas)| v2::Histogram {
            count: Some(v2::histogram::Count::CountFloat(count)),
            sum,
            schema,
            start_timestamp,
            positive_deltas,
            positive_spans: vec![v2::BucketSpan { offset: schema, length: 3 }],
            ..Default::default()
        });
    let metadata = (any::<i32>(), any::<u32>(), any::<u32>())
        .prop_map(|(r#type, help_ref, unit_ref)| v2::Metadata { r#type, help_ref, unit_ref });
    (
        any_refs(),
        prop::collection::vec(sample, 0..4),
        prop::collection::vec(histogram, 0..2),
        prop::collection::vec(exemplar, 0..2),
        prop::option::of(metadata),
    )
        .prop_map(|(labels_refs, samples, histograms, exemplars, metadata)| v2::TimeSeries {
            labels_refs,
            samples,
            histograms,
            exemplars,
            metadata,
        })
}

fn any_request() -> impl Strategy<Value = v2::Request> {
    (prop::collection::vec("\\PC{0,12}", 0..9), prop::collection::vec(any_series(), 0..6))
        .prop_map(|(symbols, timeseries)| v2::Request { symbols, timeseries })
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
        if let Ok(message) = v2::Request::decode(&bytes[..]) {
            prop_assert_eq!(walked(&bytes).unwrap().encode_to_vec(), message.encode_to_vec());
        }
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        struct Ignore;
        impl<'a> ReferencedVisitor<'a> for Ignore {
            type Error = WireError;
            fn symbols(&mut self, _: &Symbols<'a>) -> Result<(), WireError> { Ok(()) }
            fn series(&mut self, _: &Symbols<'a>, _: ReferencedSeries<'_>) -> Result<(), WireError> { Ok(()) }
        }
        let _ = walk::v2(&bytes, Bounds::default(), &mut Ignore);
    }
}

/// A field of less than 128 bytes.
fn field(out: &mut Vec<u8>, number: u8, content: &[u8]) {
    out.extend_from_slice(&[number << 3 | 2, u8::try_from(content.len()).unwrap()]);
    out.extend_from_slice(content);
}

#[test]
fn unpacked_references_unknown_fields_and_odd_orders() {
    let mut series = Vec::new();
    // A reference alone, two together, and a sample between them whose start stands first.
    series.extend_from_slice(&[0x08, 1]);
    field(&mut series, 2, &[0x18, 5, 0x10, 7, 0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0x20, 9]);
    field(&mut series, 1, &[2, 3, 4]);
    field(&mut series, 9, b"from the future");
    // What was moved into the samples after rc.3.
    series.extend_from_slice(&[0x30, 42]);
    // Metadata in two pieces.
    field(&mut series, 5, &[0x08, 1, 0x18, 2]);
    field(&mut series, 5, &[0x20, 3]);
    let mut body = Vec::new();
    // The series before the strings.
    field(&mut body, 5, &series);
    field(&mut body, 4, b"");
    field(&mut body, 4, b"__name__");
    body.extend_from_slice(&[0x38, 1]);
    let expected = v2::Request::decode(&body[..]).unwrap();
    assert_eq!(walked(&body).unwrap(), expected);
    assert_eq!(expected.timeseries[0].labels_refs, [1, 2, 3, 4]);
    let metadata = v2::Metadata { r#type: 1, help_ref: 2, unit_ref: 3 };
    assert_eq!(expected.timeseries[0].metadata, Some(metadata));

    struct Created(i64);
    impl<'a> ReferencedVisitor<'a> for Created {
        type Error = WireError;
        fn symbols(&mut self, _: &Symbols<'a>) -> Result<(), WireError> {
            Ok(())
        }
        fn series(
            &mut self,
            symbols: &Symbols<'a>,
            series: ReferencedSeries<'_>,
        ) -> Result<(), WireError> {
            assert_eq!(symbols.get(1), Some(&b"__name__"[..]));
            assert_eq!(symbols.get(2), None);
            self.0 = series.created_timestamp;
            Ok(())
        }
    }
    let mut created = Created(0);
    walk::v2(&body, Bounds::default(), &mut created).unwrap();
    assert_eq!(created.0, 42);
}

#[test]
fn what_is_gathered_is_bounded() {
    struct Count(usize, usize);
    impl<'a> ReferencedVisitor<'a> for Count {
        type Error = WireError;
        fn symbols(&mut self, _: &Symbols<'a>) -> Result<(), WireError> {
            Ok(())
        }
        fn series(
            &mut self,
            _: &Symbols<'a>,
            series: ReferencedSeries<'_>,
        ) -> Result<(), WireError> {
            (self.0, self.1) = (series.labels.len(), series.n_label_refs);
            Ok(())
        }
    }
    let bounds = Bounds { elements: 10, symbols: 10 };
    let walk = |request: &v2::Request| {
        let mut count = Count(0, 0);
        walk::v2(&request.encode_to_vec(), bounds, &mut count).map(|()| (count.0, count.1))
    };
    let too_many = |what| Err(WireError::TooMany { what, limit: 10 });
    let symbols = |n| v2::Request { symbols: vec![String::new(); n], ..Default::default() };
    assert_eq!(walk(&symbols(10)), Ok((0, 0)));
    assert_eq!(walk(&symbols(11)), too_many(Element::Symbol));
    let of = |series| v2::Request { timeseries: vec![series], ..Default::default() };
    let samples = vec![v2::Sample::default(); 11];
    assert_eq!(
        walk(&of(v2::TimeSeries { samples, ..Default::default() })),
        too_many(Element::Sample)
    );
    let exemplars = vec![v2::Exemplar::default(); 11];
    assert_eq!(
        walk(&of(v2::TimeSeries { exemplars, ..Default::default() })),
        too_many(Element::Exemplar)
    );
    let labels_refs = vec![0; 100_000];
    assert_eq!(
        walk(&of(v2::TimeSeries { labels_refs, ..Default::default() })),
        Ok((walk::LABEL_REFS_KEPT, 100_000))
    );
}
