//! Requests that a Prometheus once sent: records of `f64 LE` time, `u32 LE` length and the body, in zstd.

use std::{io::Read, path::Path};

use proto::{
    remote_write::{Message, v1::WriteRequest},
    snappy,
};

const BODY_BYTES_MAX: usize = 64 << 20;

/// The requests as if the last sample had been taken at `end`, in milliseconds, a whole number of seconds later.
pub(crate) fn read(path: &Path, end: i64) -> Vec<WriteRequest> {
    let file = std::fs::File::open(path).unwrap_or_else(|err| panic!("{}: {err}", path.display()));
    let mut bytes = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(file).unwrap().read_to_end(&mut bytes).unwrap();
    let mut requests = Vec::new();
    let mut body = Vec::new();
    let mut rest = &bytes[..];
    while let Some((header, behind)) = rest.split_first_chunk::<12>() {
        let length = u32::from_le_bytes(header[8..].try_into().expect("four bytes")) as usize;
        let (block, behind) = behind.split_at(length);
        snappy::decompress(block, BODY_BYTES_MAX, &mut body).unwrap();
        requests.push(WriteRequest::decode(&body[..]).unwrap());
        rest = behind;
    }
    let samples =
        requests.iter().flat_map(|r: &WriteRequest| &r.timeseries).flat_map(|s| &s.samples);
    let last = samples.map(|sample| sample.timestamp).max().expect("a capture has samples");
    let ahead = (end - last) / 1000 * 1000;
    for series in requests.iter_mut().flat_map(|request| &mut request.timeseries) {
        series.exemplars.clear();
        for sample in &mut series.samples {
            sample.timestamp += ahead;
        }
    }
    requests
}
