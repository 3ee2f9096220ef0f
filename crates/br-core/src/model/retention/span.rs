//! Lengths of time in calendar units: `2y5m7d3h`.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

/// A length of time in years, months, days and hours.
///
/// Its text is a number and a unit, repeated: `y` years, `m` months, `w` weeks, `d` days, `h` hours. Weeks become seven days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeepSpan {
    years: u16,
    months: u16,
    days: u32,
    hours: u32,
}

/// A text that is not a [`KeepSpan`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a length of time such as 2y5m7d3h (years, months, weeks `w`, days, hours)")]
pub struct KeepSpanError(String);

impl KeepSpan {
    /// This number of days.
    #[must_use]
    pub const fn days(days: u32) -> Self {
        Self {
            years: 0,
            months: 0,
            days,
            hours: 0,
        }
    }

    /// The time that is this long before `end`. Years, months and days follow the calendar of the time zone: the 31st minus one month is
    /// the last day of a shorter month. A result before the earliest possible time is that time.
    #[must_use]
    pub fn before(&self, end: Timestamp, zone: &TimeZone) -> Timestamp {
        let span = Span::new()
            .try_years(self.years)
            .and_then(|span| span.try_months(self.months))
            .and_then(|span| span.try_days(self.days))
            .and_then(|span| span.try_hours(self.hours));
        let start = span.and_then(|span| end.to_zoned(zone.clone()).checked_sub(span));
        start.map_or(Timestamp::MIN, |start| start.timestamp())
    }

    /// True for a length of zero.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }
}

impl FromStr for KeepSpan {
    type Err = KeepSpanError;

    fn from_str(text: &str) -> Result<Self, KeepSpanError> {
        let wrong = || KeepSpanError(text.to_owned());
        let mut span = Self::default();
        let mut rest = text;
        let mut last = None;
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let number: u32 = rest[..digits].parse().map_err(|_| wrong())?;
            let unit = rest[digits..].chars().next().ok_or_else(wrong)?;
            rest = &rest[digits + unit.len_utf8()..];
            // In order of size, each once: `5m2m` is a mistake.
            let rank = "ymwdh".find(unit).ok_or_else(wrong)?;
            if last.is_some_and(|last| rank <= last) {
                return Err(wrong());
            }
            last = Some(rank);
            match unit {
                'y' => span.years = u16::try_from(number).map_err(|_| wrong())?,
                'm' => span.months = u16::try_from(number).map_err(|_| wrong())?,
                'w' => span.days = number.checked_mul(7).ok_or_else(wrong)?,
                'd' => span.days = span.days.checked_add(number).ok_or_else(wrong)?,
                _ => span.hours = number,
            }
        }
        match last {
            Some(_) => Ok(span),
            None => Err(wrong()),
        }
    }
}

impl fmt::Display for KeepSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (u32::from(self.years), 'y'),
            (u32::from(self.months), 'm'),
            (self.days, 'd'),
            (self.hours, 'h'),
        ];
        for (number, unit) in parts.iter().filter(|(number, _)| *number > 0) {
            write!(f, "{number}{unit}")?;
        }
        if self.is_zero() {
            f.write_str("0h")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_span_and_text_again() {
        for (text, shown) in [
            ("7d", "7d"),
            ("2y5m7d3h", "2y5m7d3h"),
            ("2w", "14d"),
            ("1w1d", "8d"),
            ("0h", "0h"),
            ("36h", "36h"),
        ] {
            assert_eq!(text.parse::<KeepSpan>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "7",
            "d",
            "7 d",
            "1d1y",
            "5m2m",
            "-1d",
            "1.5d",
            "7x",
            "99999y",
            "9999999999h",
        ] {
            assert!(wrong.parse::<KeepSpan>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn span_before_time_follows_the_calendar() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let before = |span: &str, end: &str| {
            let end: jiff::Zoned = end.parse().unwrap();
            let start = span
                .parse::<KeepSpan>()
                .unwrap()
                .before(end.timestamp(), &zone);
            start.to_zoned(zone.clone()).strftime("%F %R").to_string()
        };
        let end = "2024-03-31T12:00[Europe/Berlin]";
        assert_eq!(before("1m", end), "2024-02-29 12:00", "a leap year");
        assert_eq!(
            before("1y", "2024-02-29T01:00[Europe/Berlin]"),
            "2023-02-28 01:00"
        );
        // The clock went forward an hour in between: a day is 23 hours long.
        assert_eq!(before("1d", end), "2024-03-30 12:00");
        assert_eq!(before("24h", end), "2024-03-30 11:00");
        let far = "9999y".parse::<KeepSpan>().unwrap();
        assert!(far.before(Timestamp::UNIX_EPOCH, &zone) < Timestamp::UNIX_EPOCH);
        let beyond = "65535y".parse::<KeepSpan>().unwrap();
        assert_eq!(beyond.before(Timestamp::UNIX_EPOCH, &zone), Timestamp::MIN);
    }
}
