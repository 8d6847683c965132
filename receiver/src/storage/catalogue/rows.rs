//! The catalogue's rows in PostgreSQL: reading them all, and creating new ones.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fmt,
};

use futures_util::TryStreamExt;
use promql::model::{Labels, METRIC_NAME};
use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, MapAccess, Visitor},
    ser::Serializer,
};
use sqlx::{PgPool, Row, postgres::PgRow, types::Json};
use uuid::Uuid;

use super::{Identity, Index, packs::Packs};
use crate::{
    db::sqlstate,
    model::{MetricId, PackId, SeriesId},
    storage::copy::{self, CopyReader, CopyRows},
};

/// How many numbers one claim takes: few round trips under churn, few numbers lost at a restart.
const SERIES_CLAIM: i64 = 4096;
const METRIC_CLAIM: i64 = 64;
/// How many series one statement creates: bounds its parameters to a few megabytes.
const CREATE_MAX: usize = 5_000;

/// Numbers claimed and not yet used.
#[derive(Debug, Default)]
pub(super) struct Claims {
    series: std::ops::Range<i64>,
    metrics: std::ops::Range<i64>,
    packs: Packs,
}

/// A series that is in the database now.
pub(super) struct Created<'a> {
    pub(super) identity: Identity,
    pub(super) metric: MetricId,
    pub(super) pack: PackId,
    pub(super) series: SeriesId,
    pub(super) labels: &'a Labels,
}

/// A series that another receiver created.
pub(super) struct Found {
    pub(super) identity: Identity,
    pub(super) metric: MetricId,
    pub(super) pack: PackId,
    pub(super) series: SeriesId,
    pub(super) labels: Labels,
}

/// Longer than any statement that creates series may take, between its `now()` and its commit.
const COMMITTING_MAX: &str = "60 seconds";

/// Reads all series into the index, and says at which time of the database.
pub(super) async fn load(db: &PgPool, index: &mut Index) -> Result<String, sqlx::Error> {
    let now = sqlx::query_scalar("SELECT now()::text").fetch_one(db).await?;
    let rows = sqlx::query("SELECT id, name FROM watchpost.metric").fetch_all(db).await?;
    let names: HashMap<i32, String> = rows
        .iter()
        .map(|row| Ok((row.try_get("id")?, row.try_get("name")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let mut connection = db.acquire().await?;
    // In the order of numbers, so that positions follow them.
    let mut stream = connection
        .copy_out_raw(
            "COPY (SELECT id, metric_id, pack, identity, labels FROM watchpost.series ORDER BY id)
             TO STDOUT (FORMAT binary)",
        )
        .await?;
    let mut rows = CopyReader::default();
    while let Some(bytes) = stream.try_next().await? {
        rows.push(&bytes);
        while let Some(row) = rows.row().map_err(decode)? {
            let [series, metric, pack, identity, labels] = row;
            let metric = copy::int(metric).map_err(decode)?;
            let name = names.get(&metric).map(String::as_str);
            // A metric may be created between the two queries; its series are then read again by whoever needs them.
            let Some(name) = name else { continue };
            // `jsonb` is sent as a version number and its text.
            let Some((1, text)) = labels.split_first() else {
                return Err(decode("labels are in an unknown version of jsonb"));
            };
            let mut pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> = Vec::with_capacity(16);
            let mut json = serde_json::Deserializer::from_slice(text);
            LabelPairs(&mut pairs).deserialize(&mut json).map_err(decode)?;
            index.insert(
                Identity(u128::from_be_bytes(copy::fixed(identity).map_err(decode)?)),
                MetricId(metric),
                PackId(copy::int(pack).map_err(decode)?),
                series_id(copy::bigint(series).map_err(decode)?)?,
                std::iter::once((METRIC_NAME, name))
                    .chain(pairs.iter().map(|(name, value)| (&**name, &**value))),
            );
        }
    }
    Ok(now)
}

/// A number that is in the database and can be the number of a series.
fn series_id(id: i64) -> Result<SeriesId, sqlx::Error> {
    if Index::can_hold(SeriesId(id)) {
        return Ok(SeriesId(id));
    }
    Err(decode(format!(
        "watchpost.series has a row with id {id}, which no receiver can have given"
    )))
}

fn decode(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(err.into())
}

/// The labels of a `jsonb` object, borrowed from its text where nothing in it is escaped.
struct LabelPairs<'p, 'de>(&'p mut Vec<(Cow<'de, str>, Cow<'de, str>)>);

impl<'de> DeserializeSeed<'de> for LabelPairs<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for LabelPairs<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some((Text(name), Text(value))) = map.next_entry()? {
            self.0.push((name, value));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// Series created since a time of the database, and its present time.
pub(super) async fn created_since(
    db: &PgPool,
    since: &str,
) -> Result<(String, Vec<Found>), sqlx::Error> {
    let now = sqlx::query_scalar("SELECT now()::text").fetch_one(db).await?;
    let rows = sqlx::query(
        "SELECT s.id, s.metric_id, s.pack, s.identity, m.name, s.labels
           FROM watchpost.series s JOIN watchpost.metric m ON m.id = s.metric_id
          WHERE s.created_at >= $1::text::timestamptz - $2::text::interval
          ORDER BY s.id",
    )
    .bind(since)
    .bind(COMMITTING_MAX)
    .fetch_all(db)
    .await?;
    let found = rows
        .iter()
        .map(|row| {
            let Json(labels): Json<BTreeMap<String, String>> = row.try_get("labels")?;
            let name: String = row.try_get("name")?;
            let pairs = std::iter::once((METRIC_NAME.to_owned(), name)).chain(labels);
            let identity: Uuid = row.try_get("identity")?;
            Ok(Found {
                identity: Identity(identity.as_u128()),
                metric: MetricId(row.try_get("metric_id")?),
                pack: PackId(row.try_get("pack")?),
                series: series_id(row.try_get("id")?)?,
                labels: Labels::from_pairs(pairs).map_err(decode)?,
            })
        })
        .collect::<Result<_, sqlx::Error>>()?;
    Ok((now, found))
}

/// Series with numbers of their own, to be created.
pub(super) struct Placed<'a> {
    rows: Vec<NewRow>,
    wanted: Vec<(Identity, &'a Labels)>,
    metrics: HashMap<&'a str, i32>,
}

/// Gives numbers and packs to series that are to be created. `known` tells the numbers of metrics that need not be asked
/// for.
pub(super) async fn place<'a>(
    db: &PgPool,
    claims: &mut Claims,
    mut wanted: Vec<(Identity, &'a Labels)>,
    mut metrics: HashMap<&'a str, i32>,
) -> Result<Placed<'a>, sqlx::Error> {
    // Numbers follow the order of labels, so that series that look alike lie side by side and compress well.
    wanted.sort_by(|a, b| a.1.cmp(b.1));
    wanted.dedup_by_key(|(identity, _)| *identity);
    let names = wanted.iter().map(|(_, labels)| labels.metric_name());
    let unknown: Vec<&'a str> = names.filter(|name| !metrics.contains_key(name)).collect();
    if !unknown.is_empty() {
        let found = metric_ids(db, claims, unknown.iter().copied()).await?;
        metrics.extend(unknown.into_iter().map(|name| (name, found[name])));
    }
    let mut rows = Vec::with_capacity(wanted.len());
    for (identity, labels) in &wanted {
        if claims.series.is_empty() {
            claims.series = claim(db, "series", SERIES_CLAIM).await?;
        }
        let metric = metrics[labels.metric_name()];
        rows.push(NewRow {
            series: claims.series.next().expect("claimed above"),
            metric,
            pack: claims.packs.place(db, MetricId(metric)).await?.0,
            identity: identity.uuid(),
            labels: document(labels),
        });
    }
    // In one order everywhere, or two receivers could wait for each other.
    rows.sort_unstable_by_key(|row| row.identity);
    Ok(Placed { rows, wanted, metrics })
}

/// Creates series, or adopts those that somebody else created meanwhile.
pub(super) async fn create<'a>(
    db: &PgPool,
    placed: Placed<'a>,
) -> Result<Vec<Created<'a>>, sqlx::Error> {
    let mut numbers: HashMap<Uuid, (i64, i32)> = HashMap::with_capacity(placed.rows.len());
    for rows in placed.rows.chunks(CREATE_MAX) {
        if copy_rows(db, rows).await? {
            numbers.extend(rows.iter().map(|row| (row.identity, (row.series, row.pack))));
        } else {
            numbers.extend(insert_rows(db, rows).await?);
        }
    }
    let created = |(identity, labels): (Identity, &'a Labels)| {
        let (series, pack) = numbers.get(&identity.uuid()).ok_or(sqlx::Error::RowNotFound)?;
        Ok(Created {
            identity,
            metric: MetricId(placed.metrics[labels.metric_name()]),
            pack: PackId(*pack),
            series: series_id(*series)?,
            labels,
        })
    };
    placed.wanted.into_iter().map(created).collect()
}

/// A series that is to be created.
struct NewRow {
    series: i64,
    metric: i32,
    pack: i32,
    identity: Uuid,
    /// Text of a JSON object.
    labels: Vec<u8>,
}

/// The labels but the metric's name, as JSON.
fn document(labels: &Labels) -> Vec<u8> {
    let mut text = Vec::with_capacity(256);
    let others = labels.iter().filter(|label| &*label.name != METRIC_NAME);
    serde_json::Serializer::new(&mut text)
        .collect_map(others.map(|label| (&*label.name, &*label.value)))
        .expect("strings become JSON, and memory takes it");
    text
}

/// Creates series that nobody else creates now, as it nearly always is, in the cheapest way. `false`: somebody did, and
/// nothing was created.
async fn copy_rows(db: &PgPool, rows: &[NewRow]) -> Result<bool, sqlx::Error> {
    let mut connection = db.acquire().await?;
    let mut copy = connection
        .copy_in_raw(
            "COPY watchpost.series (id, metric_id, pack, identity, labels) FROM STDIN (FORMAT binary)",
        )
        .await?;
    let mut bytes = CopyRows::default();
    let mut jsonb = Vec::new();
    for row in rows {
        // `jsonb` is received as a version number and its text.
        jsonb.clear();
        jsonb.push(1);
        jsonb.extend_from_slice(&row.labels);
        bytes
            .row(5)
            .bigint(row.series)
            .int(row.metric)
            .int(row.pack)
            .bytes(row.identity.as_bytes())
            .bytes(&jsonb);
    }
    copy.send(&CopyRows::HEADER[..]).await?;
    copy.send(bytes.take()).await?;
    copy.send(&CopyRows::TRAILER[..]).await?;
    match copy.finish().await {
        Ok(_) => Ok(true),
        Err(err) if is_met(&err) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Whether somebody else created a series at the same time: found out by the index, or by waiting for each other.
fn is_met(err: &sqlx::Error) -> bool {
    let code = sqlstate::code(err);
    matches!(code.as_deref(), Some(sqlstate::UNIQUE_VIOLATION | sqlstate::DEADLOCK))
}

/// Creates series of which others may create some. Gives the numbers and packs of all.
async fn insert_rows(
    db: &PgPool,
    rows: &[NewRow],
) -> Result<HashMap<Uuid, (i64, i32)>, sqlx::Error> {
    let texts: Vec<&str> = rows
        .iter()
        .map(|row| str::from_utf8(&row.labels).map_err(decode))
        .collect::<Result<_, _>>()?;
    let inserted = sqlx::query(
        "INSERT INTO watchpost.series (id, metric_id, pack, identity, labels)
         SELECT id, metric_id, pack, identity, labels::jsonb
           FROM unnest($1::bigint[], $2::int[], $3::int[], $4::uuid[], $5::text[])
             AS new (id, metric_id, pack, identity, labels)
          ORDER BY identity
         ON CONFLICT ON CONSTRAINT series_identity_key DO NOTHING
         RETURNING id, pack, identity",
    )
    .bind(rows.iter().map(|row| row.series).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.metric).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.pack).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.identity).collect::<Vec<_>>())
    .bind(&texts)
    .fetch_all(db)
    .await?;
    let mut numbers = numbers_of(&inserted)?;
    let others: Vec<Uuid> =
        rows.iter().map(|row| row.identity).filter(|uuid| !numbers.contains_key(uuid)).collect();
    if !others.is_empty() {
        let found =
            sqlx::query("SELECT id, pack, identity FROM watchpost.series WHERE identity = ANY($1)")
                .bind(&others)
                .fetch_all(db)
                .await?;
        numbers.extend(numbers_of(&found)?);
    }
    Ok(numbers)
}

fn numbers_of(rows: &[PgRow]) -> Result<HashMap<Uuid, (i64, i32)>, sqlx::Error> {
    rows.iter()
        .map(|row| Ok((row.try_get("identity")?, (row.try_get("id")?, row.try_get("pack")?))))
        .collect()
}

/// The numbers of metric names, creating those that are new.
pub(super) async fn metric_ids<'a>(
    db: &PgPool,
    claims: &mut Claims,
    names: impl Iterator<Item = &'a str>,
) -> Result<HashMap<String, i32>, sqlx::Error> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    let mut found = find_metrics(db, &names).await?;
    let missing: Vec<&str> = names.into_iter().filter(|name| !found.contains_key(*name)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let ids = claim_metrics(db, claims, missing.len()).await?;
    sqlx::query(
        "INSERT INTO watchpost.metric (id, name) SELECT * FROM unnest($1::int[], $2::text[])
         ON CONFLICT ON CONSTRAINT metric_name_key DO NOTHING",
    )
    .bind(&ids)
    .bind(&missing)
    .execute(db)
    .await?;
    found.extend(find_metrics(db, &missing).await?);
    Ok(found)
}

/// Numbers for so many new metrics.
pub(super) async fn claim_metrics(
    db: &PgPool,
    claims: &mut Claims,
    n: usize,
) -> Result<Vec<i32>, sqlx::Error> {
    let mut ids = Vec::with_capacity(n);
    for _ in 0..n {
        if claims.metrics.is_empty() {
            claims.metrics = claim(db, "metric", METRIC_CLAIM).await?;
        }
        let id = claims.metrics.next().expect("claimed above");
        ids.push(i32::try_from(id).map_err(decode)?);
    }
    Ok(ids)
}

pub(super) async fn find_metrics(
    db: &PgPool,
    names: &[&str],
) -> Result<HashMap<String, i32>, sqlx::Error> {
    let rows = sqlx::query("SELECT id, name FROM watchpost.metric WHERE name = ANY($1)")
        .bind(names)
        .fetch_all(db)
        .await?;
    rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("id")?))).collect()
}

/// Takes `n` numbers that nobody else will ever get.
pub(crate) async fn claim(
    db: &PgPool,
    name: &str,
    n: i64,
) -> Result<std::ops::Range<i64>, sqlx::Error> {
    let next: i64 = sqlx::query_scalar(
        "UPDATE watchpost.id_range SET next = next + $2 WHERE name = $1 RETURNING next",
    )
    .bind(name)
    .bind(n)
    .fetch_one(db)
    .await?;
    Ok(next - n..next)
}
