//! The flags of single collectors, as node_exporter names them.
//!
//! Collectors themselves are switched by [`crate::Selection`]; the flags here say what they show.

use std::path::PathBuf;

use service::units::Span;

use crate::selection::hide_foreign;

/// What collectors show. The defaults are node_exporter's.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "What collectors show", mut_args(hide_foreign))]
#[group(skip)]
pub struct Options {
    /// Network devices to show in arp, and no others
    #[arg(long = "collector.arp.device-include", value_name = "REGEXP")]
    pub arp_include: Option<String>,
    /// Network devices to hide in arp
    #[arg(long = "collector.arp.device-exclude", value_name = "REGEXP")]
    pub arp_exclude: Option<String>,

    /// Show `node_cpu_info` from /proc/cpuinfo
    #[arg(long = "collector.cpu.info")]
    pub cpu_info: bool,
    /// CPU flags to show; implies --collector.cpu.info
    #[arg(long = "collector.cpu.info.flags-include", value_name = "REGEXP")]
    pub cpu_flags_include: Option<String>,
    /// CPU bugs to show; implies --collector.cpu.info
    #[arg(long = "collector.cpu.info.bugs-include", value_name = "REGEXP")]
    pub cpu_bugs_include: Option<String>,

    /// Block devices to show, and no others
    #[arg(long = "collector.diskstats.device-include", value_name = "REGEXP")]
    pub diskstats_include: Option<String>,
    /// Block devices to hide [default: ram disks, loop devices, floppies and partitions]
    #[arg(
        long = "collector.diskstats.device-exclude",
        alias = "collector.diskstats.ignored-devices",
        value_name = "REGEXP"
    )]
    pub diskstats_exclude: Option<String>,

    /// Mount points to show, and no others
    #[arg(long = "collector.filesystem.mount-points-include", value_name = "REGEXP")]
    pub mount_points_include: Option<String>,
    /// Mount points to hide [default: those of the system and of containers]
    #[arg(
        long = "collector.filesystem.mount-points-exclude",
        alias = "collector.filesystem.ignored-mount-points",
        value_name = "REGEXP"
    )]
    pub mount_points_exclude: Option<String>,
    /// Filesystem types to show, and no others
    #[arg(long = "collector.filesystem.fs-types-include", value_name = "REGEXP")]
    pub fs_types_include: Option<String>,
    /// Filesystem types to hide [default: virtual ones]
    #[arg(
        long = "collector.filesystem.fs-types-exclude",
        alias = "collector.filesystem.ignored-fs-types",
        value_name = "REGEXP"
    )]
    pub fs_types_exclude: Option<String>,
    /// How long to wait for one remote mount
    #[arg(
        long = "collector.filesystem.mount-timeout",
        value_name = "DURATION",
        default_value = "5s",
        hide = true
    )]
    pub mount_timeout: Span,

    /// Chips to show in hwmon, and no others
    #[arg(long = "collector.hwmon.chip-include", value_name = "REGEXP")]
    pub hwmon_chip_include: Option<String>,
    /// Chips to hide in hwmon
    #[arg(long = "collector.hwmon.chip-exclude", value_name = "REGEXP")]
    pub hwmon_chip_exclude: Option<String>,
    /// Sensors to show in hwmon, matched against chip;sensor, and no others
    #[arg(long = "collector.hwmon.sensor-include", value_name = "REGEXP")]
    pub hwmon_sensor_include: Option<String>,
    /// Sensors to hide in hwmon, matched against chip;sensor
    #[arg(long = "collector.hwmon.sensor-exclude", value_name = "REGEXP")]
    pub hwmon_sensor_exclude: Option<String>,

    /// Interrupts to show, matched against type;info;devices, and no others
    #[arg(long = "collector.interrupts.name-include", value_name = "REGEXP")]
    pub interrupts_include: Option<String>,
    /// Interrupts to hide, matched against type;info;devices
    #[arg(long = "collector.interrupts.name-exclude", value_name = "REGEXP")]
    pub interrupts_exclude: Option<String>,

    /// Labels of backends in ipvs, separated by commas; backends that are then the same are summed [default: all]
    #[arg(long = "collector.ipvs.backend-labels", value_name = "LABELS")]
    pub ipvs_backend_labels: Option<String>,

    /// Windows: volumes to show, and no others; the whole name has to match
    #[arg(long = "collector.logical_disk.volume-include", value_name = "REGEXP")]
    pub volume_include: Option<String>,
    /// Windows: volumes to hide; the whole name has to match
    #[arg(long = "collector.logical_disk.volume-exclude", value_name = "REGEXP")]
    pub volume_exclude: Option<String>,

    /// Windows: network interfaces to show, and no others; the whole name has to match
    #[arg(long = "collector.net.nic-include", value_name = "REGEXP")]
    pub nic_include: Option<String>,
    /// Windows: network interfaces to hide; the whole name has to match
    #[arg(long = "collector.net.nic-exclude", value_name = "REGEXP")]
    pub nic_exclude: Option<String>,

    /// Network devices to hide in netclass
    #[arg(long = "collector.netclass.ignored-devices", value_name = "REGEXP")]
    pub netclass_ignored: Option<String>,

    /// Network devices to show in netdev, and no others
    #[arg(
        long = "collector.netdev.device-include",
        alias = "collector.netdev.device-whitelist",
        value_name = "REGEXP"
    )]
    pub netdev_include: Option<String>,
    /// Network devices to hide in netdev
    #[arg(
        long = "collector.netdev.device-exclude",
        alias = "collector.netdev.device-blacklist",
        value_name = "REGEXP"
    )]
    pub netdev_exclude: Option<String>,
    /// Show each kernel counter under its own name instead of the sums of /proc/net/dev
    #[arg(long = "collector.netdev.enable-detailed-metrics")]
    pub netdev_detailed: bool,

    /// Counters to show in netstat [default: those of dashboards and alerts]
    #[arg(long = "collector.netstat.fields", value_name = "REGEXP")]
    pub netstat_fields: Option<String>,

    /// Power supplies to hide
    #[arg(long = "collector.powersupply.ignored-supplies", value_name = "REGEXP")]
    pub power_supply_ignored: Option<String>,

    /// Groups of processes to show at most; all others are summed in one
    #[arg(long = "collector.process_groups.max", value_name = "N", default_value_t = 50)]
    pub process_groups_max: usize,

    /// Show all RAPL zones in one family, with the zone as a label
    #[arg(long = "collector.rapl.enable-zone-label")]
    pub rapl_zone_label: bool,

    /// Windows: services to show, and no others; the whole name has to match
    #[arg(long = "collector.service.include", value_name = "REGEXP")]
    pub service_include: Option<String>,
    /// Windows: services to hide; the whole name has to match
    #[arg(long = "collector.service.exclude", value_name = "REGEXP")]
    pub service_exclude: Option<String>,

    /// Services whose state to show, separated by commas, such as ssh,nginx; implies --collector.services
    #[arg(long = "collector.services.list", value_name = "NAMES", value_delimiter = ',')]
    pub services: Vec<String>,
    /// How long to wait for the states of all services: once for systemd and, where there is none, for the service command
    #[arg(long = "collector.services.timeout", value_name = "DURATION", default_value = "3s")]
    pub services_timeout: Span,
    /// The `service` command [default: the system's]
    #[arg(long = "collector.services.command", value_name = "FILE", hide = true)]
    pub services_command: Option<PathBuf>,

    /// Slabs to show in slabinfo, and no others
    #[arg(long = "collector.slabinfo.slabs-include", value_name = "REGEXP")]
    pub slabs_include: Option<String>,
    /// Slabs to hide in slabinfo
    #[arg(long = "collector.slabinfo.slabs-exclude", value_name = "REGEXP")]
    pub slabs_exclude: Option<String>,

    /// Show softirq calls by vector
    #[arg(long = "collector.stat.softirq")]
    pub stat_softirq: bool,

    /// Units to show in systemd; the whole name has to match
    #[arg(
        long = "collector.systemd.unit-include",
        alias = "collector.systemd.unit-whitelist",
        value_name = "REGEXP",
        default_value = ".+"
    )]
    pub systemd_include: String,
    /// Units to hide in systemd, even if included; the whole name has to match
    #[arg(
        long = "collector.systemd.unit-exclude",
        alias = "collector.systemd.unit-blacklist",
        value_name = "REGEXP",
        default_value = r".+\.(automount|device|mount|scope|slice)"
    )]
    pub systemd_exclude: String,
    /// Show how many tasks services have
    #[arg(long = "collector.systemd.enable-task-metrics")]
    pub systemd_tasks: bool,
    /// Show how often services were restarted
    #[arg(long = "collector.systemd.enable-restarts-metrics")]
    pub systemd_restarts: bool,
    /// Show when units became active
    #[arg(long = "collector.systemd.enable-start-time-metrics")]
    pub systemd_start_time: bool,
    /// The bus that systemd is asked on [default: the system's]
    #[arg(long = "collector.systemd.bus-address", value_name = "ADDRESS", hide = true)]
    pub systemd_bus: Option<String>,

    /// Tape drives to hide
    #[arg(long = "collector.tapestats.ignored-devices", value_name = "REGEXP")]
    pub tape_ignored: Option<String>,

    /// Folders with *.prom files; repeatable, may be a pattern such as /var/lib/*/metrics
    #[arg(long = "collector.textfile.directory", value_name = "FOLDER")]
    pub textfile_directories: Vec<String>,

    /// Counters to show in vmstat [default: paging, swapping and faults]
    #[arg(long = "collector.vmstat.fields", value_name = "REGEXP")]
    pub vmstat_fields: Option<String>,
}

/// Where the machine's filesystems are mounted.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Paths", mut_args(hide_foreign))]
#[group(skip)]
pub struct Paths {
    /// The procfs mount point
    #[arg(long = "path.procfs", value_name = "FOLDER", default_value = "/proc")]
    pub procfs: PathBuf,
    /// The sysfs mount point
    #[arg(long = "path.sysfs", value_name = "FOLDER", default_value = "/sys")]
    pub sysfs: PathBuf,
    /// The root filesystem's mount point
    #[arg(long = "path.rootfs", value_name = "FOLDER", default_value = "/")]
    pub rootfs: PathBuf,
    /// The udev data folder
    #[arg(long = "path.udev.data", value_name = "FOLDER", default_value = "/run/udev/data")]
    pub udev_data: PathBuf,
}
