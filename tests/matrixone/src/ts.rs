//! MatrixOne's time stamps.
//!
//! [`Ts`] is a hybrid time stamp; [`utc`] and [`with_zone`] write its physical part as a date. Invariant: this module reads no clock; the
//! caller passes all times.

use std::fmt;
use std::str::FromStr;

/// A time stamp: nanoseconds since 1970 and a counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ts {
    /// Nanoseconds since 1970.
    pub physical: i64,
    /// A counter that distinguishes equal nanoseconds.
    pub logical: u32,
}

impl Ts {
    /// A time stamp from nanoseconds and a counter.
    #[must_use]
    pub const fn new(physical: i64, logical: u32) -> Self {
        Self { physical, logical }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn milliseconds(self) -> u64 {
        u64::try_from(self.physical / 1_000_000).unwrap_or(0)
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.physical.div_euclid(1_000_000_000)
    }
}

impl fmt::Display for Ts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.physical, self.logical)
    }
}

impl FromStr for Ts {
    /// The server's message when it panics on such a text.
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let parts: Vec<&str> = text.split('-').collect();
        let [physical, logical] = parts[..] else {
            return Err("format of ts must be physical-logical");
        };
        let physical = physical
            .parse()
            .map_err(|_| "format of ts must be physical-logical, physical is not an integer")?;
        let logical = Some(logical)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .ok_or("format of ts must be physical-logical, logical is not an uint32")?;
        Ok(Self { physical, logical })
    }
}

/// `2025-01-03 08:42:48`, in UTC.
#[must_use]
pub fn utc(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

/// `2025-01-03 16:42:48 +0800`, with the offset in hours east of UTC.
#[must_use]
pub fn with_zone(seconds: i64, hours: i64) -> String {
    format!("{} {hours:+03}00", utc(seconds + hours * 3600))
}

/// The date of a day since 1970 (the algorithm of Howard Hinnant).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00");
        assert_eq!(utc(951_782_400), "2000-02-29 00:00:00");
        assert_eq!(with_zone(1_735_893_768, 8), "2025-01-03 16:42:48 +0800");
    }

    #[test]
    fn only_two_numbers_are_a_time_stamp() {
        assert_eq!("12-3".parse(), Ok(Ts::new(12, 3)));
        assert_eq!(Ts::new(12, 3).to_string(), "12-3");
        for wrong in [
            "",
            "12",
            "12-3-4",
            "x-1",
            "1-x",
            "-1-2",
            "1-+2",
            "1-4294967296",
        ] {
            assert!(wrong.parse::<Ts>().is_err(), "{wrong}");
        }
    }
}
