//! A query that was read means the same after it was printed and read again.

use ::promql::{Features, parse, parse_selector, pretty};

pub fn target(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = parse(text, Features::default());
    if let Ok(matchers) = parse_selector(text) {
        assert!(!matchers.is_empty());
    }
    let Ok(expr) = parse(text, Features::ALL) else { return };
    let printed = expr.to_string();
    let again = parse(&printed, Features::ALL).expect("a printed query can be read");
    assert_eq!(again.to_string(), printed);
    let pretty = pretty(&expr);
    let again = parse(&pretty, Features::ALL).expect("a formatted query can be read");
    assert_eq!(again.to_string(), printed);
}
