//! Samples as sets, from whatever side, and how they differ.

use std::collections::BTreeMap;

use sqlx::{PgPool, Row};

/// Series to timestamps to the 64 bits of the values. Staleness markers and all NaNs included.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Samples(BTreeMap<String, BTreeMap<i64, u64>>);

impl Samples {
    /// Adds a sample; the same one twice is a failure of whoever told it.
    pub(crate) fn add(&mut self, labels: &[(&str, &str)], timestamp_ms: i64, bits: u64) {
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        let series = format!("{sorted:?}");
        let before = self.0.entry(series.clone()).or_default().insert(timestamp_ms, bits);
        assert_eq!(before, None, "{series} at {timestamp_ms} is there twice");
    }

    pub(crate) fn n_series(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn n_samples(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    pub(crate) fn n_stale(&self) -> usize {
        let marker = proto::remote_write::STALE_MARKER_BITS;
        self.0.values().flat_map(BTreeMap::values).filter(|bits| **bits == marker).count()
    }

    /// Everything that the SQL functions show.
    pub(crate) async fn read(db: &PgPool) -> Self {
        let metrics: Vec<String> =
            sqlx::query_scalar("SELECT name FROM watchpost.metric ORDER BY name")
                .fetch_all(db)
                .await
                .unwrap();
        let mut samples = Self::default();
        for metric in metrics {
            let rows =
                sqlx::query("SELECT labels, ts_ms, value, bits FROM watchpost.samples_raw($1)")
                    .bind(&metric)
                    .fetch_all(db)
                    .await
                    .unwrap();
            for row in rows {
                let labels: serde_json::Value = row.get("labels");
                let labels = labels.as_object().unwrap();
                let mut pairs = vec![("__name__", metric.as_str())];
                pairs.extend(labels.iter().map(|(k, v)| (k.as_str(), v.as_str().unwrap())));
                let value: f64 = row.get("value");
                // Set where SQL's one NaN cannot tell.
                let bits: Option<i64> = row.get("bits");
                let bits = bits.map_or(value.to_bits(), i64::cast_unsigned);
                samples.add(&pairs, row.get("ts_ms"), bits);
            }
        }
        samples
    }

    /// Fails with the first differences if `stored` is not exactly this.
    pub(crate) fn assert_equals(&self, stored: &Self) {
        let mut differences = Vec::new();
        let nothing = BTreeMap::new();
        let series: std::collections::BTreeSet<&String> =
            self.0.keys().chain(stored.0.keys()).collect();
        for series in series {
            let ours = self.0.get(series).unwrap_or(&nothing);
            let theirs = stored.0.get(series).unwrap_or(&nothing);
            let times: std::collections::BTreeSet<&i64> =
                ours.keys().chain(theirs.keys()).collect();
            for ts in times {
                let (sent, kept) = (ours.get(ts), theirs.get(ts));
                if sent != kept {
                    differences.push(format!("{series} @{ts}: sent {sent:x?}, stored {kept:x?}"));
                }
            }
        }
        assert!(
            differences.is_empty(),
            "{} of {} samples differ:\n{}",
            differences.len(),
            self.n_samples(),
            differences[..differences.len().min(20)].join("\n")
        );
    }
}
