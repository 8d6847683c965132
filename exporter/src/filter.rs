//! `collect[]` and `exclude[]` of a scrape's query: which of the running collectors it wants.

/// Which collectors a scrape wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    #[default]
    All,
    /// These and no others.
    Only(Vec<String>),
    /// All but these.
    Except(Vec<String>),
}

/// The texts are node_exporter's, which people search for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FilterError {
    #[error("Combined collect and exclude queries are not allowed.")]
    Combined,
    #[error("missing collector: {0}")]
    Missing(String),
    #[error("disabled collector: {0}")]
    Disabled(String),
    #[error("more than {NAMES_MAX} collectors named")]
    TooMany,
}

/// More names in one query than there are collectors are a mistake or an attack.
const NAMES_MAX: usize = 200;

impl Filter {
    /// Reads `collect[]` and `exclude[]` from a query string; other parameters are not ours.
    pub fn from_query(query: &str) -> Result<Self, FilterError> {
        let mut collect = Vec::new();
        let mut exclude = Vec::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let names = match &*key {
                "collect[]" => &mut collect,
                "exclude[]" => &mut exclude,
                _ => continue,
            };
            if names.len() == NAMES_MAX {
                return Err(FilterError::TooMany);
            }
            names.push(value.into_owned());
        }
        match (collect.is_empty(), exclude.is_empty()) {
            (true, true) => Ok(Self::All),
            (false, true) => Ok(Self::Only(collect)),
            (true, false) => Ok(Self::Except(exclude)),
            (false, false) => Err(FilterError::Combined),
        }
    }

    pub(crate) fn wants(&self, collector: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == collector),
            Self::Except(names) => !names.iter().any(|name| name == collector),
        }
    }

    /// The names that the user wrote.
    pub(crate) fn names(&self) -> &[String] {
        match self {
            Self::All => &[],
            Self::Only(names) | Self::Except(names) => names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        for (query, filter) in [
            ("", Ok(Filter::All)),
            ("x=1", Ok(Filter::All)),
            ("collect[]=cpu&collect%5B%5D=stat", Ok(Filter::Only(names(&["cpu", "stat"])))),
            ("exclude[]=cpu", Ok(Filter::Except(names(&["cpu"])))),
            ("exclude[]=cpu&collect[]=stat", Err(FilterError::Combined)),
        ] {
            assert_eq!(Filter::from_query(query), filter, "{query}");
        }
        assert_eq!(Filter::from_query(&"collect[]=x&".repeat(201)), Err(FilterError::TooMany));
    }
}
