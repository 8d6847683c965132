//! Requests that a Prometheus once sent, from a file of records: `f64 LE` time of arrival, `u32 LE` length, body.

use std::{
    collections::{HashMap, HashSet},
    io::Read,
    path::Path,
};

use anyhow::{Context, bail};
use bytes::Bytes;
use proto::{
    remote_write::{
        Message,
        v1::{Label, WriteRequest},
    },
    snappy,
};

const BODY_BYTES_MAX: usize = 64 << 20;

pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<WriteRequest>> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file)?.read_to_end(&mut bytes)?;
    let mut requests = Vec::new();
    let mut body = Vec::new();
    let mut rest = &bytes[..];
    while let Some((header, behind)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes(header[8..].try_into()?) as usize;
        let Some((block, behind)) = behind.split_at_checked(length) else {
            bail!("the capture ends early");
        };
        snappy::decompress(block, BODY_BYTES_MAX, &mut body)?;
        requests.push(WriteRequest::decode(&body[..])?);
        rest = behind;
    }
    Ok(requests)
}

/// The capture so often, each time behind the last; of all series, or of those that change with every sample.
pub(crate) fn requests(
    capture: &[WriteRequest],
    times: i64,
    restless: bool,
) -> anyhow::Result<Vec<Bytes>> {
    let samples = || capture.iter().flat_map(|r| &r.timeseries).flat_map(|s| &s.samples);
    let first = samples().map(|sample| sample.timestamp).min().context("the capture is empty")?;
    let last = samples().map(|sample| sample.timestamp).max().context("the capture is empty")?;
    let length = (last - first) / 1000 * 1000 + 1000;
    let kept = restless.then(|| restless_series(capture));
    let mut bodies = Vec::new();
    for round in 0..times {
        for request in capture {
            let mut request = request.clone();
            if let Some(kept) = &kept {
                request.timeseries.retain(|series| kept.contains(&series.labels[..]));
            }
            for series in &mut request.timeseries {
                for sample in &mut series.samples {
                    sample.timestamp += (round - times + 1) * length;
                }
            }
            bodies.push(snappy::compress(&request.encode_to_vec()).into());
        }
    }
    Ok(bodies)
}

/// Series of which no two neighbouring values are the same.
fn restless_series(capture: &[WriteRequest]) -> HashSet<&[Label]> {
    let mut last: HashMap<&[Label], (u64, bool)> = HashMap::new();
    for series in capture.iter().flat_map(|request| &request.timeseries) {
        for sample in &series.samples {
            let bits = sample.value.to_bits();
            let seen = last.entry(&series.labels).or_insert((!bits, true));
            *seen = (bits, seen.1 && seen.0 != bits);
        }
    }
    last.into_iter().filter(|(_, (_, restless))| *restless).map(|(labels, _)| labels).collect()
}
