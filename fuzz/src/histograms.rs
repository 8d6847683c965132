//! A chunk of histograms that was read is the same after it was written and read again.

use std::sync::Arc;

use receiver::storage::{
    codec::histograms::{decode_chunk, encode_chunk},
    histogram::HistogramSample,
};

/// The first byte says how many histograms the chunk is to hold.
pub fn target(data: &[u8]) {
    let Some((n, bytes)) = data.split_first() else { return };
    let Ok(histograms) = decode_chunk(bytes, usize::from(*n)) else { return };
    for histogram in &histograms {
        // Whatever can be stored can be judged and asked.
        let _ = histogram.validate();
        let float = histogram.to_float();
        assert!(float.buckets().count() <= histogram.layout().n_buckets() + 1);
    }
    let samples: Vec<HistogramSample> = histograms
        .into_iter()
        .zip(0..)
        .map(|(histogram, ts)| HistogramSample { ts, histogram: Arc::new(histogram) })
        .collect();
    let written = encode_chunk(&samples);
    let again = decode_chunk(&written, samples.len()).expect("what was written can be read");
    for (again, sample) in again.iter().zip(&samples) {
        assert_eq!(again, &*sample.histogram);
    }
    assert_eq!(again.len(), samples.len());
}
