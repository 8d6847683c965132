//! A rule as the configuration file has it, with Prometheus' defaults and checks.

use std::fmt;

use regexp::Regexp;
use serde::{Deserialize, Deserializer, de};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Replace,
    Keep,
    Drop,
    KeepEqual,
    DropEqual,
    HashMod,
    LabelMap,
    LabelDrop,
    LabelKeep,
    Lowercase,
    Uppercase,
}

impl Action {
    const ALL: [Self; 11] = [
        Self::Replace,
        Self::Keep,
        Self::Drop,
        Self::KeepEqual,
        Self::DropEqual,
        Self::HashMod,
        Self::LabelMap,
        Self::LabelDrop,
        Self::LabelKeep,
        Self::Lowercase,
        Self::Uppercase,
    ];
    const WORDS: &'static [&'static str] = &[
        "replace",
        "keep",
        "drop",
        "keepequal",
        "dropequal",
        "hashmod",
        "labelmap",
        "labeldrop",
        "labelkeep",
        "lowercase",
        "uppercase",
    ];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Self::ALL.iter().position(|action| action == self).expect("all are there");
        f.write_str(Self::WORDS[at])
    }
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Prometheus takes any case.
        let word = String::deserialize(deserializer)?.to_ascii_lowercase();
        let at = Self::WORDS.iter().position(|known| *known == word);
        at.map(|at| Self::ALL[at]).ok_or_else(|| {
            let known = Self::WORDS.join(", ");
            de::Error::custom(format!("unknown action `{word}`: known are {known}"))
        })
    }
}

/// One rule. Made by the configuration file only, so that it is checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Section")]
pub struct Rule {
    pub(super) action: Action,
    pub(super) source_labels: Vec<String>,
    pub(super) separator: String,
    pub(super) regex: Regexp,
    pub(super) modulus: u64,
    pub(super) target_label: String,
    pub(super) replacement: String,
}

/// The keys of a rule as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    #[serde(default)]
    source_labels: Option<Vec<LabelName>>,
    separator: Option<String>,
    target_label: Option<String>,
    regex: Option<Pattern>,
    modulus: Option<u64>,
    replacement: Option<String>,
    action: Option<Action>,
}

/// Since Prometheus 3 any text but an empty one.
struct LabelName(String);

impl<'de> Deserialize<'de> for LabelName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        if name.is_empty() {
            Err(de::Error::custom("a label name is empty"))
        } else {
            Ok(Self(name))
        }
    }
}

/// Read where it stands, so that an error names its line.
struct Pattern(Regexp);

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pattern = String::deserialize(deserializer)?;
        Regexp::anchored(&pattern).map(Self).map_err(de::Error::custom)
    }
}

const REGEX_DEFAULT: &str = "(.*)";
const SEPARATOR_DEFAULT: &str = ";";
const REPLACEMENT_DEFAULT: &str = "$1";

impl TryFrom<Section> for Rule {
    type Error = String;

    fn try_from(section: Section) -> Result<Self, String> {
        let action = section.action.unwrap_or(Action::Replace);
        let regex = match section.regex {
            Some(Pattern(regex)) => regex,
            None => Regexp::anchored(REGEX_DEFAULT).map_err(|err| err.to_string())?,
        };
        let rule = Self {
            action,
            source_labels: section
                .source_labels
                .iter()
                .flatten()
                .map(|LabelName(name)| name.clone())
                .collect(),
            separator: section.separator.unwrap_or_else(|| SEPARATOR_DEFAULT.to_owned()),
            regex,
            modulus: section.modulus.unwrap_or(0),
            target_label: section.target_label.unwrap_or_default(),
            replacement: section.replacement.unwrap_or_else(|| REPLACEMENT_DEFAULT.to_owned()),
        };
        rule.check()?;
        Ok(rule)
    }
}

impl Rule {
    /// As Prometheus' `Config.Validate`.
    fn check(&self) -> Result<(), String> {
        let action = self.action;
        let sets_target = matches!(
            action,
            Action::Replace
                | Action::KeepEqual
                | Action::DropEqual
                | Action::HashMod
                | Action::Lowercase
                | Action::Uppercase
        );
        if action == Action::HashMod && self.modulus == 0 {
            return Err("the action hashmod needs a `modulus` other than 0".to_owned());
        }
        if sets_target && self.target_label.is_empty() {
            return Err(format!("the action {action} needs a `target_label`"));
        }
        let has_other_replacement = self.replacement != REPLACEMENT_DEFAULT;
        if matches!(
            action,
            Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
        ) && has_other_replacement
        {
            return Err(format!("the action {action} takes no `replacement`"));
        }
        if action == Action::LabelMap && self.replacement.is_empty() {
            return Err(
                "the `replacement` of labelmap is a label name and must not be empty".to_owned()
            );
        }
        let has_others =
            self.modulus != 0 || self.separator != SEPARATOR_DEFAULT || has_other_replacement;
        if matches!(action, Action::KeepEqual | Action::DropEqual)
            && (has_others || self.regex.as_str() != REGEX_DEFAULT)
        {
            return Err(format!(
                "the action {action} takes only `source_labels` and `target_label`"
            ));
        }
        if matches!(action, Action::LabelDrop | Action::LabelKeep)
            && (has_others || !self.source_labels.is_empty() || !self.target_label.is_empty())
        {
            return Err(format!("the action {action} takes only `regex`"));
        }
        Ok(())
    }
}
