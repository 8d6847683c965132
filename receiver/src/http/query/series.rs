//! `series`, `labels` and `label/<name>/values`: which series there are, from memory.
//!
//! Without `match[]` it is all of them. `start` and `end` leave out series that surely have no samples between them.

use std::collections::HashSet;

use axum::{
    extract::{RawPathParams, State},
    response::Response,
};
use promql::model::{Labels, Matcher, text::Quoted};

use super::{
    Api,
    answer::{self, ApiError, Notes},
    encode,
    parameters::Parameters,
};
use crate::{
    model::SeriesId,
    query::QueryError,
    storage::{
        BoundedReader, Presence, ReadError,
        catalogue::{Index, Position},
    },
};

/// Series that are looked at under one lock, for which others wait.
const SERIES_PER_LOCK: usize = 16 << 10;

/// Which series are asked for.
struct Wanted {
    selectors: Vec<Vec<Matcher>>,
    presence: Presence,
    /// 0 is no limit.
    limit: usize,
}

impl Wanted {
    async fn new(
        api: &Api,
        limit: usize,
        times: (Option<i64>, Option<i64>),
        selectors: Vec<Vec<Matcher>>,
    ) -> Result<Self, ApiError> {
        let presence = match times {
            (Some(start), Some(end)) => {
                let asking = api.queries.reader().presence(start, end);
                asking.await.map_err(QueryError::from)?
            }
            // From some time on, or until then: nothing is known of the rest without looking at all blocks.
            _ => Presence::everything(),
        };
        Ok(Self { selectors, presence, limit })
    }

    /// Calls `each` with every such series, once for each selector that it satisfies.
    fn each(
        &self,
        reader: &BoundedReader,
        mut each: impl FnMut(&Index, Position),
    ) -> Result<(), ReadError> {
        let series_max = reader.bounds.series_max;
        let everything = [Vec::new()];
        let selectors = if self.selectors.is_empty() { &everything[..] } else { &self.selectors };
        for matchers in selectors {
            let ids: Vec<SeriesId> = reader.reader.select(matchers, series_max);
            if ids.len() > series_max {
                return Err(ReadError::TooManySeries);
            }
            for some in ids.chunks(SERIES_PER_LOCK) {
                reader.bounds.check()?;
                // In this order, as everybody takes these locks.
                let index = reader.reader.catalogue().index();
                let latest = reader.reader.latest_all();
                for position in some.iter().filter_map(|id| index.position(*id)) {
                    if self.presence.admits(&index, &latest, position) {
                        each(&index, position);
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves out what is beyond the limit, and says so.
    fn cut<T>(&self, results: &mut Vec<T>) -> Notes {
        let mut notes = Notes::default();
        if self.limit > 0 && results.len() > self.limit {
            results.truncate(self.limit);
            notes.warnings.push("results truncated due to limit".to_owned());
        }
        notes
    }
}

fn times(parameters: &Parameters) -> Result<(Option<i64>, Option<i64>), ApiError> {
    Ok((parameters.optional_time("start")?, parameters.optional_time("end")?))
}

pub(super) async fn series(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    if parameters.all("match[]").next().is_none() {
        return Err(ApiError::bad_data("no match[] parameter provided"));
    }
    let limit = parameters.limit()?;
    let times = times(&parameters)?;
    let selectors = parameters.selectors();
    let selectors = selectors.map_err(|err| ApiError::parameter("match[]", err))?;
    let wanted = Wanted::new(&api, limit, times, selectors).await?;
    let (response, _turn) = api
        .queries
        .in_turn(move |reader| {
            let mut found: Vec<Labels> = Vec::new();
            wanted.each(reader, |index, position| found.push(index.labels(position)))?;
            found.sort_unstable();
            found.dedup();
            let notes = wanted.cut(&mut found);
            let mut data = String::from("[");
            for (at, labels) in found.iter().enumerate() {
                if at > 0 {
                    data.push(',');
                }
                encode::labels(labels, &mut data);
            }
            data.push(']');
            Ok(answer::success(&data, &notes))
        })
        .await?;
    Ok(response)
}

pub(super) async fn labels(
    State(api): State<Api>,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let limit = parameters.limit()?;
    let times = times(&parameters)?;
    let selectors = parameters.selectors().map_err(ApiError::bad_data)?;
    let wanted = Wanted::new(&api, limit, times, selectors).await?;
    strings(&api, wanted, Part::Names).await
}

pub(super) async fn label_values(
    State(api): State<Api>,
    path: RawPathParams,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let name = path.iter().find(|(key, _)| *key == "name").map_or("", |(_, value)| value);
    let name = unescaped(name).unwrap_or_else(|| name.to_owned());
    if name.is_empty() {
        return Err(ApiError::bad_data(format!("invalid label name: {}", Quoted(&name))));
    }
    let limit = parameters.limit()?;
    let times = times(&parameters)?;
    let selectors = parameters.selectors().map_err(ApiError::bad_data)?;
    let wanted = Wanted::new(&api, limit, times, selectors).await?;
    strings(&api, wanted, Part::ValuesOf(name)).await
}

/// What is collected of a label.
enum Part {
    Names,
    ValuesOf(String),
}

/// Distinct strings of the labels of all wanted series, sorted.
async fn strings(api: &Api, wanted: Wanted, part: Part) -> Result<Response, ApiError> {
    let (response, _turn) = api
        .queries
        .in_turn(move |reader| {
            let mut found: Vec<String> =
                if wanted.selectors.is_empty() && wanted.presence.is_everything() {
                    let index = reader.reader.catalogue().index();
                    let all = match &part {
                        Part::Names => index.label_names(),
                        Part::ValuesOf(name) => index.label_values(name),
                    };
                    all.into_iter().map(str::to_owned).collect()
                } else {
                    let mut distinct: HashSet<String> = HashSet::new();
                    wanted.each(reader, |index, position| {
                        for (name, value) in index.label_pairs(position) {
                            let string = match &part {
                                Part::Names => name,
                                Part::ValuesOf(wanted) if name == wanted => value,
                                Part::ValuesOf(_) => continue,
                            };
                            if !distinct.contains(string) {
                                distinct.insert(string.to_owned());
                            }
                        }
                    })?;
                    distinct.into_iter().collect()
                };
            found.sort_unstable();
            let notes = wanted.cut(&mut found);
            Ok(answer::success_strings(&found, &notes))
        })
        .await?;
    Ok(response)
}

/// A name as Prometheus escapes it for old readers: `U__service_2e_name` is `service.name`. `None` if it is none.
fn unescaped(name: &str) -> Option<String> {
    let mut rest = name.strip_prefix("U__")?;
    let mut plain = String::new();
    while let Some((before, behind)) = rest.split_once('_') {
        plain.push_str(before);
        if let Some(behind) = behind.strip_prefix('_') {
            plain.push('_');
            rest = behind;
            continue;
        }
        let (code, behind) = behind.split_once('_')?;
        if code.len() > 6 {
            return None;
        }
        plain.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
        rest = behind;
    }
    plain.push_str(rest);
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_names() {
        for (escaped, plain) in [
            ("U__service_2e_name", Some("service.name")),
            ("U__a__b", Some("a_b")),
            ("U___1F600_x", Some("\u{1f600}x")),
            ("U__a_zz_b", None),
            ("U__a_2e", None),
            ("service", None),
        ] {
            assert_eq!(unescaped(escaped).as_deref(), plain, "{escaped}");
        }
    }
}
