//! Sizes, durations and times in the fields of `mo_br.meta`, which the original tool, a Go program, writes.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::strtime;

const UNITS: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
const TIME: &str = "%Y-%m-%d %H:%M:%S %z";

/// Parses `586 kB` as 586000, and `586000` unchanged.
pub(super) fn parse_size(text: &str) -> Option<u64> {
    if let Ok(bytes) = text.parse() {
        return Some(bytes);
    }
    let (number, unit) = text.split_once(' ')?;
    let power = UNITS.iter().position(|known| *known == unit)?;
    let scale = 1000_u64.checked_pow(u32::try_from(power).ok()?)?;
    let (whole, tenths) = number.split_once('.').unwrap_or((number, "0"));
    if tenths.len() != 1 {
        return None;
    }
    let tenths = tenths.parse::<u64>().ok()?.checked_mul(scale)? / 10;
    whole
        .parse::<u64>()
        .ok()?
        .checked_mul(scale)?
        .checked_add(tenths)
}

/// Parses `1.700945333s`, `1m2.5s`, `549µs`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut nanos = 0_u128;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, after) = rest.split_at(number);
        let end = after
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(after.len());
        let scale: u128 = match &after[..end] {
            "ns" => 1,
            "µs" | "μs" | "us" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
        nanos += u128::from(whole.parse::<u32>().ok()?) * scale;
        if !fraction.is_empty() {
            let power = 10_u128.pow(u32::try_from(fraction.len()).ok().filter(|len| *len < 10)?);
            nanos += u128::from(fraction.parse::<u32>().ok()?) * scale / power;
        }
        rest = &after[end..];
    }
    let nanos = u64::try_from(nanos).ok()?;
    (!text.is_empty()).then(|| Duration::from_nanos(nanos))
}

/// Parses `2024-05-13 12:00:12 +0800`.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    strtime::parse(TIME, text).ok()?.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("8.3 MB"), Some(8_300_000));
        assert_eq!(parse_size("586 kB"), Some(586_000));
        assert_eq!(parse_size("12345678"), Some(12_345_678));
        for bad in ["", "8.3", "8.33 MB", "8 MiB", "99999 EB", "-1 kB", ". kB"] {
            assert_eq!(parse_size(bad), None, "{bad}");
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
            let value = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(text), Some(value), "{text}");
        }
        for bad in [
            "",
            "1",
            "s",
            "1x",
            "1.1.1s",
            "1s ",
            "full",
            "99999999999s",
            "0.1234567890s",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn times() {
        let parsed = parse_time("2024-05-13 12:00:12 +0800").unwrap();
        assert_eq!(parsed.to_string(), "2024-05-13T04:00:12Z");
        assert_eq!(parse_time("2024-05-13"), None);
    }
}
