//! Who led a cluster when.

/// Terms that are kept of a cluster: leaders change by accidents, not by the minute. The oldest kept one stands for all
/// before it.
pub(super) const TERMS_MAX: usize = 64;

/// Terms of one cluster, the latest last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::ingest) struct Terms(Vec<Term>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Term {
    /// 0: PostgreSQL has not confirmed it.
    pub(super) number: i64,
    pub(super) replica: Box<str>,
    /// Milliseconds since the Unix epoch.
    pub(super) since: i64,
}

impl Terms {
    /// From the first sender of a cluster that nobody knows.
    pub(super) fn led_by(replica: &str) -> Self {
        Self(vec![Term { number: 0, replica: replica.into(), since: i64::MIN }])
    }

    /// In the order of their numbers.
    pub(super) fn new(mut terms: Vec<Term>) -> Self {
        terms.sort_by_key(|term| term.number);
        if terms.len() > TERMS_MAX {
            terms.drain(..terms.len() - TERMS_MAX);
        }
        // Clocks of databases may be set back: a term never begins before the one before it.
        for at in 1..terms.len() {
            terms[at].since = terms[at].since.max(terms[at - 1].since);
        }
        if let Some(first) = terms.first_mut() {
            first.since = i64::MIN;
        }
        Self(terms)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn last(&self) -> Option<&Term> {
        self.0.last()
    }

    pub(super) fn ever_led(&self, replica: &str) -> bool {
        self.0.iter().any(|term| *term.replica == *replica)
    }

    /// Whose samples of this time are taken.
    #[inline]
    pub(super) fn leader_at(&self, ts: i64) -> Option<&str> {
        // Nearly always the last.
        let term = self.0.iter().rev().find(|term| term.since <= ts)?;
        Some(&term.replica)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(list: &[(i64, &str, i64)]) -> Terms {
        let term = |&(number, replica, since): &(i64, &str, i64)| Term {
            number,
            replica: replica.into(),
            since,
        };
        Terms::new(list.iter().map(term).collect())
    }

    #[test]
    fn a_sample_belongs_to_who_led_at_its_time() {
        let terms = terms(&[(1, "a", 500), (3, "a", 2000), (2, "b", 1000)]);
        for (ts, leader) in [
            (i64::MIN, "a"),
            (499, "a"),
            (999, "a"),
            (1000, "b"),
            (1999, "b"),
            (2000, "a"),
            (i64::MAX, "a"),
        ] {
            assert_eq!(terms.leader_at(ts), Some(leader), "{ts}");
        }
        assert_eq!(Terms::default().leader_at(0), None);
    }

    #[test]
    fn a_clock_that_was_set_back_makes_no_gap_and_the_past_is_bounded() {
        let back = terms(&[(1, "a", 500), (2, "b", 1000), (3, "c", 900)]);
        assert_eq!((back.leader_at(999), back.leader_at(1000)), (Some("a"), Some("c")));
        let many: Vec<(i64, &str, i64)> = (1..=1000).map(|n| (n, "x", n * 10)).collect();
        let many = terms(&many);
        assert_eq!(many.0.len(), TERMS_MAX);
        assert_eq!(many.leader_at(0), Some("x"));
    }
}
