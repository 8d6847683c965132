//! Remote write 1.0: every series holds its labels.

use proto::remote_write::{
    Message,
    v1::MetricMetadata,
    walk::{RawSeries, Visitor},
};

use super::{Decoder, Series, Stop};
use crate::{
    ingest::{Limit, exemplar, validate::Fields},
    storage::catalogue::Description,
};

impl Visitor for Decoder<'_> {
    type Error = Stop;

    #[inline]
    fn series(&mut self, series: RawSeries<'_>) -> Result<(), Stop> {
        let key = self.context.hasher.key(series.labels);
        let series = Series {
            labels: Fields(series.labels),
            samples: series.samples,
            histograms: series.histograms,
            exemplars: series.exemplars,
            created: 0,
        };
        self.take(Some(key), &series, exemplar::v1)?;
        Ok(())
    }

    fn metadata(&mut self, message: &[u8]) -> Result<(), Stop> {
        self.count(0, 0, Limit::Metadata)?;
        // Help for humans: what cannot be read of it is not worth refusing samples for.
        if let Ok(metadata) = MetricMetadata::decode(message)
            && let Some(description) = Description::new(&metadata)
        {
            self.decoded.metadata.push(description);
        }
        Ok(())
    }
}
