//! `--collector.<name>` and `--no-collector.<name>`: which collectors run.
//!
//! Written by hand rather than derived, because the flags come from the table of collectors, and because some are on
//! unless `--no-…` is given, which a derived boolean cannot tell.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args as _, Command, parser::ValueSource};

use crate::{
    Options, Paths,
    collector::{entry::Entry, names, table::ENTRIES},
};

/// Switches that are on by default and belong to a single collector.
const SWITCHES: &[(&str, &str)] = &[
    ("collector.cpu.guest", "Show node_cpu_guest_seconds_total"),
    ("collector.interrupts.include-zeros", "Show interrupts that never happened"),
    (
        "collector.netclass.ignore-invalid-speed",
        "Leave out network speeds below zero, which stand for unknown",
    ),
    ("collector.netclass.netlink", "Ask the kernel over netlink instead of reading /sys/class/net"),
    ("collector.netdev.netlink", "Ask the kernel over netlink instead of reading /proc/net/dev"),
];

/// node_exporter's flags that change nothing here: (name, whether it takes a value).
const IGNORED: &[(&str, bool)] = &[
    ("collector.arp.netlink", false),
    ("collector.bcache.priorityStats", false),
    ("collector.ethtool.device-exclude", true),
    ("collector.ethtool.device-include", true),
    ("collector.ethtool.metrics-include", true),
    ("collector.filesystem.stat-workers", true),
    ("collector.infiniband.device-exclude", true),
    ("collector.infiniband.device-include", true),
    ("collector.netclass_rtnl.with-stats", false),
    ("collector.netdev.address-info", false),
    ("collector.netdev.label-ifalias", false),
    ("collector.ntp.ip-ttl", true),
    ("collector.ntp.local-offset-tolerance", true),
    ("collector.ntp.max-distance", true),
    ("collector.ntp.protocol-version", true),
    ("collector.ntp.server", true),
    ("collector.ntp.server-is-local", false),
    ("collector.ntp.server-port", true),
    ("collector.perf.cache-profilers", true),
    ("collector.perf.cpus", true),
    ("collector.perf.disable-cache-profilers", false),
    ("collector.perf.disable-hardware-profilers", false),
    ("collector.perf.disable-software-profilers", false),
    ("collector.perf.hardware-profilers", true),
    ("collector.perf.software-profilers", true),
    ("collector.perf.tracepoint", true),
    ("collector.qdisc.device-exclude", true),
    ("collector.qdisc.device-include", true),
    ("collector.qdisc.fixtures", true),
    ("collector.runit.servicedir", true),
    ("collector.supervisord.url", true),
    ("collector.sysctl.include", true),
    ("collector.sysctl.include-info", true),
    ("collector.systemd.private", false),
    ("collector.wifi.fixtures", true),
    ("runtime.gomaxprocs", true),
];

/// Which collectors run. [`Selection::default`] is what runs without any flag.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    only_asked: bool,
    asked: BTreeMap<&'static str, bool>,
    ignored: Vec<String>,
}

impl Selection {
    /// Switches a collector on or off, as `--collector.<name>` and `--no-collector.<name>` do.
    ///
    /// A name that no collector has changes nothing.
    pub fn set(&mut self, collector: &str, on: bool) {
        if let Some(entry) = ENTRIES.iter().find(|entry| entry.name == collector) {
            self.asked.insert(entry.name, on);
        }
    }

    /// Runs only what is asked for by [`Self::set`], as `--collector.disable-defaults` does.
    pub fn disable_defaults(&mut self) {
        self.only_asked = true;
    }

    /// Whether `entry` runs; `is_implied` when another flag than its own asks for it.
    pub(crate) fn is_on(&self, entry: &Entry, is_implied: bool) -> bool {
        let default = is_implied || (entry.default_on && !self.only_asked);
        self.asked.get(entry.name).copied().unwrap_or(default)
    }

    /// A switch of a single collector; on unless switched off.
    #[cfg(any(target_os = "linux", test))]
    pub(crate) fn switch(&self, name: &str) -> bool {
        self.asked.get(name).copied().unwrap_or(true)
    }

    /// Flags given that change nothing.
    pub(crate) fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

impl clap::Args for Selection {
    fn augment_args(command: Command) -> Command {
        let switch = |name: String| {
            Arg::new(name.clone()).long(name).action(ArgAction::SetTrue).help_heading("Collectors")
        };
        let collectors = ENTRIES.iter().map(|entry| {
            let state = match entry {
                Entry { open: None, .. } => "not part of this program; accepted and ignored",
                Entry { default_on: true, .. } => "on by default",
                Entry { default_on: false, .. } => "off by default",
            };
            switch(format!("collector.{}", entry.name)).help(state).hide(entry.open.is_none())
        });
        let switches = SWITCHES.iter().map(|(name, help)| switch((*name).to_owned()).help(help));
        let ignored = IGNORED.iter().map(|(name, takes_value)| {
            if *takes_value {
                Arg::new(name).long(name).action(ArgAction::Append).hide(true)
            } else {
                switch((*name).to_owned()).hide(true)
            }
        });
        let disable = switch("collector.disable-defaults".to_owned())
            .help("Run only the collectors that are asked for");
        let foreign =
            foreign_collectors().map(|name| switch(format!("collector.{name}")).hide(true));
        command.arg(disable).args(collectors).args(switches).args(ignored).args(foreign)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for Selection {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut selection = Self {
            only_asked: asked(matches, "collector.disable-defaults") == Some(true),
            ..Self::default()
        };
        for entry in ENTRIES {
            if let Some(on) = asked(matches, &format!("collector.{}", entry.name)) {
                selection.asked.insert(entry.name, on);
            }
        }
        for (name, _) in SWITCHES {
            if let Some(on) = asked(matches, name) {
                selection.asked.insert(name, on);
            }
        }
        let ignored = IGNORED.iter().map(|(name, _)| (*name).to_owned());
        let foreign = foreign_collectors().map(|name| format!("collector.{name}"));
        let given = ignored.chain(foreign).filter(|name| source_is_user(matches, name));
        selection.ignored = given.chain(foreign_options(matches)).collect();
        Ok(selection)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Collectors that only other systems have.
fn foreign_collectors() -> impl Iterator<Item = &'static str> {
    let is_ours = |name: &str| ENTRIES.iter().any(|entry| entry.name == name);
    names::COLLECTORS.iter().copied().filter(move |name| !is_ours(name))
}

fn is_foreign(arg: &Arg) -> bool {
    arg.get_long().is_some_and(names::is_elsewhere)
}

/// Keeps what only other systems have out of the help.
pub(crate) fn hide_foreign(arg: Arg) -> Arg {
    if is_foreign(&arg) { arg.hide(true) } else { arg }
}

/// Options given that change nothing on this system.
fn foreign_options(matches: &ArgMatches) -> Vec<String> {
    let all = Options::augment_args(Paths::augment_args(Command::new("options")));
    let foreign = all.get_arguments().filter(|arg| is_foreign(arg));
    let given = foreign.filter(|arg| source_is_user(matches, arg.get_id().as_str()));
    given.filter_map(Arg::get_long).map(str::to_owned).collect()
}

/// What the user said about a boolean flag, if anything.
fn asked(matches: &ArgMatches, name: &str) -> Option<bool> {
    // `service::flags` gives every boolean its negation, which overrides the flag itself.
    let negation = format!("no-{name}");
    if source_is_user(matches, &negation) && matches.get_flag(&negation) {
        return Some(false);
    }
    source_is_user(matches, name).then(|| matches.get_flag(name))
}

fn source_is_user(matches: &ArgMatches, name: &str) -> bool {
    matches.try_contains_id(name).is_ok()
        && matches!(
            matches.value_source(name),
            Some(ValueSource::CommandLine | ValueSource::EnvVariable)
        )
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Args {
        #[command(flatten)]
        selection: Selection,
    }

    fn running(words: &[&str]) -> Vec<&'static str> {
        let mut all = vec!["x"];
        all.extend(words);
        let selection = service::flags::parse_from::<Args>(&all).unwrap().selection;
        ENTRIES
            .iter()
            .filter(|entry| selection.is_on(entry, false))
            .map(|entry| entry.name)
            .collect()
    }

    #[test]
    fn the_last_word_about_a_collector_wins() {
        assert!(running(&[]).contains(&"cpu"));
        assert!(!running(&["--no-collector.cpu"]).contains(&"cpu"));
        assert!(running(&["--no-collector.cpu", "--collector.cpu"]).contains(&"cpu"));
        assert!(!running(&["--collector.cpu", "--no-collector.cpu"]).contains(&"cpu"));
        assert_eq!(running(&["--collector.disable-defaults"]), Vec::<&str>::new());
        assert_eq!(
            running(&["--collector.textfile", "--collector.disable-defaults", "--collector.cpu"]),
            ["cpu", "textfile"]
        );
    }

    #[test]
    fn switches_are_on_until_switched_off() {
        let parse =
            |word: &str| service::flags::parse_from::<Args>(&["x", word]).unwrap().selection;
        assert!(parse("--collector.cpu").switch("collector.cpu.guest"));
        assert!(parse("--collector.cpu.guest").switch("collector.cpu.guest"));
        assert!(!parse("--no-collector.cpu.guest").switch("collector.cpu.guest"));
    }

    #[test]
    fn every_flag_of_node_exporter_is_accepted() {
        for (name, takes_value) in IGNORED {
            let word = if *takes_value { format!("--{name}=1") } else { format!("--{name}") };
            let args: Args = service::flags::parse_from(&["x", &word]).unwrap();
            assert_eq!(args.selection.ignored(), [*name]);
        }
        for entry in ENTRIES {
            for word in
                [format!("--collector.{}", entry.name), format!("--no-collector.{}", entry.name)]
            {
                assert!(service::flags::parse_from::<Args>(&["x", &word]).is_ok(), "{word}");
            }
        }
    }

    #[test]
    fn flags_without_effect_are_told() {
        let args: Args = service::flags::parse_from(&["x", "--runtime.gomaxprocs=4"]).unwrap();
        assert_eq!(args.selection.ignored(), ["runtime.gomaxprocs"]);
    }

    /// Flags of other systems change nothing, are told, and are not in the help.
    #[cfg(target_os = "linux")]
    #[test]
    fn flags_of_other_systems_are_told() {
        #[derive(Parser)]
        struct All {
            #[command(flatten)]
            config: crate::Config,
        }
        let words = ["x", "--collector.logical_disk", "--collector.service.include=x"];
        let all: All = service::flags::parse_from(&words).unwrap();
        let ignored = all.config.selection.ignored();
        assert_eq!(ignored, ["collector.logical_disk", "collector.service.include"]);
        let help = <All as clap::CommandFactory>::command().render_long_help().to_string();
        assert!(help.contains("--collector.systemd.unit-include"), "{help}");
        assert!(help.contains("--collector.netdev\n"), "{help}");
        assert!(!help.contains("logical_disk") && !help.contains("collector.service."), "{help}");
    }
}
