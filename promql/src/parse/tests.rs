//! What is accepted and how it is understood, and what is refused with which words.

use super::{DEPTH_MAX, Features, parse, parse_selector};

fn message(query: &str) -> String {
    match parse(query, Features::ALL) {
        Ok(expr) => format!("accepted: {expr:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn refusals_say_what_and_where() {
    for (query, expected) in [
        ("", "unknown position: parse error: no expression found in input"),
        ("sum(", "1:5: parse error: unclosed left parenthesis"),
        ("foo{", "1:5: parse error: unexpected end of input inside braces"),
        ("1 +", "1:4: parse error: unexpected end of input"),
        ("foo bar", "1:5: parse error: unexpected identifier \"bar\""),
        ("foo{a=1}", "1:7: parse error: unexpected character inside braces: '1'"),
        (
            "foo{a}",
            "1:6: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        ("nope(foo)", "1:1: parse error: unknown function with name \"nope\""),
        (
            "rate(foo)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        ("rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        (
            "foo + bool bar",
            "1:5: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "{a=\"\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "foo{__name__=\"bar\"}",
            "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\"",
        ),
        ("foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"),
        ("foo @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"),
        ("(1+1)[5m]", "1:1: parse error: ranges only allowed for vector selectors"),
        (
            "1[5m:]",
            "1:1: parse error: subquery is only allowed on instant vector, got scalar instead",
        ),
        ("foo[0s]", "1:5: parse error: duration must be greater than 0"),
        ("foo[5x]", "1:5: parse error: bad number or duration syntax: \"5x\""),
        (
            "topk(foo)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        ("sum()", "1:1: parse error: no arguments for aggregate expression provided"),
        (
            "foo and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "foo and on(a) group_left bar",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "a + on(x) group_left(x) b",
            "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once",
        ),
        (
            "\"a\" + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        ("foo\n+ }", "2:3: parse error: unexpected right brace '}'"),
        ("'unterminated", "1:1: parse error: unterminated quoted string"),
        ("foo)", "1:5: parse error: unexpected right parenthesis ')'"),
        ("foo = 1", "1:5: parse error: unexpected character after '=': ' '"),
        (
            "sum by foo",
            "1:8: parse error: unexpected identifier \"foo\" in grouping opts, expected \"(\"",
        ),
        (
            "foo[5m] anchored smoothed",
            "1:1: parse error: anchored and smoothed modifiers cannot be used together",
        ),
    ] {
        assert_eq!(message(query), expected, "{query}");
    }
}

#[test]
fn precedence_and_keywords() {
    for (query, same) in [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("-1 ^ 2", "-(1 ^ 2)"),
        ("2 ^ 3 ^ 2", "2 ^ (3 ^ 2)"),
        ("-a * b", "(-a) * b"),
        ("a or b and c", "a or (b and c)"),
        ("a > b + c", "a > (b + c)"),
        ("a == b > c", "(a == b) > c"),
        ("SUM BY (x) (a)", "sum by (x) (a)"),
        ("sum(a) by (x)", "sum by (x) (a)"),
        ("sum without (x,) (a)", "sum without (x) (a)"),
        ("a offset 5m * 2", "(a offset 5m) * 2"),
        ("a offset 2 ^ 2", "(a offset 2) ^ 2"),
        ("a[5m] @ start() offset -1h", "a[5m] offset -1h @ start()"),
        ("{\"a.b\", c=\"d\"}", "{c=\"d\", __name__=\"a.b\"}"),
        ("a @ 1m40s", "a @ 100"),
        ("a[300]", "a[5m]"),
        ("1_000", "1000"),
        ("a # comment\n + b", "a + b"),
        ("sum(sum)", "sum(sum{})"),
        ("by + offset", "by{} + offset{}"),
        ("start + end", "start{} + end{}"),
    ] {
        let (first, second) = (parse(query, Features::ALL), parse(same, Features::ALL));
        let printed = |expr: &crate::ast::Expr| expr.to_string().replace(['(', ')'], "");
        match (&first, &second) {
            (Ok(a), Ok(b)) => assert_eq!(printed(a), printed(b), "{query}"),
            _ => panic!("{query}: {first:?} / {same}: {second:?}"),
        }
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let deep = "(".repeat(DEPTH_MAX + 1) + "1" + &")".repeat(DEPTH_MAX + 1);
    assert!(message(&deep).contains("levels deep"));
    let chain = vec!["a"; DEPTH_MAX + 2].join(" or ");
    assert!(message(&chain).contains("levels deep"));
    let signs = "-".repeat(10_000) + "a";
    assert!(message(&signs).contains("levels deep"));
    let ranges = "a".to_owned() + &"[1m:1m]".repeat(DEPTH_MAX + 10);
    assert!(message(&ranges).contains("parse error"));
    let long = "a".repeat(super::QUERY_BYTES_MAX + 1);
    assert!(message(&long).contains("the limit is"));
}

#[test]
fn experimental_parts_need_their_features() {
    for query in
        ["limitk(1, a)", "mad_over_time(a[5m])", "rate(a[5m] anchored)", "a + fill(0) b", "step()"]
    {
        assert!(parse(query, Features::default()).is_err(), "{query}");
        assert!(parse(query, Features::ALL).is_ok(), "{query}: {}", message(query));
    }
}

#[test]
fn selectors_alone() {
    assert_eq!(parse_selector("up{job=\"a\"}").unwrap().len(), 2);
    assert!(parse_selector("up + 1").is_err());
    assert!(parse_selector("{}").is_err());
}
