//! What several echo requests tell together.

use std::time::Duration;

use proto::exposition::{Exposition, Kind};

/// How many were sent and answered, and how long that took.
#[derive(Clone, Debug, Default)]
pub(super) struct Statistics {
    sent: u16,
    rtts: Vec<Duration>,
}

impl Statistics {
    pub(super) fn requested(&mut self) {
        self.sent += 1;
    }

    pub(super) fn answered(&mut self, rtt: Duration) {
        self.rtts.push(rtt);
    }

    pub(super) fn sent(&self) -> u16 {
        self.sent
    }

    pub(super) fn received(&self) -> u16 {
        u16::try_from(self.rtts.len()).unwrap_or(u16::MAX)
    }

    /// Zero where nothing was answered.
    pub(super) fn mean(&self) -> Duration {
        self.rtts.iter().sum::<Duration>() / u32::from(self.received().max(1))
    }

    fn standard_deviation(&self) -> f64 {
        let mean = self.mean().as_secs_f64();
        let squares = self.rtts.iter().map(|rtt| (rtt.as_secs_f64() - mean).powi(2));
        (squares.sum::<f64>() / f64::from(self.received().max(1))).sqrt()
    }

    pub(super) fn write(&self, out: &mut Exposition) {
        out.gauge(
            "probe_icmp_packets_sent",
            "Echo requests that the probe sent",
            f64::from(self.sent),
        );
        out.gauge(
            "probe_icmp_packets_received",
            "Echo requests of the probe that were answered",
            f64::from(self.received()),
        );
        let (Some(min), Some(max)) = (self.rtts.iter().min(), self.rtts.iter().max()) else {
            return;
        };
        out.family(
            "probe_icmp_rtt_seconds",
            "Round trip times of the answered echo requests",
            Kind::Gauge,
        )
        .sample(&[("stat", "avg")], self.mean().as_secs_f64())
        .sample(&[("stat", "max")], max.as_secs_f64())
        .sample(&[("stat", "min")], min.as_secs_f64())
        .sample(&[("stat", "stddev")], self.standard_deviation());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_what_was_answered() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.mean(), Duration::ZERO);
        for rtt in [Some(2), Some(4), None, Some(6)] {
            statistics.requested();
            if let Some(ms) = rtt {
                statistics.answered(Duration::from_millis(ms));
            }
        }
        let mut out = Exposition::new();
        statistics.write(&mut out);
        let text = out.to_text();
        for line in [
            "probe_icmp_packets_sent 4",
            "probe_icmp_packets_received 3",
            "probe_icmp_rtt_seconds{stat=\"avg\"} 0.004",
            "probe_icmp_rtt_seconds{stat=\"max\"} 0.006",
            "probe_icmp_rtt_seconds{stat=\"min\"} 0.002",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        assert!((statistics.standard_deviation() - 0.001_632_993).abs() < 1e-9);
    }
}
