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

    pub(super) fn bytes(self, value: &[u8]) -> Self {
        self.0.extend_from_slice(&(value.len() as i32).to_be_bytes());
        self.0.extend_from_slice(value);
        self
    }
}
