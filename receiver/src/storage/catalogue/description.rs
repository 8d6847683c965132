//! What exporters say about their metrics: type, help and unit.

use std::collections::HashMap;

use proto::remote_write::v1::{MetricMetadata, metric_metadata::MetricType};
use sqlx::PgPool;

use super::rows::{self, Claims};

/// Help texts are for reading: longer ones are cut, as Mimir does.
const HELP_BYTES_MAX: usize = 1024;
const UNIT_BYTES_MAX: usize = 128;
const NAME_BYTES_MAX: usize = 1024;

/// Type, help and unit of one metric family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub name: String,
    /// The word behind `# TYPE`.
    pub kind: &'static str,
    pub help: String,
    pub unit: String,
}

impl Description {
    /// `None` if there is no name that could be stored.
    pub fn new(metadata: &MetricMetadata) -> Option<Self> {
        let name = &metadata.metric_family_name;
        if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains('\0') {
            return None;
        }
        let kind = match metadata.r#type() {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::Gaugehistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::Stateset => "stateset",
        };
        Some(Self {
            name: name.clone(),
            kind,
            help: cut(&metadata.help, HELP_BYTES_MAX),
            unit: cut(&metadata.unit, UNIT_BYTES_MAX),
        })
    }
}

fn cut(text: &str, bytes_max: usize) -> String {
    let end =
        (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[..end].replace('\0', "")
}

/// Descriptions as last written, so that what is repeated every minute costs no statement.
#[derive(Debug, Default)]
pub(super) struct Written(HashMap<String, Description>);

impl Written {
    pub(super) fn changed(&self, descriptions: Vec<Description>) -> Vec<Description> {
        let mut last: HashMap<String, Description> = HashMap::new();
        for description in descriptions {
            if self.0.get(&description.name) != Some(&description) {
                last.insert(description.name.clone(), description);
            }
        }
        let mut changed: Vec<Description> = last.into_values().collect();
        // In one order everywhere, or two receivers could wait for each other.
        changed.sort_by(|a, b| a.name.cmp(&b.name));
        changed
    }

    pub(super) fn remember(&mut self, descriptions: Vec<Description>) {
        self.0.extend(
            descriptions.into_iter().map(|description| (description.name.clone(), description)),
        );
    }
}

/// Writes descriptions; families that have no series of their own name (`x` of `x_bucket`) get a row too. What is new is
/// inserted complete: a row that is updated leaves its old version behind, in the table and in both indexes.
pub(super) async fn write(
    db: &PgPool,
    claims: &mut Claims,
    changed: &[Description],
) -> Result<(), sqlx::Error> {
    let column = |of: fn(&Description) -> &str| {
        changed.iter().map(|d| of(d).to_owned()).collect::<Vec<String>>()
    };
    let names: Vec<&str> = changed.iter().map(|description| description.name.as_str()).collect();
    let known = rows::find_metrics(db, &names).await?;
    // In order of names, as `changed` is: a number for each.
    let n_missing = names.iter().filter(|name| !known.contains_key(**name)).count();
    let mut fresh = rows::claim_metrics(db, claims, n_missing).await?.into_iter();
    let ids: Vec<Option<i32>> = names
        .iter()
        .map(|name| if known.contains_key(*name) { None } else { fresh.next() })
        .collect();
    if n_missing > 0 {
        sqlx::query(
            "INSERT INTO watchpost.metric (id, name, type, help, unit)
             SELECT d.id, d.name, d.type, d.help, NULLIF(d.unit, '')
               FROM unnest($1::int[], $2::text[], $3::text[], $4::text[], $5::text[]) AS d (id, name, type, help, unit)
              WHERE d.id IS NOT NULL
             ON CONFLICT ON CONSTRAINT metric_name_key DO NOTHING",
        )
        .bind(ids)
        .bind(column(|d| &d.name))
        .bind(column(|d| d.kind))
        .bind(column(|d| &d.help))
        .bind(column(|d| &d.unit))
        .execute(db)
        .await?;
    }
    sqlx::query(
        "UPDATE watchpost.metric m SET type = d.type, help = d.help, unit = NULLIF(d.unit, '')
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS d (name, type, help, unit)
          WHERE m.name = d.name AND (m.type, m.help, m.unit) IS DISTINCT FROM (d.type, d.help, NULLIF(d.unit, ''))",
    )
    .bind(column(|d| &d.name))
    .bind(column(|d| d.kind))
    .bind(column(|d| &d.help))
    .bind(column(|d| &d.unit))
    .execute(db)
    .await?;
    Ok(())
}
