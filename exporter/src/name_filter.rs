//! `--collector.x.device-include` and `-exclude`: which names of devices, mounts, fields a collector shows.

use std::collections::HashMap;

use regexp::Regexp;

use crate::collector::OptionError;

/// Decisions kept; a machine that invents more names than this (veth of containers) starts over.
const MEMO_MAX: usize = 4096;

/// Decides about names, each pattern being run once for a name.
#[derive(Debug, Default)]
pub(crate) struct NameFilter {
    include: Option<Regexp>,
    exclude: Option<Regexp>,
    memo: HashMap<Box<[u8]>, bool>,
}

impl NameFilter {
    /// Shows what matches a pattern.
    pub(crate) fn including(flag: &'static str, pattern: &str) -> Result<Self, OptionError> {
        Ok(Self { include: compile(flag, Some(pattern))?, ..Self::default() })
    }

    /// Hides what matches a pattern.
    pub(crate) fn excluding(flag: &'static str, pattern: &str) -> Result<Self, OptionError> {
        Ok(Self { exclude: compile(flag, Some(pattern))?, ..Self::default() })
    }

    /// From a pair of flags that exclude each other; giving `include` drops the default exclusion.
    pub(crate) fn from_pair(
        (include_flag, include): (&'static str, &Option<String>),
        (exclude_flag, exclude): (&'static str, &Option<String>),
        default_exclude: &str,
    ) -> Result<Self, OptionError> {
        // An empty pattern is "not given", as in node_exporter.
        let include = include.as_deref().filter(|pattern| !pattern.is_empty());
        let exclude = exclude.as_deref();
        match (include, exclude.filter(|pattern| !pattern.is_empty())) {
            (Some(_), Some(_)) => {
                Err(OptionError::Both { include: include_flag, exclude: exclude_flag })
            }
            (Some(pattern), None) => Self::including(include_flag, pattern),
            (None, _) => match exclude.unwrap_or(default_exclude) {
                "" => Ok(Self::default()),
                pattern => Self::excluding(exclude_flag, pattern),
            },
        }
    }

    /// Whether a name is shown.
    pub(crate) fn admits(&mut self, name: &[u8]) -> bool {
        if self.include.is_none() && self.exclude.is_none() {
            return true;
        }
        if let Some(decision) = self.memo.get(name) {
            return *decision;
        }
        let decision = self.include.as_ref().is_none_or(|pattern| pattern.is_match(name))
            && !self.exclude.as_ref().is_some_and(|pattern| pattern.is_match(name));
        if self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        self.memo.insert(name.into(), decision);
        decision
    }
}

/// Compiles the pattern of a flag, if given.
pub(crate) fn compile(
    flag: &'static str,
    pattern: Option<&str>,
) -> Result<Option<Regexp>, OptionError> {
    pattern.map(Regexp::new).transpose().map_err(|source| OptionError::Pattern { flag, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(include: Option<&str>, exclude: Option<&str>) -> Result<NameFilter, OptionError> {
        NameFilter::from_pair(
            ("in", &include.map(str::to_owned)),
            ("ex", &exclude.map(str::to_owned)),
            "^lo$",
        )
    }

    #[test]
    fn include_replaces_the_default_exclusion() {
        for (include, exclude, name, shown) in [
            (None, None, "lo", false),
            (None, None, "eth0", true),
            (Some("lo|eth"), None, "lo", true),
            (Some("lo|eth"), None, "wlan0", false),
            (None, Some("^e"), "eth0", false),
            (None, Some("^e"), "lo", true),
            (None, Some(""), "lo", true),
        ] {
            let mut filter = pair(include, exclude).unwrap();
            for _ in 0..2 {
                assert_eq!(filter.admits(name.as_bytes()), shown, "{include:?} {exclude:?} {name}");
            }
        }
        assert!(matches!(pair(Some("a"), Some("b")), Err(OptionError::Both { .. })));
        assert!(matches!(pair(Some("("), None), Err(OptionError::Pattern { .. })));
    }

    #[test]
    fn the_memo_is_bounded() {
        let mut filter = pair(None, None).unwrap();
        for n in 0..3 * MEMO_MAX {
            filter.admits(format!("veth{n}").as_bytes());
        }
        assert!(filter.memo.len() <= MEMO_MAX);
    }
}
