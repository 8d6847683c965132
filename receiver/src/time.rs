//! Times as people and Prometheus' clients write them.

/// Milliseconds since the Unix epoch of `1763712000`, `1763712000.5` or `2026-11-21T08:00:00Z` (RFC 3339, with an offset
/// and a fraction or without).
pub fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        // Larger ones are no times, but what stands for "no bound" in some clients; they count as the nearest.
        return seconds.is_finite().then_some((seconds * 1000.0).round() as i64);
    }
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let at = time.find(['Z', 'z', '+', '-'])?;
    let (time, offset) = time.split_at(at);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':')?;
    let offset_minutes = match offset.strip_prefix(['+', '-']) {
        None => (offset.len() == 1).then_some(0)?,
        Some(offset_size) => {
            let [hours, minutes] = numbers(offset_size, ':')?;
            let size = hours * 60 + minutes;
            if offset.starts_with('-') { -size } else { size }
        }
    };
    let in_range = (0..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0..=60).contains(&second)
        && fraction.bytes().all(|byte| byte.is_ascii_digit());
    if !in_range {
        return None;
    }
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    Some((minutes * 60 + second) * 1000 + ms)
}

fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(separator);
    for number in &mut numbers {
        let part = parts.next().filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

fn days_of_month(year: i64, month: i64) -> i64 {
    let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    days_since_epoch(next.0, next.1, 1) - days_since_epoch(year, month, 1)
}

/// Years begin in March here, so that the leap day is their last: 153 days every five months from March on.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_rfc_3339() {
        let check = |text: &str, expected: Option<i64>| assert_eq!(parse(text), expected, "{text}");
        check("0", Some(0));
        check("1763712000.5", Some(1_763_712_000_500));
        check("-1.25", Some(-1250));
        check("1e3", Some(1_000_000));
        check("9223372036854775807", Some(i64::MAX));
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-11-21T08:00:00Z", Some(1_795_248_000_000));
        check("2026-11-21T09:30:00.25+01:30", Some(1_795_248_000_250));
        check("2026-11-21t07:00:00.1239999-01:00", Some(1_795_248_000_123));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        check("1969-12-31T23:59:59Z", Some(-1000));
        check("0000-03-01T00:00:00Z", Some(-62_162_035_200_000));
        for wrong in [
            "",
            "noon",
            "NaN",
            "inf",
            "2026-11-21",
            "2026-11-21T08:00Z",
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-21T24:00:00Z",
            "2026-11-21T08:00:00",
            "2026-11-21T08:00:00Zx",
            "2026-11-21T08:00:00+1",
            "2026-11-21T08:00:00.x1Z",
            "+026-11-21T08:00:00Z",
        ] {
            check(wrong, None);
        }
    }
}
