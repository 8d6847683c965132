//! Whether two answers say the same.

use serde_json::Value;

use crate::pair::Answer;

/// Numbers may differ by this part of the larger one: sums are taken in different orders.
const RELATIVE: f64 = 1e-9;

/// How closely errors and annotations are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Words {
    /// Text by text.
    Exact,
    /// The kind of an error, and nothing of annotations.
    Kind,
}

/// What is different, in words; `None` if nothing is.
pub(crate) fn difference(reference: &Answer, ours: &Answer, words: Words) -> Option<String> {
    if reference.status != ours.status {
        return Some(format!("status {} and {}: {}", reference.status, ours.status, short(ours)));
    }
    let (mut a, mut b) = (reference.json.clone(), ours.json.clone());
    for json in [&mut a, &mut b] {
        if words == Words::Kind {
            for name in ["error", "warnings", "infos"] {
                if let Some(object) = json.as_object_mut() {
                    object.remove(name);
                }
            }
        }
        for name in ["warnings", "infos"] {
            // Told in any order.
            if let Some(notes) = json.get_mut(name).and_then(Value::as_array_mut) {
                notes.sort_by_key(Value::to_string);
            }
        }
        if json["data"]["resultType"] == "vector"
            && let Some(elements) = json["data"]["result"].as_array_mut()
        {
            elements.sort_by_key(|element| element["metric"].to_string());
        }
    }
    of_values("", &a, &b)
}

fn short(answer: &Answer) -> String {
    answer.text.chars().take(300).collect()
}

fn of_values(place: &str, a: &Value, b: &Value) -> Option<String> {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let names = |map: &serde_json::Map<String, Value>| {
                map.keys().cloned().collect::<Vec<_>>().join(",")
            };
            if names(a) != names(b) {
                return Some(format!("{place}: {{{}}} and {{{}}}", names(a), names(b)));
            }
            a.iter().find_map(|(name, a)| of_values(&format!("{place}.{name}"), a, &b[name]))
        }
        (Value::Array(a), Value::Array(b)) => {
            let pairs = a.iter().zip(b).enumerate();
            let found = pairs
                .into_iter()
                .find_map(|(at, (a, b))| of_values(&format!("{place}[{at}]"), a, b));
            if found.is_none() && a.len() != b.len() {
                return Some(format!("{place}: {} and {} entries", a.len(), b.len()));
            }
            found
        }
        (Value::String(a), Value::String(b)) if is_same_number(a, b) => None,
        (a, b) if a == b => None,
        (a, b) => Some(format!("{place}: {a} and {b}")),
    }
}

/// Sample values are numbers in strings.
fn is_same_number(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
    (a - b).abs() <= RELATIVE * a.abs().max(b.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        let json = serde_json::from_str(text).unwrap();
        Answer { status: 200, text: text.to_owned(), json }
    }

    #[test]
    fn what_differs_is_found() {
        let check = |a: &str, b: &str, same: bool| {
            let found = difference(&answer(a), &answer(b), Words::Exact);
            assert_eq!(found.is_none(), same, "{a} {b}: {found:?}");
        };
        check(r#"{"data":[1,"0.1"]}"#, r#"{"data":[1,"0.10000000000000001"]}"#, true);
        check(r#"{"data":[1,"0.1"]}"#, r#"{"data":[1,"0.1001"]}"#, false);
        check(r#"{"data":[1]}"#, r#"{"data":[1,2]}"#, false);
        check(r#"{"data":[1]}"#, r#"{"data":[1],"infos":["x"]}"#, false);
        check(r#"{"data":"a"}"#, r#"{"data":"b"}"#, false);
        check(r#"{"data":"NaN"}"#, r#"{"data":"1"}"#, false);
    }
}
