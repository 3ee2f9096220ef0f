//! Hours, days, weeks, months and years of a time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A unit of the calendar. A rule keeps one backup for each hour, each day, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Period {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week of ISO 8601, from Monday to Sunday.
    Week,
    /// A month.
    Month,
    /// A year.
    Year,
}

/// One hour, day, week, month or year. Later ones are greater. Two hours of the same name, when the clock goes back, differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeriodNumber(i32, i32, i64);

impl Period {
    /// All periods, the shortest first.
    pub const ALL: [Self; 5] = [Self::Hour, Self::Day, Self::Week, Self::Month, Self::Year];

    /// One word for people, options and JSON: `hourly`, `daily`, …
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hourly",
            Self::Day => "daily",
            Self::Week => "weekly",
            Self::Month => "monthly",
            Self::Year => "yearly",
        }
    }

    /// The period that contains this time.
    pub(super) fn number(self, time: Timestamp, zone: &TimeZone) -> PeriodNumber {
        let zoned = time.to_zoned(zone.clone());
        let year = i32::from(zoned.year());
        match self {
            Self::Hour => {
                let into_hour = i64::from(zoned.minute()) * 60 + i64::from(zoned.second());
                PeriodNumber(0, 0, time.as_second() - into_hour)
            }
            Self::Day => PeriodNumber(year, zoned.day_of_year().into(), 0),
            Self::Week => {
                let week = zoned.date().iso_week_date();
                PeriodNumber(week.year().into(), week.week().into(), 0)
            }
            Self::Month => PeriodNumber(year, zoned.month().into(), 0),
            Self::Year => PeriodNumber(year, 0, 0),
        }
    }

    /// The name of the period that contains this time: `2026-W48` for a week.
    pub(super) fn label(self, time: Timestamp, zone: &TimeZone) -> String {
        let zoned = time.to_zoned(zone.clone());
        let form = match self {
            Self::Hour => "%F %H:00",
            Self::Day => "%F",
            Self::Week => "%G-W%V",
            Self::Month => "%Y-%m",
            Self::Year => "%Y",
        };
        zoned.strftime(form).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_name_the_period() {
        let time: Timestamp = "2026-01-01T07:30:00Z".parse().unwrap();
        let labels = Period::ALL.map(|period| period.label(time, &TimeZone::UTC));
        assert_eq!(
            labels,
            [
                "2026-01-01 07:00",
                "2026-01-01",
                "2026-W01",
                "2026-01",
                "2026"
            ]
        );
    }

    #[test]
    fn week_at_turn_of_year_is_one_week() {
        let number = |text: &str| {
            let time: Timestamp = text.parse().unwrap();
            Period::Week.number(time, &TimeZone::UTC)
        };
        assert_eq!(
            number("2024-12-30T12:00:00Z"),
            number("2025-01-05T12:00:00Z")
        );
        assert!(number("2025-01-05T12:00:00Z") < number("2025-01-06T00:00:00Z"));
    }

    #[test]
    fn repeated_hour_when_clock_goes_back_is_two_periods() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let number = |text: &str| Period::Hour.number(text.parse().unwrap(), &zone);
        // 02:30 summer time, 02:30 winter time.
        assert!(number("2026-10-25T00:30:00Z") < number("2026-10-25T01:30:00Z"));
        assert_eq!(
            number("2026-10-25T00:30:00Z"),
            number("2026-10-25T00:59:59Z")
        );
    }
}
