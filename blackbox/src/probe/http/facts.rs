//! What an http probe found out, and the families that tell it.

use std::time::Duration;

use proto::exposition::{Exposition, Kind};
use tokio::time::Instant;

use crate::{
    dial::Resolution,
    failure::Phase,
    probe::{self, write_resolution},
    tls::{Extras, TlsFacts},
};

#[derive(Debug)]
pub(crate) struct Facts {
    phase: Phase,
    phase_since: Instant,
    /// `None` where a proxy looks the name up.
    pub(super) resolution: Option<Resolution>,
    resolve: Duration,
    /// Something was found to connect to: the phases after `resolve` are told, from zero.
    pub(super) phases_started: bool,
    connect: Duration,
    tls_handshake: Duration,
    processing: Duration,
    pub(super) transfer: Duration,
    pub(super) status: u16,
    pub(super) content_length: f64,
    pub(super) body_bytes: u64,
    pub(super) redirects: u32,
    pub(super) is_ssl: bool,
    pub(super) version: f64,
    pub(super) failed_due_to_regex: bool,
    /// `None` where the module has no such rule.
    pub(super) failed_due_to_cel: Option<bool>,
    /// Whether the body is wanted after the probe, and the body.
    pub(crate) keep_body: bool,
    pub(crate) body: Vec<u8>,
    pub(super) last_modified: Option<f64>,
    /// What the last server showed.
    pub(crate) tls: Option<TlsFacts>,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            phase: Phase::Setup,
            phase_since: Instant::now(),
            resolution: None,
            resolve: Duration::ZERO,
            phases_started: false,
            connect: Duration::ZERO,
            tls_handshake: Duration::ZERO,
            processing: Duration::ZERO,
            transfer: Duration::ZERO,
            status: 0,
            content_length: 0.0,
            body_bytes: 0,
            redirects: 0,
            is_ssl: false,
            version: 0.0,
            failed_due_to_regex: false,
            failed_due_to_cel: None,
            keep_body: false,
            body: Vec::new(),
            last_modified: None,
            tls: None,
        }
    }
}

impl Facts {
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_since = Instant::now();
    }

    pub(super) fn resolved(&mut self, time: Duration) {
        self.resolve += time;
        self.phase_since = Instant::now();
    }

    /// The time of a phase; the one that the deadline has struck in has lasted until now.
    fn time_of(&self, phase: Phase, spent: Duration) -> Duration {
        if phase == self.phase { spent + self.phase_since.elapsed() } else { spent }
    }
}

impl crate::wire::Progress for Facts {
    fn entered(&mut self, phase: Phase) {
        self.enter(phase);
    }

    fn spent(&mut self, phase: Phase, time: Duration) {
        self.phase_since = Instant::now();
        match phase {
            Phase::Connect => self.connect += time,
            Phase::Tls => self.tls_handshake += time,
            Phase::Processing => self.processing += time,
            _ => {}
        }
    }

    fn tls(&mut self) -> &mut TlsFacts {
        self.tls.insert(TlsFacts::default())
    }

    fn plain(&mut self) {
        self.tls = None;
    }
}

impl probe::Facts for Facts {
    fn phase(&self) -> Phase {
        self.phase
    }

    fn phases(&self) -> Vec<(&'static str, Duration)> {
        let mut phases = Vec::with_capacity(5);
        if self.resolution.is_some() {
            phases.push(("resolve", self.time_of(Phase::Resolve, self.resolve)));
        }
        if self.phases_started {
            phases.extend([
                ("connect", self.time_of(Phase::Connect, self.connect)),
                ("tls", self.time_of(Phase::Tls, self.tls_handshake)),
                ("processing", self.time_of(Phase::Processing, self.processing)),
                ("transfer", self.time_of(Phase::Transfer, self.transfer)),
            ]);
        }
        phases
    }

    fn write(&self, out: &mut Exposition) {
        if let Some(resolution) = &self.resolution {
            write_resolution(out, resolution);
        }
        let mut phases = out.family(
            "probe_http_duration_seconds",
            "Duration of http request by phase, summed over all redirects",
            Kind::Gauge,
        );
        for (phase, time) in probe::Facts::phases(self) {
            phases.sample(&[("phase", phase)], time.as_secs_f64());
        }
        out.gauge(
            "probe_http_content_length",
            "Length of http content response",
            self.content_length,
        );
        out.gauge(
            "probe_http_uncompressed_body_length",
            "Length of uncompressed response body",
            self.body_bytes as f64,
        );
        out.gauge("probe_http_redirects", "The number of redirects", f64::from(self.redirects));
        out.gauge(
            "probe_http_ssl",
            "Indicates if SSL was used for the final redirect",
            f64::from(u8::from(self.is_ssl)),
        );
        out.gauge("probe_http_status_code", "Response HTTP status code", f64::from(self.status));
        out.gauge(
            "probe_http_version",
            "Returns the version of HTTP of the probe response",
            self.version,
        );
        out.gauge(
            "probe_failed_due_to_regex",
            "Indicates if probe failed due to regex",
            f64::from(u8::from(self.failed_due_to_regex)),
        );
        if let Some(failed) = self.failed_due_to_cel {
            out.gauge(
                "probe_failed_due_to_cel",
                "Indicates if probe failed due to CEL expression not matching",
                f64::from(u8::from(failed)),
            );
        }
        if let Some(seconds) = self.last_modified {
            out.gauge(
                "probe_http_last_modified_timestamp_seconds",
                "Returns the Last-Modified HTTP response header in unixtime",
                seconds,
            );
        }
        if let Some(tls) = &self.tls {
            if self.is_ssl {
                tls.write(out, Extras::Http);
            }
            tls.write_peer(out);
        }
    }
}
