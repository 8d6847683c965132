//! Fibre Channel hosts, from `/sys/class/fc_host`.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct FibreChannel {
    class: PathBuf,
}

/// Labels of the info family, named as their files.
const TEXTS: [&str; 10] = [
    "speed",
    "port_state",
    "port_type",
    "port_id",
    "port_name",
    "fabric_name",
    "symbolic_name",
    "supported_classes",
    "supported_speeds",
    "dev_loss_tmo",
];

/// (file in `statistics`, name after `node_fibrechannel_`, help)
const COUNTERS: [(&str, &str, &str); 14] = [
    ("dumped_frames", "node_fibrechannel_dumped_frames_total", "Number of dumped frames"),
    ("error_frames", "node_fibrechannel_error_frames_total", "Number of errors in frames"),
    (
        "invalid_crc_count",
        "node_fibrechannel_invalid_crc_total",
        "Invalid Cyclic Redundancy Check count",
    ),
    ("rx_frames", "node_fibrechannel_rx_frames_total", "Number of frames received"),
    ("rx_words", "node_fibrechannel_rx_words_total", "Number of words received by host port"),
    ("tx_frames", "node_fibrechannel_tx_frames_total", "Number of frames transmitted by host port"),
    ("tx_words", "node_fibrechannel_tx_words_total", "Number of words transmitted by host port"),
    (
        "seconds_since_last_reset",
        "node_fibrechannel_seconds_since_last_reset_total",
        "Number of seconds since last host port reset",
    ),
    (
        "invalid_tx_word_count",
        "node_fibrechannel_invalid_tx_words_total",
        "Number of invalid words transmitted by host port",
    ),
    (
        "link_failure_count",
        "node_fibrechannel_link_failure_total",
        "Number of times the host port link has failed",
    ),
    (
        "loss_of_sync_count",
        "node_fibrechannel_loss_of_sync_total",
        "Number of failures on either bit or transmission word boundaries",
    ),
    (
        "loss_of_signal_count",
        "node_fibrechannel_loss_of_signal_total",
        "Number of times signal has been lost",
    ),
    (
        "nos_count",
        "node_fibrechannel_nos_total",
        "Number Not_Operational Primitive Sequence received by host port",
    ),
    ("fcp_packet_aborts", "node_fibrechannel_fcp_packet_aborts_total", "Number of aborted packets"),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(FibreChannel { class: setup.host.sys("class/fc_host") }))
}

impl Collector for FibreChannel {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("Fibre Channel"))?;
        for name in names {
            let folder = self.class.join(&name);
            let texts = TEXTS.map(|file| host::text(&folder.join(file)).unwrap_or_default());
            let mut labels = vec![("fc_host", name.as_str())];
            labels.extend(
                TEXTS
                    .into_iter()
                    .zip(&texts)
                    .map(|(label, text)| (label, text.strip_prefix("0x").unwrap_or(text))),
            );
            out.family(
                "node_fibrechannel_info",
                "Non-numeric data from /sys/class/fc_host/<host>, value is always 1.",
                Kind::Gauge,
            )
            .sample(&labels, 1.0);
            for (file, family, help) in COUNTERS {
                let count = host::attribute(&folder.join("statistics").join(file))
                    .ok()
                    .and_then(|text| scan::hex(&text));
                // All bits set stand for "this driver does not count it".
                if let Some(count) = count.filter(|count| *count != u64::MAX) {
                    out.family(family, help, Kind::Counter)
                        .sample(&[("fc_host", &name)], count as f64);
                }
            }
        }
        Ok(())
    }
}
