//! Rules against what Prometheus' documentation and code say of them.

use std::path::Path;

use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rules: Vec<Rule>,
}

fn rules(text: &str) -> Result<Vec<Rule>, String> {
    let text = format!("rules:\n{text}");
    service::config::parse::<File>(&text, Path::new("x.yml"))
        .map(|file| file.rules)
        .map_err(|err| err.to_string())
}

/// `labels` and `expected` are `name=value` words; `DROP` for a series that is dropped.
fn check(text: &str, labels: &str, expected: &str) {
    let pairs = labels.split_whitespace().filter_map(|pair| pair.split_once('='));
    let labels = Labels::from_pairs(pairs).unwrap();
    let rules = rules(text).unwrap_or_else(|err| panic!("{text}: {err}"));
    let got = match apply(&rules, &labels).unwrap() {
        Outcome::Dropped => "DROP".to_owned(),
        Outcome::Kept(mut pairs) => {
            pairs.sort();
            let words: Vec<String> =
                pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
            words.join(" ")
        }
    };
    assert_eq!(got, expected, "{text} on {labels}");
}

#[test]
fn replace() {
    check(
        "- {source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-ch${1}'}",
        "a=foo b=bar c=baz",
        "a=foo b=bar c=baz d=choo-choo",
    );
    check(
        "- {source_labels: [a, b], regex: 'f(.*);(.*)r', target_label: a, replacement: 'b${1}${2}m'}",
        "a=foo b=bar",
        "a=boobam b=bar",
    );
    check(
        "- {source_labels: [a, b], separator: '', regex: 'foobar', target_label: a, replacement: x}",
        "a=foo b=bar",
        "a=x b=bar",
    );
    // A rule sees what the one before it did.
    check(
        "- {source_labels: [a], regex: '.*(b).*', target_label: d, separator: ',', replacement: '$1$1'}\n- {source_labels: [d], target_label: e}",
        "a=abc",
        "a=abc d=bb e=bb",
    );
    // No match: nothing happens. Anchored on both sides.
    check("- {source_labels: [a], regex: oo, target_label: b}", "a=foo", "a=foo");
    // An absent label is an empty one, and the default pattern matches it.
    check("- {source_labels: [none], target_label: a}", "a=foo b=1", "b=1");
    check("- {target_label: cluster, replacement: eu}", "a=foo", "a=foo cluster=eu");
    check("- {target_label: a, replacement: ''}", "a=foo b=1", "b=1");
    // A target with groups; one that becomes empty is no label.
    check(
        "- {source_labels: [a], regex: 'some-([^-]+)-([^,]+)', target_label: '${1}', replacement: '${2}'}",
        "a=some-name-value",
        "a=some-name-value name=value",
    );
    check(
        "- {source_labels: [a], regex: '(x?)foo', target_label: '${1}', replacement: y}",
        "a=foo",
        "a=foo",
    );
    // Prometheus 3: any UTF-8 is a label name, and `.` matches a newline.
    check("- {source_labels: [a], target_label: 'http.status'}", "a=foo", "a=foo http.status=foo");
    check(
        "- {source_labels: [a], target_label: b, separator: \"\\n\", regex: 'fo.'}",
        "a=foo",
        "a=foo",
    );
    check(
        "- {source_labels: [a, a], separator: \"\\n\", target_label: b, regex: 'foo.foo', replacement: y}",
        "a=foo",
        "a=foo b=y",
    );
    // `$1x` is the group named `1x`, which there is not; `$$` is a dollar.
    check("- {source_labels: [a], target_label: b, replacement: 'p$1x'}", "a=foo", "a=foo b=p");
    check("- {source_labels: [a], target_label: b, replacement: '$$1'}", "a=foo", "a=foo b=$1");
    check(
        "- {source_labels: [__name__], regex: '(.*)_total', target_label: __name__}",
        "__name__=x_total",
        "__name__=x",
    );
    check(
        "- {source_labels: [a], regex: '(?P<first>.).*', target_label: b, replacement: '${first}'}",
        "a=foo",
        "a=foo b=f",
    );
    check(
        "- {source_labels: [a], regex: 404, target_label: b, replacement: y}",
        "a=404",
        "a=404 b=y",
    );
}

#[test]
fn keep_and_drop() {
    check("- {source_labels: [a], regex: 'f|foo', action: keep}", "a=foo", "a=foo");
    check("- {source_labels: [a], regex: 'f|o', action: keep}", "a=foo", "DROP");
    check("- {source_labels: [a], regex: '.*o.*', action: drop}", "a=foo", "DROP");
    check("- {source_labels: [a], regex: 'no', action: DROP}", "a=foo", "a=foo");
    check("- {source_labels: [none], regex: '', action: drop}", "a=foo", "DROP");
    check("- {action: drop}", "a=foo", "DROP");
    check("- {source_labels: [a], target_label: b, action: keepequal}", "a=x b=x", "a=x b=x");
    check("- {source_labels: [a], target_label: b, action: keepequal}", "a=x b=y", "DROP");
    check("- {source_labels: [a], target_label: b, action: dropequal}", "a=x b=x", "DROP");
    check("- {source_labels: [none], target_label: none2, action: dropequal}", "a=x", "DROP");
    check("- {source_labels: [a], target_label: b, action: dropequal}", "a=x b=y", "a=x b=y");
    check(
        "- {source_labels: [a, b], target_label: c, action: keepequal}",
        "a=x b=y c=x;y",
        "a=x b=y c=x;y",
    );
}

#[test]
fn names() {
    check(
        "- {regex: '(b.*)', action: labelmap, replacement: 'bar_${1}'}",
        "a=foo b1=bar b2=baz",
        "a=foo b1=bar b2=baz bar_b1=bar bar_b2=baz",
    );
    check(
        "- {regex: 'meta_(.+)', action: labelmap}",
        "a=1 meta_a=2 meta_b=3",
        "a=2 b=3 meta_a=2 meta_b=3",
    );
    check("- {regex: '(b.*)', action: labeldrop}", "a=foo b1=bar b2=baz", "a=foo");
    check("- {regex: '(a.*)', action: labelkeep}", "a=foo b1=bar b2=baz", "a=foo");
    check("- {regex: '', action: labelkeep}", "a=foo", "");
    // Of two that become the same name the last in order wins: those there before in order of names, then those set
    // since.
    check("- {regex: '(?:x|y)', action: labelmap, replacement: z}", "x=1 y=2", "x=1 y=2 z=2");
    check(
        "- {target_label: a0, replacement: '9'}\n- {regex: '(?:x|a0)', action: labelmap, replacement: z}",
        "x=1",
        "a0=9 x=1 z=9",
    );
    check("- {regex: '.*', action: labelmap, replacement: z}", "z=1 y=2 x=3", "x=3 y=2 z=1");
}

#[test]
fn hashes_and_case() {
    // From Prometheus' own tests.
    check(
        "- {source_labels: [c], target_label: d, action: hashmod, modulus: 1000}",
        "a=foo b=bar c=baz",
        "a=foo b=bar c=baz d=976",
    );
    check(
        "- {source_labels: [a, b], target_label: d, action: hashmod, modulus: 8}",
        "a=foo b=bar",
        "a=foo b=bar d=6",
    );
}

#[test]
fn case_is_gos() {
    for (text, lower, upper) in [
        ("bAr123Foo", "bar123foo", "BAR123FOO"),
        ("ΟΔΟΣ", "οδοσ", "ΟΔΟΣ"),
        ("straße", "straße", "STRAßE"),
        ("İ", "i", "İ"),
        ("ﬁ", "ﬁ", "ﬁ"),
        ("ᾀᾳ", "ᾀᾳ", "ᾈᾼ"),
        ("ǆ", "ǆ", "Ǆ"),
    ] {
        assert_eq!((&*case::lower(text), &*case::upper(text)), (lower, upper), "{text}");
    }
    check(
        "- {source_labels: [a], target_label: l, action: lowercase}\n- {source_labels: [a], target_label: u, action: uppercase}",
        "a=bAr",
        "a=bAr l=bar u=BAR",
    );
    check("- {source_labels: [none], target_label: a, action: lowercase}", "a=x b=y", "b=y");
}

#[test]
fn bad_rules_are_named_with_their_place() {
    for (text, expected) in [
        (
            "- {action: hashmod, target_label: a, source_labels: [b]}",
            "x.yml:2:3: the action hashmod needs a `modulus`",
        ),
        ("- {source_labels: [a]}", "x.yml:2:3: the action replace needs a `target_label`"),
        (
            "- {action: lowercase, target_label: a, replacement: b}",
            "x.yml:2:3: the action lowercase takes no `replacement`",
        ),
        (
            "- {action: labeldrop, source_labels: [a]}",
            "x.yml:2:3: the action labeldrop takes only `regex`",
        ),
        (
            "- {action: keepequal, source_labels: [a], target_label: b, separator: x}",
            "x.yml:2:3: the action keepequal takes only",
        ),
        ("- action: dropp\n", "x.yml:2:11: unknown action `dropp`: known are replace, keep, drop"),
        ("- target_label: a\n  regex: '('\n", "x.yml:3:10: invalid regular expression `(`"),
        (
            "- target_labels: a\n",
            "x.yml:2:3: unknown key `target_labels`: did you mean `target_label`?",
        ),
        ("- {source_labels: [''], target_label: a}", "a label name is empty"),
    ] {
        let said = rules(text).unwrap_err();
        assert!(said.contains(expected), "{text}: {said}");
    }
}

#[test]
fn what_grows_is_bounded() {
    let doubling = "- {source_labels: [a], target_label: a, replacement: '$1$1'}\n".repeat(64);
    let labels = Labels::from_pairs([("a", "0123456789")]).unwrap();
    let outcome = apply(&rules(&doubling).unwrap(), &labels);
    assert_eq!(outcome, Err(Reason::LabelValueTooLong));
}
