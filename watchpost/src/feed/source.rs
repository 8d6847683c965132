//! What can be scraped without a network.

use std::time::Instant;

use exporter::{Exporter, Filter};
use proto::exposition::Exposition;

/// Something that answers with an exposition.
pub enum Source {
    /// This machine.
    Exporter(Exporter),
    #[cfg(test)]
    Test(Box<dyn FnMut() -> Exposition + Send>),
    #[cfg(test)]
    Hanging,
}

impl Source {
    /// What it says until `deadline`. Cancel-safe.
    pub(super) async fn scrape(&mut self, deadline: Instant) -> Exposition {
        match self {
            Self::Exporter(exporter) => exporter.collect(deadline, &Filter::All).await,
            #[cfg(test)]
            Self::Test(answer) => answer(),
            #[cfg(test)]
            Self::Hanging => std::future::pending().await,
        }
    }

    /// Gives the memory of an answer back.
    pub(super) fn recycle(&self, exposition: Exposition) {
        match self {
            Self::Exporter(exporter) => exporter.recycle(exposition),
            #[cfg(test)]
            Self::Test(_) | Self::Hanging => drop(exposition),
        }
    }

    #[cfg(test)]
    pub(super) fn test(answer: impl FnMut() -> Exposition + Send + 'static) -> Self {
        Self::Test(Box::new(answer))
    }

    #[cfg(test)]
    pub(super) fn hanging() -> Self {
        Self::Hanging
    }
}
