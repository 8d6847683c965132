//! The calendar, in UTC, without leap seconds.

use std::fmt;

/// A moment taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    pub year: i64,
    /// 1 to 12.
    pub month: u32,
    /// 1 to 31.
    pub day: u32,
    /// 1 to 366.
    pub day_of_year: u32,
    /// 0 is Sunday.
    pub day_of_week: u32,
    pub hour: u32,
    pub minute: u32,
    pub second: u32,
}

const DAY_S: i64 = 86_400;

impl Civil {
    /// Takes seconds since the epoch apart. Works for every `i64`.
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(DAY_S);
        let of_day = seconds.rem_euclid(DAY_S);
        // Days are counted from 0000-03-01, so that the leap day is the last of its year, and in eras of 400 years.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        let before_march = month <= 2;
        let day_of_year = if before_march {
            of_year - 306 + 1
        } else {
            of_year + 59 + 1 + i64::from(is_leap(year))
        };
        let small =
            |value: i64| u32::try_from(value).expect("parts of a date are small and positive");
        Self {
            year,
            month: small(month),
            day: small(day),
            day_of_year: small(day_of_year),
            day_of_week: small((days + 4).rem_euclid(7)),
            hour: small(of_day / 3_600),
            minute: small(of_day / 60 % 60),
            second: small(of_day % 60),
        }
    }

    pub fn days_in_month(&self) -> u32 {
        match self.month {
            2 if is_leap(self.year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Milliseconds since the epoch as `2006-01-02T15:04:05Z`, cut to seconds.
pub struct Rfc3339(pub i64);

impl fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let civil = Civil::from_unix(self.0.div_euclid(1_000));
        let Civil { year, month, day, hour, minute, second, .. } = civil;
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (seconds, text, day_of_year, day_of_week) in [
            (0, "1970-01-01T00:00:00Z", 1, 4),
            (951_782_400, "2000-02-29T00:00:00Z", 60, 2),
            (951_868_799, "2000-02-29T23:59:59Z", 60, 2),
            (1_456_790_399, "2016-02-29T23:59:59Z", 60, 1),
            (1_483_228_799, "2016-12-31T23:59:59Z", 366, 6),
            (-1, "1969-12-31T23:59:59Z", 365, 3),
            (4_102_444_800, "2100-01-01T00:00:00Z", 1, 5),
        ] {
            assert_eq!(Rfc3339(seconds * 1_000).to_string(), text);
            let civil = Civil::from_unix(seconds);
            assert_eq!(
                (civil.day_of_year, civil.day_of_week),
                (day_of_year, day_of_week),
                "{text}"
            );
        }
        assert_eq!(Civil::from_unix(951_782_400).days_in_month(), 29);
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut before = Civil::from_unix(-400 * 366 * DAY_S);
        for day in -400 * 366 + 1..400 * 366 {
            let civil = Civil::from_unix(day * DAY_S);
            let next = if civil.day == 1 {
                before.day == before.days_in_month()
            } else {
                civil.day == before.day + 1
            };
            let of_year = if civil.day_of_year == 1 {
                civil.month == 1
            } else {
                civil.day_of_year == before.day_of_year + 1
            };
            assert!(next && of_year, "{before:?} then {civil:?}");
            before = civil;
        }
    }
}
