//! Tape drives, from `/sys/class/scsi_tape`.

use std::path::PathBuf;

use proto::exposition::Exposition;
use regexp::Regexp;

use super::{
    Collector, Error, OptionError, Setup,
    attributes::{self, Attribute, Scale, counter, gauge},
};
use crate::{host, name_filter, scan};

struct TapeStats {
    class: PathBuf,
    ignored: Option<Regexp>,
}

const NANOSECONDS: Scale = Scale::Per(1e9);

const FILES: [Attribute; 10] = [
    gauge("in_flight", "node_tape_io_now", "The number of I/Os currently outstanding to this device."),
    counter("io_ns", "node_tape_io_time_seconds_total", "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on close tape devices are used.").scaled(NANOSECONDS),
    counter("other_cnt", "node_tape_io_others_total", "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete these commands uses the following calculation io_time_seconds_total-read_time_seconds_total-write_time_seconds_total"),
    counter("read_byte_cnt", "node_tape_read_bytes_total", "The number of bytes read from the tape drive."),
    counter("read_cnt", "node_tape_reads_completed_total", "The number of read requests issued to the tape drive."),
    counter("read_ns", "node_tape_read_time_seconds_total", "The amount of time spent waiting for read requests to complete.").scaled(NANOSECONDS),
    counter("resid_cnt", "node_tape_residual_total", "The number of times during a read or write we found the residual amount to be non-zero. This should mean that a program is issuing a read larger thean the block size on tape. For write not all data made it to tape."),
    counter("write_byte_cnt", "node_tape_written_bytes_total", "The number of bytes written to the tape drive."),
    counter("write_cnt", "node_tape_writes_completed_total", "The number of write requests issued to the tape drive."),
    counter("write_ns", "node_tape_write_time_seconds_total", "The amount of time spent waiting for write requests to complete.").scaled(NANOSECONDS),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let flag = "collector.tapestats.ignored-devices";
    Ok(Box::new(TapeStats {
        class: setup.host.sys("class/scsi_tape"),
        ignored: name_filter::compile(flag, setup.options.tape_ignored.as_deref())?,
    }))
}

impl Collector for TapeStats {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let names = host::names(&self.class).map_err(|err| err.or_no_data("tape drives"))?;
        for name in names {
            // `nst0`, `st0a` and so on are other modes of the drive `st0`.
            let is_drive = name
                .strip_prefix("st")
                .is_some_and(|number| scan::u64(number.as_bytes()).is_some());
            let is_ignored =
                self.ignored.as_ref().is_some_and(|ignored| ignored.is_match(name.as_bytes()));
            if is_drive && !is_ignored {
                let folder = self.class.join(&name).join("stats");
                attributes::write(&folder, &FILES, &[("device", &name)], out);
            }
        }
        Ok(())
    }
}
