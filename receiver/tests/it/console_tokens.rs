//! Contrast of the console's colours (WCAG 2.2, 1.4.3 and 1.4.11), for both themes, read from `tokens.css`.

use std::{collections::BTreeMap, fs, path::Path};

/// What must be readable on what, and the least ratio: text 4.5, parts of the interface and charts 3.
const PAIRS: &[(&str, &str, f64)] = &[
    ("text", "page", 4.5),
    ("text", "surface", 4.5),
    ("text", "sunken", 4.5),
    ("text-2", "page", 4.5),
    ("text-2", "surface", 4.5),
    ("text-2", "sunken", 4.5),
    ("text-3", "page", 4.5),
    ("text-3", "surface", 4.5),
    ("accent", "surface", 4.5),
    ("accent", "page", 4.5),
    ("accent", "accent-tint", 4.5),
    ("on-accent", "accent", 4.5),
    ("up", "surface", 4.5),
    ("warn", "surface", 4.5),
    ("crit", "surface", 4.5),
    ("muted", "surface", 4.5),
    ("up", "up-tint", 4.5),
    ("warn", "warn-tint", 4.5),
    ("crit", "crit-tint", 4.5),
    ("up-fill", "surface", 3.0),
    ("warn-fill", "surface", 3.0),
    ("crit-fill", "surface", 3.0),
    ("pend-fill", "surface", 3.0),
    ("border-strong", "surface", 3.0),
    ("s1", "surface", 3.0),
    ("s2", "surface", 3.0),
    ("s3", "surface", 3.0),
    ("s4", "surface", 3.0),
    ("s5", "surface", 3.0),
    ("s6", "surface", 3.0),
];

#[test]
fn colours_have_contrast() {
    let css = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("console/tokens.css"))
        .unwrap();
    let (light, dark) = css.split_once("[data-theme=\"dark\"]").unwrap();
    let (light, dark) = (colours(light), colours(dark));
    assert_eq!(
        light.keys().collect::<Vec<_>>(),
        dark.keys().collect::<Vec<_>>(),
        "both themes have all colours"
    );
    for (theme, colours) in [("light", light), ("dark", dark)] {
        for (fore, back, least) in PAIRS {
            let ratio = contrast(colours[*fore], colours[*back]);
            assert!(
                ratio >= *least,
                "{theme}: {fore} on {back} is {ratio:.2}, at least {least} is needed"
            );
        }
    }
}

fn colours(css: &str) -> BTreeMap<String, [u8; 3]> {
    let declarations = css.split("--").skip(1).filter_map(|rest| rest.split_once(':'));
    declarations
        .filter_map(|(name, rest)| {
            let digits = rest.trim_start().strip_prefix('#')?.get(..6)?;
            let value = u32::from_str_radix(digits, 16).ok()?;
            let [_, red, green, blue] = value.to_be_bytes();
            Some((name.trim().to_owned(), [red, green, blue]))
        })
        .collect()
}

/// <https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>
fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}

/// <https://www.w3.org/TR/WCAG22/#dfn-relative-luminance>
fn luminance(colour: [u8; 3]) -> f64 {
    let linear = colour.map(|part| {
        let part = f64::from(part) / 255.0;
        if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
    });
    0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
}

#[test]
fn the_arithmetic_is_right() {
    assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
    assert!((contrast([0x76; 3], [255; 3]) - 4.54).abs() < 0.01);
}
