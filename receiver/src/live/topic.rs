//! What is subscribed to, in one normal form, so that equal subscriptions share a channel.

use std::fmt;

use promql::{model::Matcher, parse_selector};
use service::units::Span;

use super::{
    engine::{Engine, Window},
    hosts::{Hosts, Scope},
    monitors::Monitors,
    protocol::{
        POINTS_DEFAULT, POINTS_MAX, RANGE_DEFAULT, RANGE_MAX, Refusal, SELECTORS_MAX, Subscribe,
    },
    raw::Raw,
};

/// Characters of a server's name.
const INSTANCE_CHARACTERS_MAX: usize = 1_024;

/// What is subscribed to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Topic(Kind);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// Selectors in their normal form, sorted.
    Match(Vec<String>),
    Servers,
    Server(String),
    Monitors,
}

impl Topic {
    pub fn of(request: &Subscribe) -> Result<Self, Refusal> {
        let bad = |why: &str| Err(Refusal::BadArgument(why.to_owned()));
        let kind = match (request.view.as_deref(), &*request.matches) {
            (Some(_), [_, ..]) => return bad("give either `match` or `view`, not both"),
            (None, []) => return bad("give `match` (a list of selectors) or `view`"),
            (None, selectors) if selectors.len() > SELECTORS_MAX => {
                return Err(Refusal::BadArgument(format!("at most {SELECTORS_MAX} selectors")));
            }
            (None, selectors) => {
                let mut normal = Vec::with_capacity(selectors.len());
                for text in selectors {
                    let matchers = parse_selector(text)
                        .map_err(|err| Refusal::BadSelector(format!("selector {err}")))?;
                    normal.push(normal_form(&matchers));
                }
                normal.sort_unstable();
                normal.dedup();
                Kind::Match(normal)
            }
            (Some("servers"), []) => Kind::Servers,
            (Some("monitors"), []) => Kind::Monitors,
            (Some("server"), []) => match &request.args.server {
                Some(server) if !server.is_empty() && server.len() <= INSTANCE_CHARACTERS_MAX => {
                    Kind::Server(server.clone())
                }
                _ => {
                    return bad(
                        "view `server` wants args.server, the value of its `instance` label",
                    );
                }
            },
            (Some(other), []) => {
                return Err(Refusal::BadArgument(format!(
                    "there is no view `{}`; there are servers, server and monitors",
                    other.chars().take(40).collect::<String>()
                )));
            }
        };
        Ok(Self(kind))
    }

    /// Whether it shows samples as they are, which counts against the connection's series.
    pub(super) fn is_match(&self) -> bool {
        matches!(self.0, Kind::Match(_))
    }

    /// Whether it is about this server and perhaps no other.
    pub(super) fn is_about(&self, instance: &str) -> bool {
        match &self.0 {
            Kind::Server(server) => server == instance,
            Kind::Match(selectors) => {
                let matcher = Matcher::equal("instance", instance).to_string();
                selectors.iter().any(|selector| selector.contains(&matcher))
            }
            Kind::Servers | Kind::Monitors => false,
        }
    }

    pub(super) fn into_engine(self) -> Box<dyn Fn() -> Box<dyn Engine> + Send + Sync> {
        match self.0 {
            Kind::Match(selectors) => {
                let parse = |text: &String| parse_selector(text).expect("its own normal form");
                let selectors: Vec<Vec<Matcher>> = selectors.iter().map(parse).collect();
                Box::new(move || Box::new(Raw::new(selectors.clone())))
            }
            Kind::Servers => Box::new(|| Box::new(Hosts::new(Scope::List))),
            Kind::Server(instance) => {
                Box::new(move || Box::new(Hosts::new(Scope::One { instance: instance.clone() })))
            }
            Kind::Monitors => Box::new(|| Box::new(Monitors::new())),
        }
    }
}

/// For logs.
impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Match(selectors) => write!(f, "match {}", selectors.join(", ")),
            Kind::Servers => f.write_str("servers"),
            Kind::Server(instance) => write!(f, "server {instance}"),
            Kind::Monitors => f.write_str("monitors"),
        }
    }
}

/// `{__name__="up",job="a"}` with sorted matchers, which reads back to the same.
fn normal_form(matchers: &[Matcher]) -> String {
    let mut all: Vec<_> = matchers.iter().map(ToString::to_string).collect();
    all.sort_unstable();
    all.dedup();
    format!("{{{}}}", all.join(","))
}

impl Window {
    /// The window a request asks for, within bounds.
    pub fn of(request: &Subscribe) -> Result<Self, Refusal> {
        let ms = |text: &Option<String>, default: i64| match text {
            None => Ok(default),
            Some(text) => {
                let span: Span =
                    text.parse().map_err(|err| Refusal::BadArgument(format!("{err}")))?;
                Ok(i64::try_from(span.0.as_millis()).unwrap_or(i64::MAX))
            }
        };
        let range_ms = ms(&request.range, RANGE_DEFAULT.as_millis() as i64)?;
        if range_ms > RANGE_MAX.as_millis() as i64 {
            return Err(Refusal::BadArgument(format!(
                "range {} is longer than {}; the query API has the past",
                Span(std::time::Duration::from_millis(range_ms as u64)),
                Span(RANGE_MAX)
            )));
        }
        let step_ms = ms(&request.step, 1_000)?.clamp(1_000, range_ms.max(1_000));
        let points = request.points.unwrap_or(POINTS_DEFAULT).clamp(2, POINTS_MAX);
        Ok(Self { range_ms: range_ms.max(step_ms), step_ms, points })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(selectors: &[&str]) -> Subscribe {
        let matches = selectors.iter().map(ToString::to_string).collect();
        Subscribe { matches, ..Subscribe::default() }
    }

    #[test]
    fn equal_subscriptions_are_one_topic() {
        let topic = |selectors| Topic::of(&matching(selectors)).unwrap();
        assert_eq!(
            topic(&[r#"up{job="a",x!="\n"}"#]),
            topic(&[r#"{x!="\n", job='a', __name__="up"}"#])
        );
        assert_eq!(topic(&["up", "a"]), topic(&["a", "up", "up"]));
        assert_ne!(topic(&["up"]), topic(&["a"]));
        // The normal form reads back.
        topic(&[r#"{"a.b","q\"\\"=~"x|\\.\n"}"#]).into_engine()();
    }

    #[test]
    fn requests_that_make_no_sense() {
        let check = |request: Subscribe, reason: &str| {
            let refusal = Topic::of(&request).unwrap_err().to_string();
            assert!(refusal.contains(reason), "{refusal}");
        };
        let view = |name: &str| Subscribe { view: Some(name.to_owned()), ..Subscribe::default() };
        check(matching(&[]), "give `match`");
        check(Subscribe { view: Some("servers".to_owned()), ..matching(&["up"]) }, "not both");
        check(view("server"), "args.server");
        check(view("nothing"), "there is no view `nothing`");
        check(matching(&["up"; 17]), "at most 16");
        check(matching(&["{}"]), "selector 1:1");
        for not_a_selector in ["up[5m]", "up offset 5m", "up @ 1", "sum(up)", "up{", "1"] {
            check(matching(&[not_a_selector]), "selector 1:");
        }
    }

    #[test]
    fn windows_have_bounds() {
        let window = |range: &str, step: &str, points| {
            Window::of(&Subscribe {
                range: Some(range.to_owned()),
                step: Some(step.to_owned()),
                points,
                ..Subscribe::default()
            })
        };
        let expected = Window { range_ms: 900_000, step_ms: 1_000, points: 600 };
        assert_eq!(Window::of(&Subscribe::default()), Ok(expected));
        assert_eq!(
            window("1h", "1m", Some(9_999)),
            Ok(Window { range_ms: 3_600_000, step_ms: 60_000, points: 1_000 })
        );
        assert!(window("7h", "1s", None).unwrap_err().to_string().contains("longer than 6h"));
        assert!(window("soon", "1s", None).is_err());
    }
}
