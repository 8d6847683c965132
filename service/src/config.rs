//! Strict YAML: unknown and repeated keys are errors, and every error says file, line and column in one line.
//!
//! ```text
//! watchpost.yml:3:1: unknown key `scrape_intervall`: did you mean `scrape_interval`?
//! ```
//!
//! Parsing is bounded: by the size of the file, and by a budget of nodes, depth and aliases, so that a file of a few
//! lines cannot unfold into gigabytes.

use std::{
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use serde_saphyr::{
    Error, MessageFormatter as _, Options, UserMessageFormatter,
    budget::Budget,
    options::{AliasLimits, DuplicateKeyPolicy},
};

/// Far above any file that a person keeps; generated lists of targets reach a few hundred kilobytes.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Values, lists and maps in one file.
const NODES_MAX: usize = 250_000;
/// Levels of nesting; ours have six at most, and each level is stack.
const DEPTH_MAX: usize = 32;
/// Nodes that all aliases of a file together may repeat.
const ALIASED_NODES_MAX: usize = 50_000;
/// Keys named in an error when none is close to the unknown one.
const KEYS_SHOWN_MAX: usize = 12;
/// How alike two keys must be (0 to 1, Jaro-Winkler) for one to be suggested. `timout` and `timeout` are 0.96 alike,
/// `method` and `module` 0.74.
const LIKENESS_MIN: f64 = 0.8;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is larger than {FILE_BYTES_MAX} bytes: that is no configuration file", path.display())]
    TooLarge { path: PathBuf },
    /// `message` names the key and, where one is close, the key that was meant.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, column: usize, message: String },
}

/// Reads a configuration file. `T` should derive `Deserialize` with `deny_unknown_fields`.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    parse(&read(path)?, path)
}

/// Reads a file of text, at most [`FILE_BYTES_MAX`] of it.
pub fn read(path: &Path) -> Result<String, ConfigError> {
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// The same for text already read; `path` only names it in errors. An empty text is an empty map.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let is_empty = text
        .lines()
        .map(str::trim)
        .all(|line| line.is_empty() || line.starts_with('#') || line == "---" || line == "...");
    let document = if is_empty { "{}" } else { text };
    serde_saphyr::from_str_with_options(document, options()).map_err(|err| {
        let location = err.location();
        ConfigError::Invalid {
            path: path.to_owned(),
            line: location.map_or(1, |l| l.line() as usize),
            column: location.map_or(1, |l| l.column() as usize),
            message: message(&err),
        }
    })
}

fn options() -> Options {
    let mut aliases = AliasLimits::default();
    aliases.max_total_replayed_events = ALIASED_NODES_MAX;
    let mut budget = Budget::default();
    budget.max_nodes = NODES_MAX;
    budget.max_depth = DEPTH_MAX;
    budget.max_total_scalar_bytes = FILE_BYTES_MAX as usize;
    budget.max_documents = 1;
    let mut options = Options::default();
    options.duplicate_keys = DuplicateKeyPolicy::Error;
    options.alias_limits = aliases;
    options.budget = Some(budget);
    options.with_snippet = false;
    options
}

/// The error in one line, without its place.
fn message(err: &Error) -> String {
    let text = match err.without_snippet() {
        Error::SerdeUnknownField { field, expected, .. } => {
            format!("unknown key `{field}`{}", suggestion(field, expected))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("unknown value `{variant}`{}", suggestion(variant, expected))
        }
        Error::SerdeMissingField { field, .. } => format!("the key `{field}` is missing"),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` is given twice")
        }
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "too large or too deeply nested when unfolded".to_owned()
        }
        Error::AliasError { error, .. } => message(error),
        other => UserMessageFormatter.format_message(other).into_owned(),
    };
    // Whatever a value contained, an error stays one line.
    text.split(['\n', '\r'])
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn suggestion(given: &str, expected: &[&'static str]) -> String {
    let closest = expected
        .iter()
        .map(|known| (strsim::jaro_winkler(given, known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match closest {
        Some((_, known)) => format!(": did you mean `{known}`?"),
        None if expected.is_empty() => String::new(),
        None => {
            let mut known: Vec<&str> = expected.iter().take(KEYS_SHOWN_MAX).copied().collect();
            if expected.len() > KEYS_SHOWN_MAX {
                known.push("…");
            }
            format!(": known are {}", known.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fmt::Write as _};

    use serde::Deserialize;

    use super::*;
    use crate::{Secret, units::Span};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Demo {
        scrape_interval: Span,
        modules: BTreeMap<String, Module>,
        password: Option<Secret>,
    }

    impl Default for Demo {
        fn default() -> Self {
            Self {
                scrape_interval: "15s".parse().unwrap(),
                modules: BTreeMap::new(),
                password: None,
            }
        }
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only parsed")]
    struct Module {
        prober: Prober,
        #[serde(default)]
        timeout: Span,
        #[serde(default)]
        fail_if_ssl: bool,
        #[serde(default)]
        valid_status_codes: Vec<u16>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Prober {
        Http,
        Tcp,
    }

    fn demo(text: &str) -> Result<Demo, String> {
        parse(text, Path::new("demo.yml")).map_err(|err| err.to_string())
    }

    #[test]
    fn good_files() {
        let config = demo("scrape_interval: 1m30s\npassword: 12345\n").unwrap();
        assert_eq!(config.scrape_interval, "1m30s".parse().unwrap());
        assert_eq!(config.password.unwrap().expose(), "12345");
        for text in ["", "# only a comment\n", "---\n", "{}"] {
            assert_eq!(demo(text).unwrap().scrape_interval, "15s".parse().unwrap(), "{text:?}");
        }
        let config =
            demo("modules:\n  a: &a\n    prober: http\n  b:\n    <<: *a\n    timeout: 5s\n");
        assert_eq!(config.unwrap().modules.len(), 2);
    }

    #[test]
    fn errors_are_one_line_with_their_place() {
        for (text, expected) in [
            (
                "scrape_intervall: 15s\n",
                "1:1: unknown key `scrape_intervall`: did you mean `scrape_interval`?",
            ),
            ("zzz: 1\n", "1:1: unknown key `zzz`: known are scrape_interval, modules, password"),
            (
                "scrape_interval: 1s\nscrape_interval: 2s\n",
                "2:1: the key `scrape_interval` is given twice",
            ),
            (
                "modules:\n  a:\n    prober: http\n  a:\n    prober: tcp\n",
                "4:3: the key `a` is given twice",
            ),
            (
                "scrape_interval: 15\n",
                "1:18: `15` is not a duration: write it like 15s, 5m, 1h30m or 500ms",
            ),
            ("scrape_interval: [1]\n", "1:18: expected string scalar"),
            (
                "modules:\n  a:\n    prober: htp\n",
                "3:13: unknown value `htp`: did you mean `http`?",
            ),
            ("modules:\n  a:\n    timeout: 1s\n", "3:5: the key `prober` is missing"),
            ("modules:\n  a:\n    prober: http\n    fail_if_ssl: 7\n", "4:18: invalid boolean"),
            (
                "modules:\n  a:\n    prober: http\n    valid_status_codes: [200, 99999]\n",
                "4:31: invalid u16",
            ),
            ("modules: 7\n", "1:10: expected mapping start"),
            ("scrape_interval: 'x\n", "2:1: "),
            ("---\n{}\n---\n{}\n", "3:1: "),
        ] {
            let said = demo(text).unwrap_err();
            assert!(said.starts_with(&format!("demo.yml:{expected}")), "{text:?}: {said}");
            assert!(!said.contains('\n'), "{said}");
        }
    }

    #[test]
    fn what_unfolds_too_far_is_refused() {
        let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..12 {
            let (this, below) = (char::from(b'a' + level), char::from(b'a' + level - 1));
            let list = vec![format!("*{below}"); 9].join(", ");
            writeln!(bomb, "{this}: &{this} [{list}]").unwrap();
        }
        let deep = format!("modules: {}{}", "[".repeat(5000), "]".repeat(5000));
        for text in [bomb, deep] {
            let parsed: Result<BTreeMap<String, serde_json::Value>, _> =
                parse(&text, Path::new("bomb.yml"));
            let said = parsed.unwrap_err().to_string();
            assert!(said.contains("nested") || said.contains("recursion"), "{said}");
        }
    }

    #[test]
    fn files() {
        let missing = load::<Demo>(Path::new("/nonexistent/watchpost.yml")).unwrap_err();
        assert_eq!(missing.to_string(), "read /nonexistent/watchpost.yml");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("large.yml");
        fs::write(&path, vec![b' '; FILE_BYTES_MAX as usize + 1]).unwrap();
        assert!(matches!(load::<Demo>(&path), Err(ConfigError::TooLarge { .. })));
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(load::<Demo>(&path), Err(ConfigError::Read { .. })));
    }

    #[test]
    fn the_wrongkey_fixture() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/wrongkey.yml"));
        let said = load::<Demo>(path).unwrap_err().to_string();
        let expected = "wrongkey.yml:7:5: unknown key `timout`: did you mean `timeout`?";
        assert!(said.ends_with(expected), "{said}");
    }
}
