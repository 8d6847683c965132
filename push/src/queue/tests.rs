//! The queue as its users see it, over restarts, limits and damage.

use std::{
    fs,
    io::{Seek, SeekFrom, Write},
};

use super::*;

const MIB: u64 = 1 << 20;

fn open(folder: &Path, bytes_max: u64) -> (Queue, Arc<Stats>) {
    let stats = Stats::new("test", bytes_max);
    (Queue::open(folder, bytes_max, Arc::clone(&stats)).unwrap(), stats)
}

/// A record that tells its number, padded to a size.
fn record_of(number: u32, bytes: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(bytes.max(4), number as u8);
    payload
}

fn number_of(payload: &[u8]) -> u32 {
    u32::from_le_bytes(payload[..4].try_into().unwrap())
}

/// Everything that waits, in order, taken out.
fn drain(queue: &mut Queue) -> Vec<u32> {
    let mut numbers = Vec::new();
    loop {
        let records = queue.read(7, u64::MAX);
        if records.payloads.is_empty() {
            return numbers;
        }
        numbers.extend(records.payloads.iter().map(|payload| number_of(payload)));
        queue.delivered(&records.receipt());
    }
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    segment::numbers(folder).unwrap().iter().map(|n| segment::path(folder, *n)).collect()
}

#[test]
fn what_was_not_delivered_is_there_again() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let (mut queue, stats) = open(folder.path(), 64 * MIB);
        for number in 0..50 {
            queue.push(record_of(round * 50 + number, 20_000), 2);
        }
        let first = queue.read(20, u64::MAX);
        assert_eq!(first.payloads.len(), 20);
        assert_eq!(number_of(&first.payloads[0]), round * 20);
        // Read again without having been delivered: the same.
        assert_eq!(queue.read(20, u64::MAX).payloads, first.payloads);
        queue.delivered(&first);
        let left = i64::from((round + 1) * 30 * 2);
        assert_eq!(stats.pending(), left);
        // Dropped as by `kill -9`: nothing is done at the end.
    }
    let (mut queue, stats) = open(folder.path(), 64 * MIB);
    assert_eq!(stats.pending(), 180);
    let numbers = drain(&mut queue);
    assert_eq!(numbers, (60..150).collect::<Vec<_>>());
    assert_eq!(stats.pending(), 0);
    drop(queue);
    let (mut queue, _) = open(folder.path(), 64 * MIB);
    assert!(drain(&mut queue).is_empty());
    assert!(segments(folder.path()).is_empty(), "what is delivered leaves no files");
}

#[test]
fn limits_of_a_read() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(folder.path(), MIB);
    for number in 0..10 {
        queue.push(record_of(number, 10), 100);
    }
    assert_eq!(queue.read(3, u64::MAX).payloads.len(), 3);
    assert_eq!(queue.read(99, 250).payloads.len(), 3, "at least as many samples");
    assert_eq!(queue.read(99, 1).payloads.len(), 1, "one in any case");
}

#[test]
fn the_oldest_make_room_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, stats) = open(folder.path(), MIB);
    let in_flight = {
        for number in 0..10 {
            queue.push(record_of(number, 10_000), 3);
        }
        queue.read(2, u64::MAX)
    };
    for number in 10..300 {
        queue.push(record_of(number, 10_000), 3);
        assert!(queue.bytes() <= MIB, "{}", queue.bytes());
    }
    // Taken while the receiver was slow; the queue has dropped it meanwhile.
    queue.delivered(&in_flight);
    let numbers = drain(&mut queue);
    assert_eq!(*numbers.last().unwrap(), 299);
    assert!(numbers.is_sorted() && numbers.len() > 90, "{} of about 104", numbers.len());
    let dropped = 300 - numbers.len() as u64;
    assert_eq!(stats.dropped_for(Dropped::QueueFull), dropped * 3);
    assert_eq!(stats.pending(), 0);
}

#[test]
fn a_record_that_was_cut_off_is_the_only_one_lost() {
    let folder = tempfile::tempdir().unwrap();
    for cut in [1_u64, 11, 12, 500, 1_011] {
        let (mut queue, _) = open(folder.path(), MIB);
        for number in 0..5 {
            queue.push(record_of(number, 1_000), 1);
        }
        drop(queue);
        let path = segments(folder.path()).pop().unwrap();
        let length = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - cut).unwrap();
        let (mut queue, stats) = open(folder.path(), MIB);
        queue.push(record_of(5, 10), 1);
        drop(queue);
        // Again, when the cut file is no longer the newest.
        let (mut queue, _) = open(folder.path(), MIB);
        assert_eq!(drain(&mut queue), [0, 1, 2, 3, 5], "cut {cut}");
        assert_eq!(stats.corrupted_segments(), 0);
    }
}

#[test]
fn a_damaged_segment_costs_itself_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    // Somewhere in the payload of the third record; in the length of the third; in the magic.
    for (position, kept) in [(8 + 2 * 1_012 + 500, 2_usize), (8 + 2 * 1_012 + 1, 2), (3, 0)] {
        let (mut queue, _) = open(folder.path(), MIB);
        for number in 0..10 {
            queue.push(record_of(number, 1_000), 2);
        }
        drop(queue);
        let (mut queue, _) = open(folder.path(), MIB);
        queue.push(record_of(99, 1_000), 2);
        drop(queue);
        let path = segments(folder.path()).remove(0);
        let mut file = File::options().write(true).read(true).open(&path).unwrap();
        file.seek(SeekFrom::Start(position)).unwrap();
        file.write_all(&[0xff]).unwrap();
        let (mut queue, stats) = open(folder.path(), MIB);
        let numbers = drain(&mut queue);
        let expected: Vec<u32> = (0..kept as u32).chain([99]).collect();
        assert_eq!(numbers, expected, "at {position}");
        assert_eq!(stats.corrupted_segments(), 1);
        assert_eq!(stats.pending(), 0);
    }
}

#[test]
fn files_of_others_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["README", "x.segment", "99999999999999999999999.segment", "cursor"] {
        fs::write(folder.path().join(name), "garbage").unwrap();
    }
    fs::write(segment::path(folder.path(), 5), "").unwrap();
    fs::write(segment::path(folder.path(), 6), [0xff; 100]).unwrap();
    let (mut queue, stats) = open(folder.path(), MIB);
    queue.push(record_of(1, 10), 1);
    assert_eq!(drain(&mut queue), [1]);
    assert_eq!(stats.corrupted_segments(), 1);
}

#[test]
fn two_programs_do_not_share_a_queue() {
    let folder = tempfile::tempdir().unwrap();
    let (_queue, stats) = open(folder.path(), MIB);
    let second = Queue::open(folder.path(), MIB, stats).unwrap_err();
    assert!(second.to_string().contains("belongs to another program"), "{second}");
}

#[test]
fn a_disk_that_takes_nothing_leaves_the_newest_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, stats) = open(folder.path(), 64 * MIB);
    queue.push(record_of(0, 10), 1);
    // As when the folder was taken away: a new segment cannot be made.
    queue.writer = None;
    let away = folder.path().join("away");
    queue.folder = away.clone();
    for number in 1..12 {
        queue.push(record_of(number, 1 << 20), 1);
    }
    assert!(queue.spill.bytes <= SPILL_BYTES_MAX);
    assert_eq!(stats.dropped_for(Dropped::QueueFull), 7);
    // Sent from memory meanwhile; what is on disk is out of reach, and skipped.
    let records = queue.read(1, u64::MAX);
    assert_eq!(number_of(&records.payloads[0]), 8);
    queue.delivered(&records);
    fs::create_dir(&away).unwrap();
    queue.push(record_of(12, 10), 1);
    assert!(queue.spill.records.is_empty());
    assert_eq!(drain(&mut queue), [9, 10, 11, 12]);
    assert_eq!(stats.pending(), 0);
}

#[test]
fn a_receiver_in_reach_leaves_little_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(folder.path(), 64 * MIB);
    let mut largest = 0;
    for number in 0..500 {
        queue.push(record_of(number, 25_000), 1);
        assert_eq!(drain(&mut queue), [number]);
        largest = largest.max(queue.bytes());
    }
    assert!(largest < 2 * DRAINED_BYTES_MAX, "{largest}");
    assert!(segments(folder.path()).len() <= 1);
}

#[test]
fn only_what_waits_is_synced() {
    let folder = tempfile::tempdir().unwrap();
    let (mut queue, _) = open(folder.path(), MIB);
    assert!(queue.unsynced().is_none());
    queue.push(record_of(1, 10), 1);
    assert!(queue.unsynced().is_some());
    assert!(queue.unsynced().is_none(), "it was handed out");
    queue.push(record_of(2, 10), 1);
    drain(&mut queue);
    assert!(queue.unsynced().is_none(), "nothing waits");
}
