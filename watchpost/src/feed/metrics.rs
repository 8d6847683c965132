//! What the feed counts; shown with the receiver's own metrics.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use push::scraper::Scraped;

/// Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct FeedMetrics {
    scrapes: Family<Outcome, Counter>,
    dropped: Counter,
    refused: Counter,
    retries: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: Scraped,
}

impl FeedMetrics {
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "watchpost_feed_scrapes",
            "Scrapes of this machine's own exporter and probes",
            metrics.scrapes.clone(),
        );
        registry.register(
            "watchpost_feed_dropped_scrapes",
            "Scrapes that waited for the database until newer ones needed their place",
            metrics.dropped.clone(),
        );
        registry.register(
            "watchpost_feed_refused_scrapes",
            "Scrapes of which the receiver refused samples",
            metrics.refused.clone(),
        );
        registry.register(
            "watchpost_feed_retries",
            "Times that a scrape was offered to the receiver again",
            metrics.retries.clone(),
        );
        metrics
    }

    pub(super) fn scraped(&self, outcome: Scraped) {
        self.scrapes.get_or_create(&Outcome { outcome }).inc();
    }

    pub(super) fn dropped(&self) {
        self.dropped.inc();
    }

    pub(super) fn refused(&self) {
        self.refused.inc();
    }

    pub(super) fn retried(&self) {
        self.retries.inc();
    }

    #[cfg(test)]
    pub(super) fn dropped_count(&self) -> u64 {
        self.dropped.get()
    }
}
