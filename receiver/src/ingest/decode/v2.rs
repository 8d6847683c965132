//! Remote write 2.0: labels are references into one table of strings.
//!
//! Each string is hashed once; a series is found by the hash of its strings' hashes, in the order of its references
//! ([`pairs`]). So the numbers of the strings, which differ from request to request, do not matter.
//!
//! [`pairs`]: crate::ingest::pairs

use promql::model::METRIC_NAME;
use proto::remote_write::walk::{RawMetadata, ReferencedSeries, ReferencedVisitor, Symbols};

use super::{Decoder, Series, Stop, Taken};
use crate::{
    ingest::{
        Limit, Reason, WriteError,
        described::{self, METADATA_BYTES_MAX},
        exemplar,
        pairs::{PAIRS_MAX, SymbolKeys},
        validate::{self, References},
    },
    storage::catalogue::RawKey,
};

pub(super) struct Referenced<'d, 'a> {
    decoder: &'d mut Decoder<'a>,
    /// The hash of each string.
    keys: SymbolKeys,
    scratch: Vec<u8>,
}

impl<'d, 'a> Referenced<'d, 'a> {
    pub(super) fn new(decoder: &'d mut Decoder<'a>) -> Self {
        Self { decoder, keys: SymbolKeys::default(), scratch: Vec::new() }
    }

    /// `None`: the references are odd, lead nowhere, or are more than anybody has.
    #[inline]
    fn key(&mut self, series: &ReferencedSeries<'_>) -> Option<RawKey> {
        if series.labels.len() != series.n_label_refs || !series.labels.len().is_multiple_of(2) {
            return None;
        }
        let context = &self.decoder.context;
        if series.labels.len() <= 2 * PAIRS_MAX {
            return context.pairs.key(&self.keys, series.labels);
        }
        self.scratch.clear();
        for reference in series.labels {
            self.scratch.extend_from_slice(&self.keys.get(*reference)?);
        }
        Some(context.hasher.key(&self.scratch))
    }

    /// What a series says about its metric, unless it said the same before.
    fn describe(
        &mut self,
        metadata: RawMetadata,
        labels: References<'_>,
        taken: &Taken,
    ) -> Result<(), WriteError> {
        let RawMetadata { kind, help_ref, unit_ref } = metadata;
        let fingerprint = {
            self.scratch.clear();
            self.scratch.extend_from_slice(&kind.to_le_bytes());
            for reference in [help_ref, unit_ref] {
                self.scratch.extend_from_slice(&self.keys.get(reference).unwrap_or_default());
            }
            self.decoder.context.hasher.key(&self.scratch).0 as u64
        };
        let decoder = &mut *self.decoder;
        if let Taken::Known(known) = taken {
            if decoder.context.described.is_known(known.position, fingerprint) {
                return Ok(());
            }
            decoder.decoded.described.push((known.position, fingerprint));
        }
        let text = |reference: u32| {
            let bytes = labels.symbols.get(reference).unwrap_or_default();
            &bytes[..bytes.len().min(METADATA_BYTES_MAX)]
        };
        let (help, unit) = (text(help_ref), text(unit_ref));
        decoder.expand(help.len() + unit.len())?;
        // As it is stored, which is not as it was sent where rules give another name.
        let index = decoder.context.index;
        let name = match taken {
            Taken::Known(known) => {
                let mut pairs = index.label_pairs(known.position);
                pairs.find(|(name, _)| *name == METRIC_NAME).map(|(_, value)| value)
            }
            Taken::New(name) => Some(&**name),
            Taken::Dropped | Taken::Refused => None,
        };
        if let Some(name) = name {
            decoder.decoded.metadata.extend(described::description(name, kind, help, unit));
        }
        Ok(())
    }
}

impl<'w> ReferencedVisitor<'w> for Referenced<'_, '_> {
    type Error = Stop;

    fn symbols(&mut self, symbols: &Symbols<'w>) -> Result<(), Stop> {
        self.keys = SymbolKeys::of(symbols.iter(), self.decoder.context.hasher);
        Ok(())
    }

    #[inline]
    fn series(&mut self, symbols: &Symbols<'w>, series: ReferencedSeries<'_>) -> Result<(), Stop> {
        let key = self.key(&series);
        let (metadata, n_label_refs) = (series.metadata, series.n_label_refs);
        let labels = References { symbols, refs: series.labels };
        let series = Series {
            labels,
            samples: series.samples,
            histograms: series.histograms,
            exemplars: series.exemplars,
            created: series.created_timestamp,
        };
        let leads_nowhere = |raw: RawMetadata| {
            // A table without strings has nothing to refer to, and 0 says so.
            [raw.help_ref, raw.unit_ref].iter().any(|r| *r != 0 && symbols.get(*r).is_none())
        };
        let refused = if key.is_none() {
            let limits = self.decoder.context.limits;
            let why = validate::labels(labels, limits).err();
            Some(why.filter(|_| n_label_refs == labels.refs.len()).unwrap_or(Reason::TooManyLabels))
        } else if metadata.is_some_and(leads_nowhere) {
            Some(Reason::BadReference)
        } else {
            None
        };
        if let Some(reason) = refused {
            let n_samples = series.samples.len() + series.histograms.len();
            self.decoder.count(n_samples, series.exemplars.len(), Limit::Series)?;
            self.decoder.refuse_series(reason, &series);
            return Ok(());
        }
        let is_empty = series.n_elements() == 0;
        let taken = self.decoder.take(key, &series, |message| exemplar::v2(message, symbols))?;
        if matches!(taken, Taken::Refused | Taken::Dropped) {
            return Ok(());
        }
        if let Some(metadata) = metadata
            && metadata != RawMetadata::default()
        {
            self.describe(metadata, labels, &taken)?;
        }
        if is_empty {
            let named = || validate::display(labels);
            self.decoder.decoded.refusals.add(Reason::NoSamples, 1, named);
        }
        Ok(())
    }
}
