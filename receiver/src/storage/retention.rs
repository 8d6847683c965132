//! How long samples are kept, in whole days: one rule for all, and others for what selectors select.
//!
//! Partitions of days that nobody keeps are dropped whole; that costs nothing. Where some series stay longer than others,
//! the rows of a day are rewritten without those whose time is over, once for each of the rules' durations.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use promql::model::Matcher;
use service::units::Span;
use sqlx::{AssertSqlSafe, PgPool, Row};
use tracing::info;

use super::{
    catalogue::Catalogue,
    delete::{
        DeleteError,
        rewrite::{Cursor, PACKS_AT_ONCE, Rewriter},
    },
    exemplar,
    lease::Lease,
    partition::{self, Table},
};
use crate::model::SeriesId;

const DAY_MS: i64 = 86_400_000;

/// A selector and how long its series are kept: `{job="debug"}=7d`.
#[derive(Clone, Debug)]
pub struct Rule {
    text: String,
    matchers: Vec<Matcher>,
    keep: Duration,
}

#[derive(Debug, thiserror::Error)]
pub enum RuleError {
    #[error("write it as SELECTOR=DURATION, such as {{job=\"debug\"}}=7d")]
    NoDuration,
    #[error(transparent)]
    Duration(#[from] service::units::UnitError),
    #[error("keep samples for at least a day")]
    TooShort,
    #[error(transparent)]
    Selector(#[from] promql::parse::ParseError),
}

impl FromStr for Rule {
    type Err = RuleError;

    fn from_str(text: &str) -> Result<Self, RuleError> {
        let (selector, keep) = text.rsplit_once('=').ok_or(RuleError::NoDuration)?;
        // Of `{job="debug"}` alone that splits the matcher.
        if selector.trim_end().ends_with(['{', ',', '~', '!']) || keep.contains(['}', '"']) {
            return Err(RuleError::NoDuration);
        }
        let keep: Span = keep.trim().parse()?;
        if keep.0 < Duration::from_secs(86_400) {
            return Err(RuleError::TooShort);
        }
        let matchers = promql::parse::parse_selector(selector.trim())?;
        Ok(Self { text: text.to_owned(), matchers, keep: keep.0 })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All rules: the first that selects a series decides, then the one for all.
#[derive(Clone, Debug, Default)]
pub struct Retention {
    /// For ever if not said.
    pub all: Option<Duration>,
    pub rules: Vec<Rule>,
}

pub(super) fn days(keep: Duration) -> i32 {
    i32::try_from(keep.as_secs() / 86_400).unwrap_or(i32::MAX).max(1)
}

impl Retention {
    /// How old a sample may be that somebody still keeps, in milliseconds: a day is dropped when all of it is too old.
    pub fn age_ms_max(&self) -> Option<i64> {
        self.longest_days().map(|days| (i64::from(days) + 1) * DAY_MS)
    }

    /// After how many days nobody keeps anything; `None`: somebody keeps something for ever.
    pub(super) fn longest_days(&self) -> Option<i32> {
        let rules = self.rules.iter().map(|rule| days(rule.keep)).max().unwrap_or(0);
        self.all.map(|all| days(all).max(rules))
    }

    /// Until how many days of age every sample is kept; `None`: for ever.
    pub(super) fn shortest_days(&self) -> Option<i32> {
        self.thresholds().first().copied()
    }

    /// The durations, shortest first.
    fn thresholds(&self) -> BTreeSet<i32> {
        self.rules.iter().map(|rule| rule.keep).chain(self.all).map(days).collect()
    }

    /// Says the rules in a way that changes whenever they do.
    fn description(&self) -> String {
        let mut text = format!("{:?}", self.all.map(days));
        for rule in &self.rules {
            text.push_str(&format!(" {rule}"));
        }
        text
    }

    /// The series that are not kept for more than `age_days`.
    fn expired(&self, catalogue: &Catalogue, age_days: i32) -> HashSet<SeriesId> {
        let mut decided: HashSet<SeriesId> = HashSet::new();
        let mut expired: HashSet<SeriesId> = HashSet::new();
        let everything = Rule { text: String::new(), matchers: Vec::new(), keep: Duration::MAX };
        let all = Rule { keep: self.all.unwrap_or(Duration::MAX), ..everything };
        for rule in self.rules.iter().chain([&all]) {
            for series in catalogue.select(&rule.matchers, usize::MAX - 1) {
                if decided.insert(series) && days(rule.keep) <= age_days {
                    expired.insert(series);
                }
            }
        }
        expired
    }
}

/// Rewrites days that hold what is kept no longer, for as long as `budget` allows. Gives whether it is all done.
pub(super) async fn thin(
    db: &PgPool,
    catalogue: &Catalogue,
    retention: &Retention,
    lease: Lease,
    now: i64,
    budget: Duration,
) -> Result<bool, DeleteError> {
    let thresholds = retention.thresholds();
    let longest = retention.longest_days().unwrap_or(i32::MAX);
    if retention.rules.is_empty() {
        return Ok(true);
    }
    let begun = Instant::now();
    let rules = retention.description();
    let today = Table::Block.bucket_of(now);
    sqlx::query(
        "DELETE FROM watchpost.thinned WHERE to_regclass(format('watchpost.%I', source || '_' || bucket)) IS NULL",
    )
    .execute(db)
    .await?;
    let mut expired: BTreeMap<i32, HashSet<SeriesId>> = BTreeMap::new();
    for table in [Table::Block, Table::BlockWindow] {
        for bucket in partition::list(db, table).await? {
            let age = today.saturating_sub(bucket);
            let Some(passed) = thresholds.range(..age).next_back().copied() else { continue };
            if age > longest {
                // About to be dropped whole.
                continue;
            }
            let Some((job, cursor)) = state(db, table, bucket, &rules, passed).await? else {
                continue;
            };
            let gone =
                expired.entry(passed).or_insert_with(|| retention.expired(catalogue, passed));
            let packs: BTreeSet<i32> = {
                let index = catalogue.index();
                let pack_of = |id: &SeriesId| index.position(*id).map(|at| index.pack(at).0);
                gone.iter().filter_map(pack_of).filter(|pack| *pack > cursor).collect()
            };
            let packs: Vec<i32> = packs.into_iter().collect();
            let mut rewriter = Rewriter::connect(db, lease).await?;
            for some in packs.chunks(PACKS_AT_ONCE) {
                if begun.elapsed() > budget {
                    return Ok(false);
                }
                let gone = &*gone;
                let left = |_job| {
                    |series, times: &[i64], each: &mut dyn FnMut(std::ops::Range<usize>)| {
                        if !gone.contains(&series) {
                            each(0..times.len());
                        }
                    }
                };
                let cursor = Cursor::Thinned { pack: some[some.len() - 1] };
                rewriter.packs(table, bucket, some, i64::MIN..i64::MAX, cursor, left).await?;
            }
            exemplar::expire(db, gone, (i64::from(bucket) + 1) * DAY_MS).await?;
            rewriter.vacuum(table, bucket).await?;
            sqlx::query(
                "UPDATE watchpost.thinned SET cursor_pack = NULL, job = $3 WHERE source = $1 AND bucket = $2",
            )
            .bind(table.name())
            .bind(bucket)
            .bind(job)
            .execute(db)
            .await?;
            if rewriter.n_rows > 0 {
                info!(
                    table = table.name(),
                    bucket,
                    rows = rewriter.n_rows,
                    "thinned day {bucket}: what is kept for {passed} days at most is gone"
                );
            }
            rewriter.close().await?;
        }
    }
    Ok(true)
}

/// Up to which job a partition is to be thinned, and after which pack to go on; `None` if it is done.
async fn state(
    db: &PgPool,
    table: Table,
    bucket: i32,
    rules: &str,
    age_days: i32,
) -> Result<Option<(i64, i32)>, sqlx::Error> {
    // Samples that came late are merged into days that were thinned before; final days get none.
    let newest = match table {
        Table::BlockWindow => {
            let sql =
                format!("SELECT coalesce(max(job), 0) FROM watchpost.\"block_window_{bucket}\"");
            sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(db).await?
        }
        _ => 0i64,
    };
    let row = sqlx::query(
        "INSERT INTO watchpost.thinned AS t (source, bucket, rules, age_days, job, cursor_pack)
         VALUES ($1, $2, $3, $4, $5, 0)
         ON CONFLICT ON CONSTRAINT thinned_pkey DO UPDATE
            SET rules = $3, age_days = $4, job = $5,
                cursor_pack = CASE WHEN (t.rules, t.age_days, t.job) = ($3, $4, $5) THEN t.cursor_pack ELSE 0 END
         RETURNING cursor_pack",
    )
    .bind(table.name())
    .bind(bucket)
    .bind(rules)
    .bind(age_days)
    .bind(newest)
    .fetch_one(db)
    .await?;
    let cursor: Option<i32> = row.try_get("cursor_pack")?;
    Ok(cursor.map(|cursor| (newest, cursor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_as_people_write_them() {
        for good in
            ["{job=\"debug\"}=7d", "up=30d", "{a=~\"x=y\",b!=\"\"} = 1y", "go_gc{x=\"=\"}=2w"]
        {
            let rule = good.parse::<Rule>().unwrap_or_else(|err| panic!("{good}: {err}"));
            assert_eq!(rule.to_string(), good);
        }
        let check = |text: &str, expected: &str| {
            let err = text.parse::<Rule>().expect_err(text).to_string();
            assert!(err.contains(expected), "{text}: {err}");
        };
        check("up", "SELECTOR=DURATION");
        check("{job=\"debug\"}", "SELECTOR=DURATION");
        check("up=soon", "not a duration");
        check("up=5h", "at least a day");
        check("up{a}=7d", "parse error");
        check("{}=7d", "non-empty matcher");
    }

    #[test]
    fn the_longest_rule_says_when_partitions_go() {
        let day = |n: u64| Duration::from_secs(n * 86_400);
        let rule = |text: &str| text.parse::<Rule>().unwrap();
        let of = |all, rules: &[&str]| Retention {
            all,
            rules: rules.iter().map(|text| rule(text)).collect(),
        };
        assert_eq!(of(None, &["up=7d"]).longest_days(), None);
        assert_eq!(of(Some(day(30)), &["up=7d"]).longest_days(), Some(30));
        assert_eq!(of(Some(day(30)), &["up=1y", "b=7d"]).longest_days(), Some(365));
        assert_eq!(of(Some(day(0)), &[]).longest_days(), Some(1));
    }
}
