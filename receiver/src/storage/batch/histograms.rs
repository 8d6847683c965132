//! Native histograms on their way into a batch: cut into chunks, by packs.

use crate::{
    model::{PackId, SeriesId},
    storage::{
        codec::{
            histograms::{self, Member},
            timestamps::Dictionary,
        },
        histogram::HistogramSample,
    },
};

/// The histograms of one series, in order of time, at least one.
#[derive(Clone, Debug)]
pub struct HistogramRow {
    pub pack: PackId,
    pub series: SeriesId,
    pub samples: Vec<HistogramSample>,
}

/// Cuts rows, which are sorted by pack and series, into the chunks of each pack, and enters their timestamps into the
/// dictionary.
pub(super) fn cut<'a>(
    rows: &'a [HistogramRow],
    encoder: &mut histograms::Encoder,
    dictionary: &mut Dictionary,
) -> Vec<(PackId, Vec<Member<'a>>)> {
    rows.chunk_by(|a, b| a.pack == b.pack)
        .map(|of_pack| {
            let mut members = Vec::with_capacity(of_pack.len());
            for row in of_pack {
                assert!(!row.samples.is_empty(), "no series is empty");
                encoder.cut(row.series.0, &row.samples, dictionary, &mut members);
            }
            (of_pack[0].pack, members)
        })
        .collect()
}
