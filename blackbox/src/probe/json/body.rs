//! What is sent to a service: text, perhaps with parameters of the probe's URL in it.

use std::collections::BTreeMap;

use crate::{
    config::JsonBody,
    failure::{Failure, Phase, Reason},
};

/// Whether every `{{ … }}` is one that we understand.
pub(crate) fn check(body: &JsonBody) -> Result<(), String> {
    expand(body, &|_| Some(String::new())).map(drop)
}

pub(super) fn render(
    body: &JsonBody,
    parameters: &BTreeMap<String, String>,
) -> Result<String, Failure> {
    expand(body, &|name| parameters.get(name).cloned())
        .map_err(|why| Failure::new(Phase::Setup, Reason::BadTarget, why))
}

/// Of Go's templates only parameters are known: `{{ .name }}`, `{{ .name | first }}`, `{{ index .name 0 }}`.
fn expand(body: &JsonBody, value_of: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    if !body.templatize {
        return Ok(body.content.clone());
    }
    let mut out = String::with_capacity(body.content.len());
    let mut rest = body.content.as_str();
    while let Some((text, after)) = rest.split_once("{{") {
        out.push_str(text);
        let (action, after) = after.split_once("}}").ok_or("body: a {{ without its }}")?;
        let name = parameter(action).ok_or_else(|| {
            format!(
                "body: `{{{{{action}}}}}` is not known here: use {{{{ .name }}}} for a parameter"
            )
        })?;
        let value = value_of(name)
            .ok_or_else(|| format!("the parameter `{name}` is missing in the probe's URL"))?;
        out.push_str(&value);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn parameter(action: &str) -> Option<&str> {
    let action = action.trim().trim_start_matches('-').trim_end_matches('-').trim();
    let words: Vec<&str> = action.split_whitespace().collect();
    let name = match words.as_slice() {
        [name] | [name, "|", "first"] | ["first", name] | ["index", name, "0"] => {
            name.strip_prefix('.')?
        }
        _ => return None,
    };
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    is_name.then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_put_in() {
        let parameters = BTreeMap::from([("id".to_owned(), "7".to_owned())]);
        for (content, expected) in [
            ("{\"id\": {{ .id }}}", Some("{\"id\": 7}")),
            ("{{.id | first}}-{{ index .id 0 }}", Some("7-7")),
            ("none", Some("none")),
            ("{{ .other }}", None),
        ] {
            let body = JsonBody { content: content.to_owned(), templatize: true };
            assert_eq!(render(&body, &parameters).ok().as_deref(), expected, "{content}");
        }
        for wrong in ["{{ .id", "{{ range .id }}", "{{ .id | upper }}"] {
            assert!(
                check(&JsonBody { content: wrong.to_owned(), templatize: true }).is_err(),
                "{wrong}"
            );
            assert!(check(&JsonBody { content: wrong.to_owned(), templatize: false }).is_ok());
        }
    }
}
