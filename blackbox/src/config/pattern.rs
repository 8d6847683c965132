//! Regular expressions in the configuration.

use regexp::Regexp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A compiled expression, unanchored, in Go's dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Regexp);

impl Pattern {
    pub fn new(text: &str) -> Result<Self, regexp::Error> {
        Regexp::new(text).map(Self)
    }

    pub fn is_match(&self, input: &[u8]) -> bool {
        self.0.is_match(input)
    }

    pub fn regexp(&self) -> &Regexp {
        &self.0
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(|err| {
            serde::de::Error::custom(format!(
                "\"Could not compile regular expression\" regexp={text:?}: {}",
                err.reason
            ))
        })
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
