//! DNS messages: one question out, one answer in (RFC 1035, section 4).

use std::hash::{BuildHasher, RandomState};

use super::{name, record::Record};

const HEADER_BYTES: usize = 12;
/// Bit of a header's flags: an answer.
const ANSWER: u16 = 0x8000;
const RECURSION_DESIRED: u16 = 0x0100;
const TRUNCATED: u16 = 0x0200;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) id: u16,
    /// As in messages.
    pub(crate) name: Vec<u8>,
    pub(crate) record_type: u16,
    pub(crate) class: u16,
    pub(crate) recursion_desired: bool,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) rcode: u16,
    pub(crate) answer: Vec<Record>,
    pub(crate) authority: Vec<Record>,
    pub(crate) additional: Vec<Record>,
}

/// A number that others cannot guess.
pub(crate) fn random_id() -> u16 {
    RandomState::new().hash_one(0) as u16
}

impl Question {
    pub(crate) fn to_wire(&self) -> Vec<u8> {
        let flags = if self.recursion_desired { RECURSION_DESIRED } else { 0 };
        let mut wire = Vec::with_capacity(HEADER_BYTES + self.name.len() + 4);
        for word in [self.id, flags, 1, 0, 0, 0] {
            wire.extend_from_slice(&word.to_be_bytes());
        }
        wire.extend_from_slice(&self.name);
        wire.extend_from_slice(&self.record_type.to_be_bytes());
        wire.extend_from_slice(&self.class.to_be_bytes());
        wire
    }

    /// Whether these bytes are an answer to this question. Servers may leave the question out.
    pub(crate) fn is_answered_by(&self, bytes: &[u8]) -> bool {
        let (Some(id), Some(flags), Some(n_questions)) =
            (word(bytes, 0), word(bytes, 2), word(bytes, 4))
        else {
            return false;
        };
        if id != self.id || flags & ANSWER == 0 {
            return false;
        }
        let end = HEADER_BYTES + self.name.len();
        let asked = || {
            let same_name =
                bytes.get(HEADER_BYTES..end).is_some_and(|n| n.eq_ignore_ascii_case(&self.name));
            same_name
                && word(bytes, end) == Some(self.record_type)
                && word(bytes, end + 2) == Some(self.class)
        };
        n_questions == 0 || (n_questions == 1 && asked())
    }
}

impl Message {
    /// The error says in which part the message is broken.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        let head = Head::read(bytes)?;
        let mut at = head.end;
        let mut section = |count: u16, broken: &'static str| -> Result<Vec<Record>, &'static str> {
            // Grows with what is really there: the count is only what somebody says.
            let mut records = Vec::new();
            for _ in 0..count {
                let (record, end) = Record::read(bytes, at).ok_or(broken)?;
                records.push(record);
                at = end;
            }
            Ok(records)
        };
        Ok(Self {
            rcode: head.rcode(),
            answer: section(head.n_answers, "broken record in the answer section")?,
            authority: section(head.n_authorities, "broken record in the authority section")?,
            additional: section(head.n_additionals, "broken record in the additional section")?,
        })
    }
}

/// What stands before the records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    flags: u16,
    pub(super) n_answers: u16,
    n_authorities: u16,
    n_additionals: u16,
    /// Where the records begin.
    pub(super) end: usize,
}

impl Head {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let counts = [word(bytes, 4), word(bytes, 6), word(bytes, 8), word(bytes, 10)];
        let (
            Some(flags),
            [Some(n_questions), Some(n_answers), Some(n_authorities), Some(n_additionals)],
        ) = (word(bytes, 2), counts)
        else {
            return Err("it is shorter than a header");
        };
        let mut end = HEADER_BYTES;
        for _ in 0..n_questions {
            let (_, after) = name::read(bytes, end).ok_or("broken name in the question")?;
            end = after + 4;
        }
        Ok(Self { flags, n_answers, n_authorities, n_additionals, end })
    }

    pub(super) fn rcode(self) -> u16 {
        self.flags & 0x000f
    }

    pub(super) fn is_truncated(self) -> bool {
        self.flags & TRUNCATED != 0
    }
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_never_panics() {
        let question = Question {
            id: 7,
            name: name::to_wire("example.com").unwrap(),
            record_type: 1,
            class: 1,
            recursion_desired: true,
        };
        let mut good = question.to_wire();
        good[2] |= 0x80;
        good[7] = 2;
        // An A record by pointer, and a TXT record.
        good.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 14, 16, 0, 4, 127, 0, 0, 1]);
        good.extend_from_slice(&[
            0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 5, 0, 6, 2, b'h', b'"', 2, b'y', 7,
        ]);
        assert!(question.is_answered_by(&good));
        let message = Message::parse(&good).unwrap();
        let texts: Vec<&str> = message.answer.iter().map(|r| r.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "example.com.\t3600\tIN\tA\t127.0.0.1",
                "example.com.\t5\tIN\tTXT\t\"h\\\"\" \"y\\007\""
            ]
        );
        for length in 0..good.len() {
            let _ = Message::parse(&good[..length]);
            let _ = question.is_answered_by(&good[..length]);
        }
        // Every single byte changed to every interesting value.
        for at in 0..good.len() {
            for value in [0, 1, 0x3f, 0x40, 0x80, 0xc0, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                let _ = Message::parse(&bad);
            }
        }
        for other in [&[0, 8][..], &[0, 7, 0, 0]] {
            let mut bad = good.clone();
            bad[..other.len()].copy_from_slice(other);
            assert!(!question.is_answered_by(&bad));
        }
    }
}
