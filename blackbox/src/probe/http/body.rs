//! Reading a body: decoding on the way, counting, keeping no more than is needed.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::{DeflateDecoder, MultiGzDecoder};
use http_body_util::BodyExt;

use crate::{
    config::Compression,
    failure::{Failure, Phase, Reason},
    wire::{Body, BodyError},
};

/// The largest body that rules are applied to, in bytes after decoding. Bodies that no rule looks at are only counted.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// Compressed bytes decoded in one go: a thousand times as many may come out of them.
const DECODED_AT_ONCE_BYTES: usize = 4 << 10;
/// Window of the brotli decoder's buffer.
const BROTLI_BUFFER_BYTES: usize = 4 << 10;

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ReadError {
    TooLarge,
    TooLargeToKeep,
    Encoding(String),
    Network(String),
}

impl ReadError {
    pub(super) fn into_failure(self, limit: u64) -> Failure {
        match self {
            Self::TooLarge => Failure::new(
                Phase::Validate,
                Reason::BodySize,
                format!("Body size limit exceeded, limit {limit} bytes"),
            ),
            Self::TooLargeToKeep => Failure::new(
                Phase::Validate,
                Reason::BodySize,
                format!(
                    "The body is larger than the {KEPT_BYTES_MAX} bytes that rules are applied to"
                ),
            ),
            Self::Encoding(message) => Failure::new(
                Phase::Validate,
                Reason::Encoding,
                format!("Failed to decompress HTTP response body: {message}"),
            ),
            Self::Network(message) => Failure::new(
                Phase::Transfer,
                Reason::Closed,
                format!("Failed to read HTTP response body: {message}"),
            ),
        }
    }
}

/// What a body was read into.
#[derive(Debug)]
pub(super) struct Reader {
    decoder: Decoder,
    limit: Option<u64>,
}

enum Decoder {
    Identity(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    Deflate(Box<DeflateDecoder<Sink>>),
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").field("sink", self.sink()).finish()
    }
}

#[derive(Debug)]
struct Sink {
    n_bytes: u64,
    limit: Option<u64>,
    kept: Option<Vec<u8>>,
    overflow: Option<ReadError>,
}

impl Reader {
    /// `limit` counts decoded bytes; the text is kept for rules only where `keep` says so.
    pub(super) fn new(compression: Option<Compression>, limit: Option<u64>, keep: bool) -> Self {
        let sink = Sink { n_bytes: 0, limit, kept: keep.then(Vec::new), overflow: None };
        let decoder = match compression {
            None | Some(Compression::Identity) => Decoder::Identity(sink),
            Some(Compression::Gzip) => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Some(Compression::Br) => Decoder::Brotli(Box::new(
                brotli_decompressor::DecompressorWriter::new(sink, BROTLI_BUFFER_BYTES),
            )),
            Some(Compression::Deflate) => Decoder::Deflate(Box::new(DeflateDecoder::new(sink))),
        };
        Self { decoder, limit }
    }

    /// Reads to the end, or to the first error. `n_bytes` holds the count at every moment.
    pub(super) async fn read(
        &mut self,
        mut body: Body,
        n_bytes: &mut u64,
    ) -> Result<(), ReadError> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|err| ReadError::Network(chain(&err)))?;
            if let Ok(data) = frame.into_data() {
                self.push(data, n_bytes).await?;
            }
        }
        let finished = self.decoder.finish();
        *n_bytes = self.decoder.sink().n_bytes;
        finished.map_err(|err| self.read_error(&err))
    }

    async fn push(&mut self, data: Bytes, n_bytes: &mut u64) -> Result<(), ReadError> {
        for part in data.chunks(DECODED_AT_ONCE_BYTES) {
            let written = self.decoder.write_all(part);
            *n_bytes = self.decoder.sink().n_bytes;
            written.map_err(|err| self.read_error(&err))?;
            // Decoding is work that no await interrupts otherwise, and the deadline must be able to strike.
            tokio::task::consume_budget().await;
        }
        Ok(())
    }

    fn read_error(&mut self, err: &io::Error) -> ReadError {
        match self.decoder.sink_mut().overflow.take() {
            Some(overflow) => overflow,
            None => ReadError::Encoding(err.to_string()),
        }
    }

    /// The limit that was given, for messages.
    pub(super) fn limit(&self) -> u64 {
        self.limit.unwrap_or_default()
    }

    /// What was kept of the body, to be owned.
    pub(super) fn into_kept(mut self) -> Vec<u8> {
        self.decoder.sink_mut().kept.take().unwrap_or_default()
    }

    /// What was kept of the body.
    pub(super) fn kept(&self) -> &[u8] {
        self.decoder.sink().kept.as_deref().unwrap_or_default()
    }
}

impl Decoder {
    fn sink(&self) -> &Sink {
        match self {
            Self::Identity(sink) => sink,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref(),
        }
    }

    fn sink_mut(&mut self) -> &mut Sink {
        match self {
            Self::Identity(sink) => sink,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
        }
    }

    fn write_all(&mut self, part: &[u8]) -> io::Result<()> {
        match self {
            Self::Identity(sink) => sink.write_all(part),
            Self::Gzip(decoder) => decoder.write_all(part),
            Self::Brotli(decoder) => decoder.write_all(part),
            Self::Deflate(decoder) => decoder.write_all(part),
        }
    }

    /// Complains where the encoded body ends too early.
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) => Ok(()),
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Deflate(decoder) => decoder.try_finish(),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let total = self.n_bytes + data.len() as u64;
        if self.limit.is_some_and(|limit| total > limit) {
            self.n_bytes = self.limit.unwrap_or_default();
            self.overflow = Some(ReadError::TooLarge);
            return Err(io::Error::other("too large"));
        }
        self.n_bytes = total;
        if let Some(kept) = &mut self.kept {
            if kept.len() + data.len() > KEPT_BYTES_MAX {
                self.overflow = Some(ReadError::TooLargeToKeep);
                return Err(io::Error::other("too large"));
            }
            kept.extend_from_slice(data);
        }
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn chain(err: &BodyError) -> String {
    service::error::chain(err.as_ref())
}
