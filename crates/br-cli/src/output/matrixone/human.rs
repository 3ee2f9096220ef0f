//! Sizes, durations and times in the format of the original tool, a Go program. `catalogue/values.rs` of br-matrixone parses them.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const TIME: &str = "%Y-%m-%d %H:%M:%S %z";

/// `586 kB`, `8.3 MB`: decimal, with one digit after the point below ten.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 10 {
        return format!("{bytes} B");
    }
    let mut unit = 0;
    let mut scale = 1_u64;
    while unit + 1 < UNITS.len() && bytes / scale >= 1000 {
        scale *= 1000;
        unit += 1;
    }
    // Round to tenths first and then to ones, like the original.
    let scale = u128::from(scale);
    let tenths = (u128::from(bytes) * 20 + scale) / (2 * scale);
    if tenths < 100 {
        return format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit]);
    }
    let (whole, tenth) = (tenths / 10, tenths % 10);
    let up = tenth > 5 || (tenth == 5 && whole % 2 == 1);
    format!("{} {}", whole + u128::from(up), UNITS[unit])
}

/// `1.700945333s`, `1m2.5s`, `549µs`.
pub(crate) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    for (unit, scale) in [("ns", 1), ("µs", 1_000), ("ms", 1_000_000)] {
        if nanos < scale * 1000 {
            return format!("{}{unit}", decimal(nanos, scale));
        }
    }
    let minutes = nanos / 60_000_000_000;
    let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000);
    let mut text = String::new();
    if minutes >= 60 {
        let _ = write!(text, "{}h", minutes / 60);
    }
    if minutes > 0 {
        let _ = write!(text, "{}m", minutes % 60);
    }
    text + &seconds + "s"
}

/// A fraction without trailing zeros.
fn decimal(number: u128, scale: u128) -> String {
    let digits = scale.to_string().len() - 1;
    let text = format!("{}.{:0digits$}", number / scale, number % scale);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `2024-05-13 12:00:12 +0800`, in the given time zone.
pub(crate) fn time(time: Timestamp, zone: &TimeZone) -> String {
    time.to_zoned(zone.clone()).strftime(TIME).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, text) in [
            (0, "0 B"),
            (9, "9 B"),
            (10, "10 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (586_012, "586 kB"),
            (586_500, "586 kB"),
            (587_500, "588 kB"),
            (8_300_000, "8.3 MB"),
            (9_949_999, "9.9 MB"),
            (9_950_000, "10 MB"),
            (65_000_000, "65 MB"),
            (999_950, "1000 kB"),
            (u64::MAX, "18 EB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn durations() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (549_000, "549µs"),
            (1_500_000, "1.5ms"),
            (999_999_999, "999.999999ms"),
            (1_700_945_333, "1.700945333s"),
            (62_500_000_000, "1m2.5s"),
            (3_600_000_000_000, "1h0m0s"),
            (5_280_000_000_001, "1h28m0.000000001s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }

    #[test]
    fn times() {
        let zone = TimeZone::fixed(jiff::tz::offset(8));
        let moment = "2024-05-13T04:00:12Z".parse().unwrap();
        assert_eq!(time(moment, &zone), "2024-05-13 12:00:12 +0800");
    }
}
