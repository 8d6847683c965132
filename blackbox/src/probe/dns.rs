//! The dns prober: one question, and rules about the answer.

mod transport;

use std::{net::SocketAddr, time::Duration};

use proto::exposition::{Exposition, Kind};

use super::{Context, stream::split_host_port, timeline::Timeline, write_resolution};
use crate::{
    config::{DnsConfig, RecordRules},
    dial::{Preference, Resolution},
    dns::{
        self, Message, Question, Record,
        codes::{self, RCODES},
    },
    failure::{Failure, Phase, Reason},
    probe,
    tls::TlsFacts,
};

const PORT: u16 = 53;
const PORT_OVER_TLS: u16 = 853;
const SOA: u16 = 6;

/// What a dns probe found out.
#[derive(Debug, Default)]
pub(super) struct Facts {
    timeline: Timeline,
    resolution: Option<Resolution>,
    answer_records: usize,
    authority_records: usize,
    additional_records: usize,
    query_succeeded: bool,
    /// Of a zone's SOA record, where that was asked for and answered.
    serial: Option<u32>,
    tls: TlsFacts,
}

pub(super) async fn probe(
    config: &DnsConfig,
    ctx: &Context<'_>,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let default_port = if config.dns_over_tls { PORT_OVER_TLS } else { PORT };
    let (host, port) = split_host_port(ctx.target).unwrap_or((ctx.target, default_port));
    facts.timeline.enter(Phase::Resolve);
    let preference =
        Preference { family: config.preferred_ip_protocol, fallback: config.ip_protocol_fallback };
    let resolution = facts.resolution.insert(Resolution::default());
    let ip = ctx.names().resolve(host, preference, resolution).await?;
    let question = Question {
        id: dns::random_id(),
        name: dns::name::to_wire(&config.query_name)
            .map_err(|why| Failure::new(Phase::Setup, Reason::Configuration, why))?,
        record_type: config.query_type.0.value,
        class: config.query_class.0.value,
        recursion_desired: config.recursion_desired,
    };
    ctx.log.info(
        "Making DNS query",
        &[
            ("target", &ip),
            ("query", &config.query_name),
            ("type", &config.query_type.0.name),
            ("class", &config.query_class.0.name),
        ],
    );
    let address = SocketAddr::new(ip, port);
    let answer = transport::exchange(config, ctx, address, host, &question, facts).await?;
    facts.timeline.enter(Phase::Validate);
    take_counts(&answer, config, facts);
    ctx.log.info("Got response", &[("rcode", &codes::name_of(RCODES, answer.rcode, "RCODE"))]);
    judge(config, ctx, &answer)
}

fn take_counts(answer: &Message, config: &DnsConfig, facts: &mut Facts) {
    facts.query_succeeded = true;
    facts.answer_records = answer.answer.len();
    facts.authority_records = answer.authority.len();
    facts.additional_records = answer.additional.len();
    if config.query_type.0.value == SOA {
        facts.serial =
            Some(answer.answer.iter().filter_map(|r| r.soa_serial).next_back().unwrap_or(0));
    }
}

fn judge(config: &DnsConfig, ctx: &Context<'_>, answer: &Message) -> Result<(), Failure> {
    let rcode = codes::name_of(RCODES, answer.rcode, "RCODE");
    let is_valid = match config.valid_rcodes.as_slice() {
        [] => rcode == "NOERROR",
        valid => valid.contains(&rcode),
    };
    if !is_valid {
        let message =
            format!("Rcode {rcode} is not one of the valid rcodes {:?}", config.valid_rcodes);
        return Err(Failure::new(Phase::Validate, Reason::Rcode, message));
    }
    for (section, records, rules) in [
        ("answer", &answer.answer, &config.validate_answer_rrs),
        ("authority", &answer.authority, &config.validate_authority_rrs),
        ("additional", &answer.additional, &config.validate_additional_rrs),
    ] {
        for record in records {
            ctx.log.info("Validating RR", &[("section", &section), ("rr", &record.text)]);
        }
        if let Some(why) = broken_rule(records, rules) {
            let message = format!("{section} RRs validation failed: {why}");
            return Err(Failure::new(Phase::Validate, Reason::Records, message));
        }
    }
    Ok(())
}

/// The first rule that these records break.
fn broken_rule(records: &[Record], rules: &RecordRules) -> Option<String> {
    let matches = |pattern: &crate::config::Pattern, record: &Record| {
        pattern.is_match(record.text.as_bytes())
    };
    let needs_some = !rules.fail_if_not_matches_regexp.is_empty()
        || !rules.fail_if_none_matches_regexp.is_empty();
    if records.is_empty() && needs_some {
        return Some("there are no records".to_owned());
    }
    for record in records {
        for pattern in &rules.fail_if_matches_regexp {
            if matches(pattern, record) {
                return Some(format!("`{}` matches {}", record.text, pattern.as_str()));
            }
        }
        for pattern in
            rules.fail_if_not_matches_regexp.iter().chain(&rules.fail_if_all_match_regexp)
        {
            if !matches(pattern, record) {
                return Some(format!("`{}` does not match {}", record.text, pattern.as_str()));
            }
        }
    }
    for pattern in &rules.fail_if_every_rr_matches_regexp {
        if !records.is_empty() && records.iter().all(|record| matches(pattern, record)) {
            return Some(format!("all of them match {}", pattern.as_str()));
        }
    }
    let none = &rules.fail_if_none_matches_regexp;
    let any_matches =
        records.iter().any(|record| none.iter().any(|pattern| matches(pattern, record)));
    (!none.is_empty() && !any_matches).then(|| "none of them matches".to_owned())
}

impl probe::Facts for Facts {
    fn phase(&self) -> Phase {
        self.timeline.phase()
    }

    fn phases(&self) -> Vec<(&'static str, Duration)> {
        self.timeline.all()
    }

    fn write(&self, out: &mut Exposition) {
        if let Some(resolution) = &self.resolution {
            write_resolution(out, resolution);
        }
        let seconds = |phases: &[Phase]| {
            phases
                .iter()
                .filter_map(|phase| self.timeline.time_of(*phase))
                .sum::<Duration>()
                .as_secs_f64()
        };
        out.family("probe_dns_duration_seconds", "Duration of DNS request by phase", Kind::Gauge)
            .sample(&[("phase", "resolve")], seconds(&[Phase::Resolve]))
            .sample(&[("phase", "connect")], seconds(&[Phase::Connect, Phase::Tls]))
            .sample(&[("phase", "request")], seconds(&[Phase::Request, Phase::Processing]));
        for (name, section, count) in [
            ("probe_dns_answer_rrs", "answer", self.answer_records),
            ("probe_dns_authority_rrs", "authority", self.authority_records),
            ("probe_dns_additional_rrs", "additional", self.additional_records),
        ] {
            let help = format!("Returns number of entries in the {section} resource record list");
            out.gauge(name, &help, count as f64);
        }
        out.gauge(
            "probe_dns_query_succeeded",
            "Displays whether or not the query was executed successfully",
            f64::from(u8::from(self.query_succeeded)),
        );
        if let Some(serial) = self.serial {
            out.gauge(
                "probe_dns_serial",
                "Returns the serial number of the zone",
                f64::from(serial),
            );
        }
        self.tls.write_peer(out);
    }
}
