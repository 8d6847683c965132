//! The distribution, from `os-release`.
//!
//! <https://www.freedesktop.org/software/systemd/man/latest/os-release.html>

use std::{ffi::OsStr, path::PathBuf, time::SystemTime};

use proto::exposition::{Exposition, Kind};

use super::{Collector, Error, OptionError, Setup};
use crate::{host, scan};

struct Os {
    /// The second stands in when the first is missing.
    paths: [PathBuf; 2],
    known: Option<Known>,
    buf: Vec<u8>,
}

/// What the file said when it was last changed.
struct Known {
    modified: Option<SystemTime>,
    release: Release,
}

/// The fields in the order of [`FIELDS`], the version's leading number, and when support ends.
#[derive(Debug, Default, PartialEq)]
struct Release {
    fields: [String; FIELDS.len()],
    version: Option<f64>,
    support_end: Option<f64>,
}

/// (label, key)
const FIELDS: [(&str, &str); 12] = [
    ("build_id", "BUILD_ID"),
    ("id", "ID"),
    ("id_like", "ID_LIKE"),
    ("image_id", "IMAGE_ID"),
    ("image_version", "IMAGE_VERSION"),
    ("name", "NAME"),
    ("pretty_name", "PRETTY_NAME"),
    ("variant", "VARIANT"),
    ("variant_id", "VARIANT_ID"),
    ("version", "VERSION"),
    ("version_codename", "VERSION_CODENAME"),
    ("version_id", "VERSION_ID"),
];

pub(crate) fn open(setup: &Setup<'_>) -> Result<Box<dyn Collector>, OptionError> {
    let paths =
        ["/etc/os-release", "/usr/lib/os-release"].map(|path| setup.host.root(OsStr::new(path)));
    Ok(Box::new(Os { paths, known: None, buf: Vec::new() }))
}

impl Collector for Os {
    fn collect(&mut self, out: &mut Exposition) -> Result<(), Error> {
        let found = self.paths.iter().find_map(|path| Some((path, path.metadata().ok()?)));
        let Some((path, metadata)) = found else {
            return Err(Error::NoData { what: "os-release" });
        };
        let modified = metadata.modified().ok();
        if self.known.as_ref().is_none_or(|known| known.modified != modified) {
            let release = Release::parse(host::read(path, &mut self.buf)?);
            self.known = Some(Known { modified, release });
        }
        if let Some(known) = &self.known {
            known.release.write(out);
        }
        Ok(())
    }
}

impl Release {
    fn parse(text: &[u8]) -> Self {
        let mut release = Self::default();
        for line in scan::lines(text) {
            let Some((key, value)) = scan::split_once(line.trim_ascii(), b'=') else { continue };
            let value = unquote(&scan::text(value));
            if key == b"SUPPORT_END" {
                release.support_end = unix_seconds(&value);
            } else if let Some(position) =
                FIELDS.iter().position(|(_, known)| known.as_bytes() == key)
            {
                release.fields[position] = value;
            }
        }
        release.version = leading_number(release.field("version_id"));
        release
    }

    fn field(&self, label: &str) -> &str {
        FIELDS
            .iter()
            .zip(&self.fields)
            .find(|((known, _), _)| *known == label)
            .map_or("", |(_, value)| value)
    }

    fn write(&self, out: &mut Exposition) {
        let mut labels = [("", ""); FIELDS.len()];
        for (slot, ((label, _), value)) in labels.iter_mut().zip(FIELDS.iter().zip(&self.fields)) {
            *slot = (label, value);
        }
        out.family(
            "node_os_info",
            "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.",
            Kind::Gauge,
        )
        .sample(&labels, 1.0);
        if let Some(version) = self.version {
            let labels = ["id", "id_like", "name"].map(|label| (label, self.field(label)));
            out.family(
                "node_os_version",
                "Metric containing the major.minor part of the OS version.",
                Kind::Gauge,
            )
            .sample(&labels, version);
        }
        if let Some(end) = self.support_end {
            out.gauge(
                "node_os_support_end_timestamp_seconds",
                "Metric containing the end-of-life date timestamp of the OS.",
                end,
            );
        }
    }
}

/// A value as a shell reads it: in quotes or not, with backslashes inside.
fn unquote(value: &str) -> String {
    let inner = match value.as_bytes() {
        [b'"', .., b'"'] | [b'\'', .., b'\''] => &value[1..value.len() - 1],
        _ => value,
    };
    if value.starts_with('\'') || !inner.contains('\\') {
        return inner.to_owned();
    }
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// `22.04` of `22.04.5`.
fn leading_number(version: &str) -> Option<f64> {
    let mut dots = 0;
    let end = version
        .find(|c: char| {
            dots += u32::from(c == '.');
            !(c.is_ascii_digit() || (c == '.' && dots == 1))
        })
        .unwrap_or(version.len());
    let number: f64 = version[..end].trim_end_matches('.').parse().ok()?;
    (number > 0.0).then_some(number)
}

/// Midnight UTC of a date `YYYY-MM-DD`, in seconds since the Unix epoch.
fn unix_seconds(date: &str) -> Option<f64> {
    let mut parts = date.split('-').map(|part| scan::u64(part.as_bytes()));
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days from civil: <https://howardhinnant.github.io/date_algorithms.html>. The year begins in March.
    let year = year as i64 - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month as i64 + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day as i64 - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days as f64 * 86_400.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files() {
        let release = Release::parse(
            b"NAME=\"My \\\"OS\\\"\"\nID=debian\n# comment\nVERSION_ID='12.5.1'\nSUPPORT_END=2030-01-02\nbroken\n",
        );
        assert_eq!(release.field("name"), "My \"OS\"");
        assert_eq!(release.field("id"), "debian");
        assert_eq!(release.version, Some(12.5));
        assert_eq!(release.support_end, Some(1_893_542_400.0));
        assert_eq!(Release::parse(b"\xff\n=\n\"\n"), Release::default());
    }

    #[test]
    fn versions_and_dates() {
        for (version, number) in [
            ("22.04.5", Some(22.04)),
            ("12", Some(12.0)),
            ("7.", Some(7.0)),
            ("", None),
            ("n/a", None),
            (".", None),
        ] {
            assert_eq!(leading_number(version), number, "{version}");
        }
        for (date, seconds) in [
            ("1970-01-01", Some(0.0)),
            ("2000-03-01", Some(951_868_800.0)),
            ("2024-02-29", Some(1_709_164_800.0)),
            ("2024-13-01", None),
            ("never", None),
            ("99999999999999999999-1-1", None),
        ] {
            assert_eq!(unix_seconds(date), seconds, "{date}");
        }
        for (value, plain) in [("\"", "\""), ("'a\\b'", "a\\b"), ("\"\"", ""), ("a", "a")] {
            assert_eq!(unquote(value), plain, "{value}");
        }
    }
}
