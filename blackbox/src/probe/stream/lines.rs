//! Reading lines from somebody who may never end one.

use tokio::io::{AsyncRead, AsyncReadExt};

/// Longest line, in bytes, as in the original.
const LINE_BYTES_MAX: usize = 64 << 10;
const READ_BYTES: usize = 4 << 10;

/// Why there is no further line.
#[derive(Debug)]
pub(super) enum LineError {
    TooLong,
    Io(std::io::Error),
}

/// What was read and not yet used.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
}

impl Lines {
    /// The next line without its end; `None` at the end of the stream.
    pub(super) async fn next<S>(&mut self, stream: &mut S) -> Result<Option<Vec<u8>>, LineError>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=searched + at).collect();
                line.pop();
                if line.ends_with(b"\r") {
                    line.pop();
                }
                return Ok(Some(line));
            }
            searched = self.buffer.len();
            if searched >= LINE_BYTES_MAX {
                return Err(LineError::TooLong);
            }
            if self.fill(stream).await.map_err(LineError::Io)? == 0 {
                let rest = std::mem::take(&mut self.buffer);
                return Ok((!rest.is_empty()).then_some(rest));
            }
        }
    }

    /// Exactly `n_bytes`; fewer only at the end of the stream.
    pub(super) async fn bytes<S>(
        &mut self,
        stream: &mut S,
        n_bytes: usize,
    ) -> std::io::Result<Vec<u8>>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        while self.buffer.len() < n_bytes && self.fill(stream).await? > 0 {}
        Ok(self.buffer.drain(..n_bytes.min(self.buffer.len())).collect())
    }

    /// Whether something was read that nobody asked for yet.
    pub(super) fn has_rest(&self) -> bool {
        !self.buffer.is_empty()
    }

    async fn fill<S>(&mut self, stream: &mut S) -> std::io::Result<usize>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        let mut chunk = [0; READ_BYTES];
        let n_read = stream.read(&mut chunk).await?;
        self.buffer.extend_from_slice(&chunk[..n_read]);
        Ok(n_read)
    }
}
