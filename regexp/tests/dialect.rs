//! Holds the dialect to Go's. These rows pin what the two dialects read differently; when they were written, 60,000
//! random patterns on 24 inputs were compared with Go's own `regexp` package (1.19) and differed only where a pattern
//! is larger than we compile.

use regexp::Regexp;

/// Pattern, input, what the whole match must be (`None`: no match).
type Found = (&'static str, &'static [u8], Option<&'static [u8]>);

const FOUND: &[Found] = &[
    // ASCII classes, whatever the input.
    (r"\d+", "٣3".as_bytes(), Some(b"3")),
    (r"\w+", "éa_1é".as_bytes(), Some(b"a_1")),
    (r"\s", "\u{a0}\u{b}".as_bytes(), None),
    (r"[\s]", b"\x0b", None),
    (r"[[:space:]]", b"\x0b", Some(b"\x0b")),
    (r"\ba", "éa".as_bytes(), Some(b"a")),
    (r"\Ba", "éa".as_bytes(), None),
    (r"[^\d]", "٣".as_bytes(), Some("٣".as_bytes())),
    // Case folding is Unicode's, and comes before negation.
    (r"(?i)k", "\u{212a}".as_bytes(), Some("\u{212a}".as_bytes())),
    (r"(?i)\w", "ſ".as_bytes(), Some("ſ".as_bytes())),
    (r"(?i)\W", "ſ".as_bytes(), None),
    (r"(?i)[^k]", "\u{212a}".as_bytes(), None),
    (r"(?i)É", "é".as_bytes(), Some("é".as_bytes())),
    (r"(?i)a(?-i)b", b"AB Ab", Some(b"Ab")),
    (r"(?i:a)b", b"AB Ab", Some(b"Ab")),
    // Brackets: what Rust takes for set operations are characters.
    (r"[a&&b]+", b"x&a", Some(b"&a")),
    (r"[a~~b]+", b"~b", Some(b"~b")),
    (r"[+--]+", b",-+", Some(b",-+")),
    (r"[[a]+", b"b[a", Some(b"[a")),
    (r"[]a]+", b"b]a", Some(b"]a")),
    (r"[^]a]+", b"]b", Some(b"b")),
    (r"[a-]+", b"-a", Some(b"-a")),
    (r"[\d-z]+", b"a-z1", Some(b"-z1")),
    (r"[[:alpha]+", b"x:al[", Some(b":al[")),
    (r"[[:^digit:]x]+", b"1a2", Some(b"a")),
    (r"[^a]", b"\n", Some(b"\n")),
    (r"[\pN_]+", "½_a".as_bytes(), Some("½_".as_bytes())),
    (r"[\x{e9}\101]+", "éA".as_bytes(), Some("éA".as_bytes())),
    // Quoting and escapes.
    (r"\Q.*\E+", b"a.**", Some(b".**")),
    (r"\Qa.b", b"a.b", Some(b"a.b")),
    (r"\.\-\_\<", b".-_<", Some(b".-_<")),
    (r"\x41\x{42}\103\0", b"ABC\0", Some(b"ABC\0")),
    (r"a\z", b"a\n", None),
    (r"a$", b"a\n", None),
    (r"(?m)a$", b"a\n", Some(b"a")),
    (r"\pN\PN\p{Greek}\p{^Lu}", "1aΩb".as_bytes(), Some("1aΩb".as_bytes())),
    // Braces that repeat nothing.
    ("a{", b"a{", Some(b"a{")),
    ("{{x}}", b"{{x}}", Some(b"{{x}}")),
    ("a{,2}", b"a{,2}", Some(b"a{,2}")),
    ("a{01}", b"a{01}", Some(b"a{01}")),
    ("a{1,2}{", b"aa{", Some(b"aa{")),
    // Repetition.
    ("a{2}", b"aaa", Some(b"aa")),
    ("a{2,}?", b"aaa", Some(b"aa")),
    ("(?U)a+", b"aaa", Some(b"a")),
    ("(?U)a+?", b"aaa", Some(b"aaa")),
    ("a(?i)*", b"aaA", Some(b"aa")),
    ("a*(?i)?", b"aa", Some(b"aa")),
    ("^*a", b"ba", Some(b"a")),
    ("(|a)*", b"aa", Some(b"")),
    ("(?:(?:a{10}){10}){10}", b"a", None),
    ("(?:a{1000}){0}b", b"b", Some(b"b")),
    ("(a+)(b+)?", b"xaab", Some(b"aab")),
    // Dots and newlines.
    ("a.b", b"a\nb", None),
    ("(?s)a.b", b"a\nb", Some(b"a\nb")),
    ("(?s:a.)b.", b"a\nb\n", None),
    // Bytes that are no characters.
    ("a.b", b"a\xffb", Some(b"a\xffb")),
    ("^..$", b"\xe2\x82", Some(b"\xe2\x82")),
    ("[^a]b", b"\xffb", Some(b"\xffb")),
    (r"\x{fffd}", b"a\xff", Some(b"\xff")),
    ("é", "\u{e9}\u{fffd}".as_bytes(), Some("é".as_bytes())),
];

/// Pattern and Go's complaint.
const REFUSED: &[(&str, &str)] = &[
    (r"\C", r"invalid escape sequence: `\C`"),
    (r"\Z", r"invalid escape sequence: `\Z`"),
    (r"\1", r"invalid escape sequence: `\1`"),
    (r"\8", r"invalid escape sequence: `\8`"),
    (r"\é", r"invalid escape sequence: `\é`"),
    (r"[\b]", r"invalid escape sequence: `\b`"),
    (r"[a-\d]", r"invalid escape sequence: `\d`"),
    (r"\x4", r"invalid escape sequence: `\x4`"),
    ("a\\", "trailing backslash at end of expression: ``"),
    (r"\pX", r"invalid character class range: `\pX`"),
    (r"\p{", r"invalid character class range: `\p{`"),
    (r"\p{sc=Greek}", r"invalid character class range: `\p{sc=Greek}`"),
    ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
    ("[z-a]", "invalid character class range: `z-a`"),
    ("[a--c]", "invalid character class range: `a--`"),
    ("[", "missing closing ]: `[`"),
    ("x[]a", "missing closing ]: `[]a`"),
    ("(a", "missing closing ): `(a`"),
    ("a)", "unexpected ): `a)`"),
    ("*a", "missing argument to repetition operator: `*`"),
    ("a|+", "missing argument to repetition operator: `+`"),
    ("(?i)?", "missing argument to repetition operator: `?`"),
    ("a**", "invalid nested repetition operator: `**`"),
    ("a*{2}", "invalid nested repetition operator: `*{2}`"),
    ("a{2}{3}", "invalid nested repetition operator: `{2}{3}`"),
    ("a???", "invalid nested repetition operator: `???`"),
    ("a{1001}", "invalid repeat count: `{1001}`"),
    ("a{2,1}", "invalid repeat count: `{2,1}`"),
    ("a{99999999999}", "invalid repeat count: `{99999999999}`"),
    ("(a{100}){11}", "invalid repeat count: `{11}`"),
    ("((a{100})b){11,}", "invalid repeat count: `{11,}`"),
    ("(?x)a", "invalid or unsupported Perl syntax: `(?x`"),
    ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
    ("(?-)", "invalid or unsupported Perl syntax: `(?-)`"),
    ("(?P<n", "invalid named capture: `(?P<n`"),
    ("(?P<n.>a)", "invalid named capture: `(?P<n.>`"),
    ("(?P<n>a)(?P<n>b)", "duplicate capture group name: `n`"),
];

#[test]
fn matches_are_those_of_go() {
    for (pattern, input, expected) in FOUND {
        let regexp = Regexp::new(pattern).unwrap_or_else(|err| panic!("{err}"));
        let found = regexp.captures(input).and_then(|captures| captures.get(0));
        assert_eq!(found, *expected, "{pattern} on {}", String::from_utf8_lossy(input));
        assert_eq!(regexp.is_match(input), expected.is_some(), "{pattern}");
        assert_eq!(regexp.as_str(), *pattern);
    }
}

#[test]
fn what_go_refuses_is_refused_in_its_words() {
    for (pattern, reason) in REFUSED {
        let err = Regexp::new(pattern).err().unwrap_or_else(|| panic!("{pattern} is accepted"));
        assert_eq!(err.reason, *reason, "{pattern}");
        assert_eq!(err.to_string(), format!("invalid regular expression `{pattern}`: {reason}"));
        assert!(Regexp::anchored(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn anchored_patterns_match_the_whole_input() {
    for (pattern, input, expected) in [
        ("a|b", "b", true),
        ("a|b", "ab", false),
        ("a.*", "a\nb", true),
        ("(?-s)a.*", "a\nb", false),
        ("a$", "a", true),
        ("(?m)a$", "a\nb", false),
        ("", "", true),
        ("", "a", false),
        ("(?i)prod", "PROD", true),
    ] {
        assert_eq!(
            Regexp::anchored(pattern).unwrap().is_match(input.as_bytes()),
            expected,
            "{pattern} on {input}"
        );
    }
    // Parentheses cannot be used to get out of the anchors.
    assert!(Regexp::anchored("a)|(b").is_err());
}

#[test]
fn templates_expand_as_in_go() {
    let regexp = Regexp::new(r"(\w+)-(?P<port>\d+)(x)?").unwrap();
    for (template, expected) in [
        ("$1", "db"),
        ("${1}x", "dbx"),
        ("$1x", ""),
        ("$port/${port}", "5432/5432"),
        ("$2$1", "5432db"),
        ("$3|$9|$none", "||"),
        ("$$1 $", "$1 $"),
        ("${1", "${1"),
        ("$-", "$-"),
        ("${}", "${}"),
        ("$01", ""),
        ("$0", "db-5432"),
        ("$1é", ""),
        ("$99999999999", ""),
        ("plain", "plain"),
    ] {
        let captures = regexp.captures(b"host db-5432!").unwrap();
        assert_eq!(String::from_utf8(captures.expand(template)).unwrap(), expected, "{template}");
    }
    let captures = regexp.captures(b"db-5432").unwrap();
    assert_eq!(captures.name("port"), Some(&b"5432"[..]));
    assert_eq!(captures.name("host"), None);
    assert_eq!(captures.range(2), Some(3..7));
    assert_eq!((captures.get(3), captures.get(4)), (None, None));
}

#[test]
fn every_match_is_replaced() {
    for (pattern, input, template, expected) in [
        ("a+", "baac", "<$0>", "b<aa>c"),
        ("(b)", "abab", "$1$1", "abbabb"),
        ("x*", "ab", "-", "-a-b-"),
        ("", "é", "-", "-é-"),
        ("z", "ab", "-", "ab"),
    ] {
        let replaced = Regexp::new(pattern).unwrap().replace_all(input.as_bytes(), template);
        assert_eq!(String::from_utf8(replaced).unwrap(), expected, "{pattern} on {input}");
    }
    assert_eq!(Regexp::new("b").unwrap().replace_all(b"\xffb\xfe", "c"), b"\xffc\xfe");
}

#[test]
fn hostile_patterns_are_refused_or_bounded() {
    let deep = |levels: usize| "(".repeat(levels) + "a" + &")".repeat(levels);
    assert!(Regexp::new(&deep(250)).is_ok());
    assert!(Regexp::new(&deep(251)).unwrap_err().reason.starts_with("expression nests too deeply"));
    assert!(Regexp::new(&"(?:".repeat(100_000)).is_err());
    assert_eq!(Regexp::new(r"(\pL{100}\pN){9}").unwrap_err().reason, "expression too large");
    // No backtracking: exponential elsewhere, a moment here.
    let nested = Regexp::new("^(a+)+$").unwrap();
    assert!(!nested.is_match(&[&[b'a'; 50_000][..], b"!"].concat()));
}
