//! Echo requests and what comes back (RFC 792, RFC 4443).

/// Said in the payload.
const TEXT: &[u8; 28] = b"Watchpost Blackbox Exporter.";
const HEADER_BYTES: usize = 8;
const IPV6_HEADER_BYTES: usize = 40;

/// The request of one probe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) is_v6: bool,
    pub(super) id: u16,
    pub(super) sequence: u16,
    payload: Vec<u8>,
}

/// What a packet says about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Reply,
    /// A router or the host itself says that the request did not arrive.
    Unreachable,
    TimeExceeded,
    /// It is about something else.
    Other,
}

impl Request {
    /// `payload_bytes` of zero is the text alone.
    pub(super) fn new(is_v6: bool, id: u16, sequence: u16, payload_bytes: usize) -> Self {
        let mut payload = TEXT.to_vec();
        if payload_bytes > 0 {
            payload.resize(payload_bytes, 0);
        }
        Self { is_v6, id, sequence, payload }
    }

    pub(super) fn to_wire(&self) -> Vec<u8> {
        let kind = if self.is_v6 { 128 } else { 8 };
        let mut wire = vec![kind, 0, 0, 0];
        wire.extend_from_slice(&self.id.to_be_bytes());
        wire.extend_from_slice(&self.sequence.to_be_bytes());
        wire.extend_from_slice(&self.payload);
        // For IPv6 the kernel sums, for it alone knows the addresses that are part of the sum.
        if !self.is_v6 {
            let sum = checksum(&wire);
            wire[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        wire
    }

    /// `any_id`: the kernel put an id of its own into the request, and only hands over replies to it.
    pub(super) fn verdict(&self, packet: &[u8], any_id: bool) -> Verdict {
        let (Some(kind), Some(id), Some(sequence)) =
            (packet.first(), word(packet, 4), word(packet, 6))
        else {
            return Verdict::Other;
        };
        let (reply, unreachable, exceeded) = if self.is_v6 { (129, 1, 3) } else { (0, 3, 11) };
        if *kind == reply {
            let same_id = any_id || id == self.id;
            let ours =
                same_id && sequence == self.sequence && packet[HEADER_BYTES..] == self.payload;
            return if ours { Verdict::Reply } else { Verdict::Other };
        }
        if (*kind != unreachable && *kind != exceeded)
            || !self.is_quoted(&packet[HEADER_BYTES..], any_id)
        {
            return Verdict::Other;
        }
        if *kind == unreachable { Verdict::Unreachable } else { Verdict::TimeExceeded }
    }

    /// Whether an error packet quotes this request: its IP header and its first bytes.
    fn is_quoted(&self, quote: &[u8], any_id: bool) -> bool {
        let header = if self.is_v6 {
            IPV6_HEADER_BYTES
        } else {
            usize::from(quote.first().copied().unwrap_or_default() & 0x0f) * 4
        };
        let same_id = any_id || word(quote, header + 4) == Some(self.id);
        same_id && word(quote, header + 6) == Some(self.sequence)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default());
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_told_apart() {
        let request = Request::new(false, 7, 9, 0);
        let wire = request.to_wire();
        assert_eq!(wire.len(), 36);
        // A packet with its sum in it sums to zero.
        assert_eq!(checksum(&wire), 0);
        let mut reply = wire.clone();
        reply[0] = 0;
        assert_eq!(request.verdict(&reply, false), Verdict::Reply);
        assert_eq!(request.verdict(&wire, false), Verdict::Other);
        for (at, any_id, expected) in [
            (5, false, Verdict::Other),
            (5, true, Verdict::Reply),
            (7, true, Verdict::Other),
            (20, true, Verdict::Other),
        ] {
            let mut other = reply.clone();
            other[at] ^= 1;
            assert_eq!(request.verdict(&other, any_id), expected, "{at}");
        }
        let mut header = [0; 20];
        header[0] = 0x45;
        let quote = |kind: u8| [&[kind, 1, 0, 0, 0, 0, 0, 0], &header[..], &wire[..8]].concat();
        assert_eq!(request.verdict(&quote(3), false), Verdict::Unreachable);
        assert_eq!(request.verdict(&quote(11), false), Verdict::TimeExceeded);
        assert_eq!(request.verdict(&quote(5), false), Verdict::Other);
        for length in 0..36 {
            let _ = request.verdict(&quote(3)[..length], false);
            let _ = request.verdict(&reply[..length], false);
        }
    }

    #[test]
    fn payloads_have_the_size_asked_for() {
        assert_eq!(Request::new(true, 1, 1, 100).to_wire().len(), 108);
        assert_eq!(Request::new(true, 1, 1, 4).to_wire().len(), 12);
    }
}
