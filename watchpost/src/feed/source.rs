//! What can be scraped without a network.

use std::time::{Duration, Instant};

use blackbox::{Blackbox, Guard, Params};
use exporter::{Exporter, Filter};
use proto::exposition::Exposition;
use tracing::warn;

/// What a probe leaves of its time for handing over the answer, as `--timeout-offset` does for a Prometheus.
const HANDOVER: Duration = Duration::from_millis(500);

/// Something that answers with an exposition.
pub enum Source {
    /// This machine.
    Exporter(Exporter),
    /// Another one, seen from here. Its target is the operator's own word, so it may lie anywhere.
    Probe { blackbox: Blackbox, module: String, target: String },
    #[cfg(test)]
    Test(Box<dyn FnMut() -> Exposition + Send>),
    #[cfg(test)]
    Hanging,
}

impl push::scraper::Source for Source {
    async fn scrape(&mut self, deadline: Instant) -> Option<Exposition> {
        match self {
            Self::Exporter(exporter) => Some(exporter.collect(deadline, &Filter::All).await),
            Self::Probe { blackbox, module, target } => {
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = if left > HANDOVER * 2 { left - HANDOVER } else { left };
                let params = Params::default();
                match blackbox.probe(module, target, &params, timeout, &Guard::Open).await {
                    Ok(outcome) => Some(outcome.metrics),
                    Err(err) => {
                        warn!("probe {target} by {module}: {err}");
                        None
                    }
                }
            }
            #[cfg(test)]
            Self::Test(answer) => Some(answer()),
            #[cfg(test)]
            Self::Hanging => std::future::pending().await,
        }
    }

    fn recycle(&self, exposition: Exposition) {
        match self {
            Self::Exporter(exporter) => exporter.recycle(exposition),
            _ => drop(exposition),
        }
    }
}

#[cfg(test)]
impl Source {
    pub(super) fn test(answer: impl FnMut() -> Exposition + Send + 'static) -> Self {
        Self::Test(Box::new(answer))
    }

    pub(super) fn hanging() -> Self {
        Self::Hanging
    }
}
