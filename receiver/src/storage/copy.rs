//! Rows in the binary format of COPY: <https://www.postgresql.org/docs/current/sql-copy.html>.

/// Rows that wait to be sent.
#[derive(Debug, Default)]
pub(super) struct CopyRows(Vec<u8>);

/// One row under construction: every column has to be given, in order.
#[derive(Debug)]
pub(super) struct CopyRow<'a>(&'a mut Vec<u8>);

impl CopyRows {
    /// Signature, flags, length of the header's extension: what the copy begins with.
    pub(super) const HEADER: [u8; 19] = *b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
    /// What it ends with.
    pub(super) const TRAILER: [u8; 2] = (-1i16).to_be_bytes();

    pub(super) fn row(&mut self, n_columns: i16) -> CopyRow<'_> {
        self.0.extend_from_slice(&n_columns.to_be_bytes());
        CopyRow(&mut self.0)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The bytes so far; the rows are empty afterwards.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

impl CopyRow<'_> {
    pub(super) fn int(self, value: i32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn bigint(self, value: i64) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// One dimension, counted from 1. `type_oid` says what `values` gives the bytes of; `None` is null.
    pub(super) fn array<const N: usize>(
        self,
        type_oid: i32,
        values: impl ExactSizeIterator<Item = Option<[u8; N]>>,
    ) -> Self {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; 4]);
        // Dimensions, whether there may be nulls, the type, length and first index of the only dimension.
        for int in [1, 1, type_oid, values.len() as i32, 1] {
            self.0.extend_from_slice(&int.to_be_bytes());
        }
        for value in values {
            match value {
                Some(value) => {
                    self.0.extend_from_slice(&(N as i32).to_be_bytes());
                    self.0.extend_from_slice(&value);
                }
                None => self.0.extend_from_slice(&(-1i32).to_be_bytes()),
            }
        }
        let length = (self.0.len() - start - 4) as i32;
        self.0[start..start + 4].copy_from_slice(&length.to_be_bytes());
        self
    }

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }
}

/// Reads rows as COPY sends them, in pieces that end anywhere.
#[derive(Debug, Default)]
pub(super) struct CopyReader {
    bytes: Vec<u8>,
    at: usize,
    has_begun: bool,
}

/// Bytes that are no row.
#[derive(Debug, thiserror::Error)]
#[error("the rows of COPY do not follow their format")]
pub(super) struct CopyError;

impl CopyReader {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The columns of the next row, none of them null; `None` if more bytes are needed, or at the end.
    pub(super) fn row<const N: usize>(&mut self) -> Result<Option<[&[u8]; N]>, CopyError> {
        if !self.has_begun {
            let Some(header) = self.bytes.get(..CopyRows::HEADER.len()) else { return Ok(None) };
            if header != CopyRows::HEADER {
                return Err(CopyError);
            }
            self.has_begun = true;
            self.at = CopyRows::HEADER.len();
        }
        let mut at = self.at;
        let Some(n_columns) = take(&self.bytes, &mut at, 2) else { return Ok(None) };
        let n_columns = i16::from_be_bytes(fixed(&self.bytes[n_columns])?);
        if n_columns == -1 {
            return Ok(None);
        }
        if n_columns as usize != N {
            return Err(CopyError);
        }
        let mut columns = [const { 0..0 }; N];
        for column in &mut columns {
            let Some(length) = take(&self.bytes, &mut at, 4) else { return Ok(None) };
            let length = int(&self.bytes[length])?;
            let length = usize::try_from(length).map_err(|_| CopyError)?;
            let Some(range) = take(&self.bytes, &mut at, length) else { return Ok(None) };
            *column = range;
        }
        self.at = at;
        Ok(Some(columns.map(|range| &self.bytes[range])))
    }
}

fn take(bytes: &[u8], at: &mut usize, n: usize) -> Option<std::ops::Range<usize>> {
    let end = at.checked_add(n).filter(|end| *end <= bytes.len())?;
    let start = std::mem::replace(at, end);
    Some(start..end)
}

pub(super) fn fixed<const N: usize>(column: &[u8]) -> Result<[u8; N], CopyError> {
    column.try_into().map_err(|_| CopyError)
}

pub(super) fn int(column: &[u8]) -> Result<i32, CopyError> {
    fixed(column).map(i32::from_be_bytes)
}

pub(super) fn bigint(column: &[u8]) -> Result<i64, CopyError> {
    fixed(column).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_from_pieces_of_any_size() {
        let mut rows = CopyRows::default();
        rows.row(3).int(7).bigint(-1).bytes(b"seven");
        rows.row(3).int(8).bigint(1).bytes(b"");
        let mut bytes = CopyRows::HEADER.to_vec();
        bytes.extend(rows.take());
        bytes.extend(CopyRows::TRAILER);
        for size in [1, 2, 7, 1000] {
            let mut reader = CopyReader::default();
            let mut seen = Vec::new();
            for piece in bytes.chunks(size) {
                reader.push(piece);
                while let Some([a, b, c]) = reader.row().unwrap() {
                    seen.push((int(a).unwrap(), bigint(b).unwrap(), c.to_vec()));
                }
            }
            assert_eq!(seen, [(7, -1, b"seven".to_vec()), (8, 1, Vec::new())]);
        }
        let mut reader = CopyReader::default();
        reader.push(&[1; 40]);
        assert!(reader.row::<3>().is_err());
    }
}
