//! What one request and one series may be.

/// Bounds on what is taken. Beyond those of a request nothing of it is; beyond those of a series, that series is not.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Of a body as it comes, in bytes.
    pub body_bytes_max: usize,
    /// Of a body after decompression, in bytes.
    pub decoded_bytes_max: usize,
    /// Of all bodies that are being worked on, as they came, in bytes.
    pub in_flight_bytes_max: usize,
    pub series_per_request_max: usize,
    pub samples_per_request_max: usize,
    pub exemplars_per_request_max: usize,
    /// Strings in the table of a 2.0 request.
    pub symbols_per_request_max: usize,
    /// Labels of new series of one request, together, in bytes: a reference of two bytes may stand for thousands.
    pub expanded_bytes_max: usize,
    pub labels_per_series_max: usize,
    pub label_name_bytes_max: usize,
    pub label_value_bytes_max: usize,
    /// How far a sample may lie in the future, in milliseconds.
    pub future_ms_max: i64,
    /// How old a sample may be, in milliseconds: older ones would be gone at once.
    pub age_ms_max: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What Prometheus' own receiver takes; a usual request is well below one megabyte.
            body_bytes_max: 32 << 20,
            decoded_bytes_max: 32 << 20,
            in_flight_bytes_max: 256 << 20,
            series_per_request_max: 200_000,
            samples_per_request_max: 1_000_000,
            exemplars_per_request_max: 50_000,
            symbols_per_request_max: 1_000_000,
            expanded_bytes_max: 64 << 20,
            labels_per_series_max: 64,
            label_name_bytes_max: 1024,
            label_value_bytes_max: 4096,
            // Prometheus' own tolerance for clocks that differ.
            future_ms_max: 10 * 60 * 1000,
            age_ms_max: i64::MAX,
        }
    }
}
