//! Memory, from `/proc/meminfo`: every line of it, whatever the kernel's version calls it.

use std::path::PathBuf;

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct MemInfo {
    path: PathBuf,
    buf: Vec<u8>,
    name: String,
    help: String,
}

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    Ok(Box::new(MemInfo {
        path: setup.host.proc("meminfo"),
        buf: Vec::new(),
        name: String::new(),
        help: String::new(),
    }))
}

impl Collector for MemInfo {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let text = host::read(&self.path, &mut self.buf)?;
        let mut n_fields = 0;
        for (field, value, in_bytes) in scan::lines(text).filter_map(parse) {
            n_fields += 1;
            self.name.clear();
            self.name.push_str("node_memory_");
            for byte in field {
                match byte {
                    b')' => {}
                    byte if byte.is_ascii_alphanumeric() => self.name.push(char::from(*byte)),
                    _ => self.name.push('_'),
                }
            }
            if in_bytes {
                self.name.push_str("_bytes");
            }
            let stem = &self.name["node_memory_".len()..];
            self.help.clear();
            self.help.extend(["Memory information field ", stem, "."]);
            out.family(&self.name, &self.help, Kind::Gauge).sample(&[], value);
        }
        if n_fields == 0 {
            return Err(Error::Parse { path: self.path.clone(), what: "no line `Name: number`" });
        }
        Ok(())
    }
}

/// `Active(anon):   123 kB` or `HugePages_Total:   0`: name, value in bytes or pieces, whether it is bytes.
fn parse(line: &[u8]) -> Option<(&[u8], f64, bool)> {
    let (name, rest) = scan::split_once(line, b':')?;
    let mut fields = scan::fields(rest);
    let value = scan::u64(fields.next()?)?;
    match fields.next() {
        None => Some((name, value as f64, false)),
        Some(b"kB") => Some((name, value as f64 * 1024.0, true)),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(parse(b"MemTotal:  16 kB"), Some((&b"MemTotal"[..], 16384.0, true)));
        assert_eq!(parse(b"HugePages_Total: 3"), Some((&b"HugePages_Total"[..], 3.0, false)));
        for garbage in [&b""[..], b":", b"a:", b"a: x kB", b"a: 1 MB", b"a 1 kB", b"a: -1 kB"] {
            assert_eq!(parse(garbage), None, "{garbage:?}");
        }
    }
}
