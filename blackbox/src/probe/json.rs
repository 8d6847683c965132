//! The json prober: asks a service for a document and makes samples of its values.
//!
//! It goes over the http prober, so every answer also has its status, its phases and its certificate: that a service
//! does not answer is as much worth knowing as what it says.

mod body;
mod extract;

use std::time::Duration;

use proto::exposition::Exposition;

pub(crate) use self::body::check as check_body;
use super::{Context, http};
use crate::{
    config::{HttpConfig, JsonConfig},
    failure::{Failure, Phase, Reason},
    probe,
};

/// What a json probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    http: http::Facts,
    samples: Exposition,
    /// Set once the answer was there.
    is_answered: bool,
}

pub(super) async fn probe(
    config: &JsonConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let body = body::render(&config.body, &ctx.params.values)?;
    let request = HttpConfig {
        preferred_ip_protocol: config.preferred_ip_protocol,
        ip_protocol_fallback: config.ip_protocol_fallback,
        method: if body.is_empty() { "GET".to_owned() } else { "POST".to_owned() },
        headers: config.headers.clone(),
        valid_status_codes: config.valid_status_codes.clone(),
        client: config.http_client_config.clone(),
        body,
        ..HttpConfig::default()
    };
    facts.http.keep_body = true;
    http::probe(&request, ctx, &mut facts.http).await?;
    facts.is_answered = true;
    let text = std::mem::take(&mut facts.http.body);
    let metrics = config.metrics.clone();
    // A large document takes a while to read.
    let extracted = tokio::task::spawn_blocking(move || extract::extract(&metrics, &text)).await;
    let extracted = extracted
        .map_err(|err| Failure::new(Phase::Validate, Reason::Json, err.to_string()))?
        .map_err(|why| Failure::new(Phase::Validate, Reason::Json, why))?;
    for complaint in &extracted.complaints {
        ctx.log.warn("Left out", &[("why", complaint)]);
    }
    facts.samples = extracted.samples;
    Ok(())
}

impl probe::Facts for Facts {
    fn phase(&self) -> Phase {
        if self.is_answered { Phase::Validate } else { probe::Facts::phase(&self.http) }
    }

    fn phases(&self) -> Vec<(&'static str, Duration)> {
        probe::Facts::phases(&self.http)
    }

    fn write(&self, out: &mut Exposition) {
        probe::Facts::write(&self.http, out);
        out.append(&mut self.samples.clone());
    }
}
