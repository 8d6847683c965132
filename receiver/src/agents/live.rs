//! Samples that are shown and not stored: what an agent takes more often while somebody watches it.
//!
//! Only series that are stored, too, have a place to be shown in; others wait for their first stored sample.

use std::{collections::HashMap, sync::Arc, sync::PoisonError};

use promql::model::{Labels, Matcher};
use proto::{
    remote_write::{Message, v1::WriteRequest},
    snappy::{self, SnappyError},
};

use super::Agents;
use crate::{model::SeriesId, storage::commit::Committed};

/// Of a body when it is unpacked: a machine's samples have some hundred kilobytes.
const UNPACKED_BYTES_MAX: usize = 8 << 20;
/// Series of one machine that are looked at.
const SERIES_MAX: usize = 20_000;
/// Machines that are watched at a time; their series are looked up anew beyond.
const INSTANCES_MAX: usize = 64;

/// The series of instances that are watched, as of a state of the catalogue.
#[derive(Default)]
pub(super) struct Known(HashMap<String, (u64, Arc<Series>)>);

type Series = HashMap<Labels, SeriesId>;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LiveError {
    #[error("unpack live samples")]
    Snappy(#[from] SnappyError),
    #[error("live samples are no request of remote write 1.0: {0}")]
    Decode(String),
}

impl Agents {
    /// Shows samples to whoever watches `instance`, and tells whether anybody does. Computes: not for async threads.
    pub(crate) fn show(&self, instance: &str, block: &[u8]) -> Result<bool, LiveError> {
        let mut body = Vec::new();
        snappy::decompress(block, UNPACKED_BYTES_MAX, &mut body)?;
        let request = WriteRequest::decode(body.as_slice())
            .map_err(|err| LiveError::Decode(err.to_string()))?;
        if !self.0.hub.watches(instance) {
            return Ok(false);
        }
        let series = self.series_of(instance);
        let mut samples = Vec::new();
        for sent in request.timeseries {
            let pairs = sent.labels.into_iter().map(|label| (label.name, label.value));
            let Ok(labels) = Labels::from_pairs(pairs) else { continue };
            // Whoever may write one machine's samples shows none of another's.
            if labels.get("instance") != instance {
                continue;
            }
            let Some(id) = series.get(&labels) else { continue };
            samples.extend(sent.samples.iter().map(|s| (*id, s.timestamp, s.value)));
        }
        self.0.hub.publish(Arc::new(Committed::sorted(samples)));
        Ok(true)
    }

    fn series_of(&self, instance: &str) -> Arc<Series> {
        let reader = &self.0.reader;
        let generation = reader.catalogue().generation();
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, series)) = known.0.get(instance)
            && *at == generation
        {
            return Arc::clone(series);
        }
        let ids = reader.select(&[Matcher::equal("instance", instance)], SERIES_MAX);
        let labelled = ids.into_iter().filter_map(|id| Some(((*reader.labels(id)?).clone(), id)));
        let series: Arc<Series> = Arc::new(labelled.collect());
        if known.0.len() >= INSTANCES_MAX {
            known.0.clear();
        }
        known.0.insert(instance.to_owned(), (generation, Arc::clone(&series)));
        series
    }
}
