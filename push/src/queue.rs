//! What waits to be sent, in a folder of its own: bounded, first in first out, and still there after `kill -9`.
//!
//! Records are appended to *segments* ([`segment`]), files that are removed whole when all of their records were
//! delivered, or when the queue needs room for newer ones. A program never appends to a segment of an earlier one, so
//! that a torn record is always the last of its file. A record that fails its check sum is skipped with the rest of its
//! segment, counted and said.
//!
//! A record is written to the page cache before it is sent, which survives the program; `fsync` is called for what is
//! still there some seconds later ([`Queue::unsynced`]), so that with a receiver in reach the disk has almost nothing
//! to do, and a power failure costs seconds. While the disk takes nothing (it may be full, which is what the metrics
//! are there to tell) a few megabytes wait in memory.
//!
//! All calls may block on the disk.

mod cursor;
mod record;
mod segment;

use std::{
    collections::VecDeque,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::{info, warn};

use self::{
    cursor::{Cursor, Position},
    record::Found,
    segment::{Reader, Segment, Writer},
};
use crate::stats::{Dropped, Stats};

/// A segment is this part of the queue: what is dropped at once when there is no room.
const SEGMENTS: u64 = 16;
const SEGMENT_BYTES_MIN: u64 = 64 << 10;
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// A segment that is delivered and larger than this is begun anew, so that the queue of a receiver that is in reach
/// stays small.
const DRAINED_BYTES_MAX: u64 = 1 << 20;
/// What waits in memory while the disk takes nothing.
const SPILL_BYTES_MAX: usize = 4 << 20;
/// Segments of a folder that somebody else filled; a queue of ours has some dozen.
const SEGMENTS_MAX: usize = 100_000;

#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("use the folder {} as queue; another can be named with --remote-write.queue-dir", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "the queue in {} belongs to another program that runs: give each its own --remote-write.queue-dir",
        path.display()
    )]
    Taken { path: PathBuf },
}

#[derive(Debug)]
pub(crate) struct Queue {
    folder: PathBuf,
    /// Held as long as the queue is: two programs would deliver each other's records.
    _lock: File,
    bytes_max: u64,
    segment_bytes_max: u64,
    /// Oldest first; the writer's is the last.
    segments: VecDeque<Segment>,
    next_number: u64,
    writer: Option<Writer>,
    reader: Option<Reader>,
    cursor: Cursor,
    spill: Spill,
    disk_refuses: bool,
    stats: Arc<Stats>,
}

/// Newer than everything on disk.
#[derive(Debug, Default)]
struct Spill {
    records: VecDeque<Spilled>,
    bytes: usize,
    next: u64,
}

#[derive(Debug)]
struct Spilled {
    number: u64,
    payload: Vec<u8>,
    samples: u64,
}

/// Records in order, to be sent together; gone from the queue after [`Queue::delivered`].
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) samples: u64,
    /// Samples by segment.
    taken: Vec<(u64, u64)>,
    end: Option<Position>,
    spilled: Option<u64>,
}

impl Records {
    /// The same without the payloads: enough for [`Queue::delivered`].
    pub(crate) fn receipt(&self) -> Self {
        let Self { payloads: _, samples, taken, end, spilled } = self;
        Self {
            payloads: Vec::new(),
            samples: *samples,
            taken: taken.clone(),
            end: *end,
            spilled: *spilled,
        }
    }
}

impl Queue {
    /// Opens the folder, made if need be, with what an earlier program left there.
    pub(crate) fn open(
        folder: &Path,
        bytes_max: u64,
        stats: Arc<Stats>,
    ) -> Result<Self, QueueError> {
        let failed = |source| QueueError::Folder { path: folder.to_owned(), source };
        create_private(folder).map_err(failed)?;
        let lock_path = folder.join("lock");
        let lock = File::options().write(true).create(true).truncate(false).open(lock_path);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => {
                return Err(QueueError::Taken { path: folder.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let cursor = Cursor::open(&folder.join("cursor")).map_err(failed)?;
        let numbers = segment::numbers(folder).map_err(failed)?;
        let next_number = numbers.last().map_or(1, |last| last.saturating_add(1));
        let mut queue = Self {
            folder: folder.to_owned(),
            _lock: lock,
            bytes_max,
            segment_bytes_max: (bytes_max / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            segments: VecDeque::new(),
            next_number: next_number.max(cursor.position().segment.saturating_add(1)),
            writer: None,
            reader: None,
            cursor,
            spill: Spill::default(),
            disk_refuses: false,
            stats,
        };
        queue.adopt(&numbers).map_err(failed)?;
        Ok(queue)
    }

    /// Takes over what an earlier program left.
    fn adopt(&mut self, numbers: &[u64]) -> io::Result<()> {
        let read = self.cursor.position();
        for (position, &number) in numbers.iter().take(SEGMENTS_MAX).enumerate() {
            let path = segment::path(&self.folder, number);
            let offset = if number == read.segment { read.offset } else { 0 };
            let survey = segment::survey(&path, offset)?;
            // Only the newest can end with the record that was being written when the program was killed.
            let is_newest = position + 1 == numbers.len();
            let is_damaged = survey.is_corrupt || (survey.is_torn && !is_newest);
            if number < read.segment || (survey.samples == 0 && !is_damaged) {
                fs::remove_file(&path)?;
                continue;
            }
            if survey.is_torn && is_newest {
                File::options().write(true).open(&path)?.set_len(survey.end)?;
            }
            // The reader finds the damage, says so and counts it.
            let bytes = if is_damaged { survey.length } else { survey.end };
            self.segments.push_back(Segment { number, bytes, samples: survey.samples });
            self.stats.pending_more(survey.samples);
        }
        self.show_bytes();
        let samples: u64 = self.segments.iter().map(|segment| segment.samples).sum();
        if samples > 0 {
            info!(samples, segments = self.segments.len(), "{samples} samples wait from before");
        }
        Ok(())
    }

    /// Adds a record. Never fails: what the disk does not take waits in memory, and the oldest makes room.
    pub(crate) fn push(&mut self, payload: Vec<u8>, samples: u64) {
        self.stats.pending_more(samples);
        if payload.is_empty() || payload.len() > record::PAYLOAD_BYTES_MAX {
            self.drop_samples(samples, Dropped::TooLarge);
            return;
        }
        let mut waiting = Some((payload, samples));
        if let Err(err) = self.write_spill().and_then(|()| {
            let (payload, samples) = waiting.as_ref().expect("not taken yet");
            self.write(payload, *samples)?;
            waiting = None;
            Ok(())
        }) && !self.disk_refuses
        {
            self.disk_refuses = true;
            warn!(
                "the queue in {} takes nothing, the newest wait in memory: {err}",
                self.folder.display()
            );
        }
        match waiting {
            Some((payload, samples)) => self.keep_in_memory(payload, samples),
            None if self.disk_refuses => {
                self.disk_refuses = false;
                info!("the queue in {} takes records again", self.folder.display());
            }
            None => {}
        }
        self.show_bytes();
    }

    /// The oldest records: at least one, then as many as there are within both limits. Empty when nothing waits.
    pub(crate) fn read(&mut self, records_max: usize, samples_max: u64) -> Records {
        let mut records = Records::default();
        while records.payloads.len() < records_max && records.samples < samples_max {
            let Some((payload, samples)) = self.read_from_disk(&mut records) else { break };
            records.samples += samples;
            records.payloads.push(payload);
        }
        // Memory is newer than disk, and not mixed with it: a batch is delivered from one of both.
        if records.payloads.is_empty() {
            for spilled in &self.spill.records {
                if records.payloads.len() >= records_max || records.samples >= samples_max {
                    break;
                }
                records.payloads.push(spilled.payload.clone());
                records.samples += spilled.samples;
                records.spilled = Some(spilled.number);
            }
        }
        // Until they are delivered, the next call begins where this one did.
        self.reader = None;
        records
    }

    /// Takes records out for good.
    pub(crate) fn delivered(&mut self, records: &Records) {
        for (number, samples) in &records.taken {
            // It may have had to make room meanwhile.
            if let Some(segment) = self.segments.iter_mut().find(|s| s.number == *number) {
                let samples = segment.samples.min(*samples);
                segment.samples -= samples;
                self.stats.pending_less(samples);
            }
        }
        while let (Some(last), Some(front)) = (records.spilled, self.spill.records.front())
            && front.number <= last
        {
            self.spill.bytes -= front.payload.len();
            self.stats.pending_less(front.samples);
            self.spill.records.pop_front();
        }
        if let Some(end) = records.end.filter(|end| *end > self.cursor.position()) {
            self.advance(end);
        }
        self.show_bytes();
    }

    /// A file that holds records which are not delivered and may not be on disk yet, and its path; to be synced by the
    /// caller, who does not hold the queue meanwhile.
    pub(crate) fn unsynced(&mut self) -> Option<(File, PathBuf)> {
        let is_waiting = self.segments.back().is_some_and(|segment| segment.samples > 0);
        self.writer.as_mut().filter(|_| is_waiting)?.unsynced()
    }

    fn write_spill(&mut self) -> io::Result<()> {
        while let Some(oldest) = self.spill.records.pop_front() {
            match self.write(&oldest.payload, oldest.samples) {
                Ok(()) => self.spill.bytes -= oldest.payload.len(),
                Err(err) => {
                    self.spill.records.push_front(oldest);
                    return Err(err);
                }
            }
        }
        Ok(())
    }

    fn keep_in_memory(&mut self, payload: Vec<u8>, samples: u64) {
        self.spill.bytes += payload.len();
        let number = self.spill.next;
        self.spill.next += 1;
        self.spill.records.push_back(Spilled { number, payload, samples });
        while self.spill.bytes > SPILL_BYTES_MAX
            && self.spill.records.len() > 1
            && let Some(oldest) = self.spill.records.pop_front()
        {
            self.spill.bytes -= oldest.payload.len();
            self.drop_samples(oldest.samples, Dropped::QueueFull);
        }
    }

    fn write(&mut self, payload: &[u8], samples: u64) -> io::Result<()> {
        let framed = record::frame(payload, u32::try_from(samples).unwrap_or(u32::MAX));
        let is_full = |writer: &Writer| {
            writer.bytes() + framed.len() as u64 > self.segment_bytes_max
                && writer.bytes() > segment::MAGIC.len() as u64
        };
        if self.writer.as_ref().is_some_and(is_full)
            && let Some(mut full) = self.writer.take()
            && self.segments.back().is_some_and(|segment| segment.samples > 0)
            && let Some((file, _)) = full.unsynced()
        {
            // One that is full is waited for, which happens every few megabytes.
            file.sync_data()?;
        }
        self.make_room(framed.len() as u64);
        if self.writer.is_none() {
            let writer = Writer::create(&self.folder, self.next_number)?;
            self.next_number += 1;
            let (number, bytes) = (writer.number, writer.bytes());
            self.segments.push_back(Segment { number, bytes, samples: 0 });
            self.writer = Some(writer);
        }
        let writer = self.writer.as_mut().expect("made above");
        writer.append(&framed)?;
        let segment = self.segments.back_mut().expect("the writer's is there");
        segment.bytes = writer.bytes();
        segment.samples += samples;
        Ok(())
    }

    /// Drops the oldest segments until there is room for `bytes` more.
    fn make_room(&mut self, bytes: u64) {
        while self.bytes() + bytes > self.bytes_max && !self.segments.is_empty() {
            if self.segments.len() == 1 {
                self.writer = None;
            }
            let oldest = self.segments[0];
            if oldest.samples > 0 && self.stats.is_first_drop() {
                warn!(
                    "the queue in {} is full: from now on the oldest samples are dropped",
                    self.folder.display()
                );
            }
            self.drop_samples(oldest.samples, Dropped::QueueFull);
            self.segments[0].samples = 0;
            self.advance(Position { segment: oldest.number + 1, offset: 0 });
            if self.segments.front().is_some_and(|front| front.number == oldest.number) {
                // It cannot be removed: others would not be either.
                return;
            }
        }
    }

    /// The next record of the oldest segments. Whatever cannot be read is left out, counted and said.
    fn read_from_disk(&mut self, records: &mut Records) -> Option<(Vec<u8>, u64)> {
        loop {
            let from = records.end.unwrap_or_else(|| self.cursor.position());
            let segment = *self.segments.iter().find(|segment| segment.number >= from.segment)?;
            let offset = if segment.number == from.segment { from.offset } else { 0 };
            let is_writers = self.segments.back().is_some_and(|s| s.number == segment.number);
            if offset >= segment.bytes {
                if is_writers {
                    return None;
                }
                records.end = Some(Position { segment: segment.number + 1, offset: 0 });
                continue;
            }
            match self.next_record(segment.number, offset) {
                Ok(Found::Record((payload, samples))) => {
                    let offset = self.reader.as_ref().map_or(segment.bytes, |reader| reader.offset);
                    records.end = Some(Position { segment: segment.number, offset });
                    match records.taken.last_mut() {
                        Some((number, taken)) if *number == segment.number => *taken += samples,
                        _ => records.taken.push((segment.number, samples)),
                    }
                    return Some((payload, samples));
                }
                Ok(_) => self.skip_rest(segment, offset, records, None),
                Err(err) => self.skip_rest(segment, offset, records, Some(&err)),
            }
        }
    }

    fn next_record(&mut self, number: u64, offset: u64) -> io::Result<Found<(Vec<u8>, u64)>> {
        let fits = |reader: &Reader| reader.number == number && reader.offset == offset;
        if !self.reader.as_ref().is_some_and(fits) {
            self.reader = Some(Reader::open(&self.folder, number, offset)?);
        }
        self.reader.as_mut().expect("made above").next()
    }

    /// Leaves out what follows a record that cannot be read.
    fn skip_rest(
        &mut self,
        segment: Segment,
        offset: u64,
        records: &Records,
        err: Option<&io::Error>,
    ) {
        self.stats.corrupted_segment();
        let path = segment::path(&self.folder, segment.number);
        let why = err.map_or_else(|| "a record fails its check".to_owned(), ToString::to_string);
        let readable: u64 =
            records.taken.iter().filter(|(n, _)| *n == segment.number).map(|(_, s)| *s).sum();
        let lost = segment.samples.saturating_sub(readable);
        warn!(
            samples = lost,
            "{} is damaged from byte {offset} on, what follows in it is lost: {why}",
            path.display()
        );
        self.reader = None;
        if self.writer.as_ref().is_some_and(|writer| writer.number == segment.number) {
            self.writer = None;
        }
        if let Some(known) = self.segments.iter_mut().find(|s| s.number == segment.number) {
            known.bytes = offset;
            known.samples -= lost;
        }
        self.drop_samples(lost, Dropped::Corrupted);
    }

    /// Moves the cursor and removes what lies before it.
    fn advance(&mut self, to: Position) {
        let mut to = to;
        let drained = self.segments.back().is_some_and(|last| {
            last.number == to.segment && last.samples == 0 && to.offset >= last.bytes
        });
        if drained && (self.writer.is_none() || to.offset > DRAINED_BYTES_MAX) {
            self.writer = None;
            to = Position { segment: to.segment + 1, offset: 0 };
        }
        if let Err(err) = self.cursor.set(to) {
            warn!("note how far {} was sent: {err}", self.folder.display());
        }
        self.reader = None;
        while let Some(oldest) = self.segments.front()
            && oldest.number < to.segment
        {
            let path = segment::path(&self.folder, oldest.number);
            match fs::remove_file(&path) {
                Err(err) if err.kind() != io::ErrorKind::NotFound => {
                    warn!("remove {}: {err}", path.display());
                    return;
                }
                _ => self.segments.pop_front(),
            };
        }
    }

    fn drop_samples(&self, samples: u64, why: Dropped) {
        self.stats.pending_less(samples);
        self.stats.dropped(samples, why);
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    fn show_bytes(&self) {
        self.stats.queue_bytes(self.bytes() + self.spill.bytes as u64);
    }
}

/// Makes a folder that only its owner may look into.
fn create_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests;
