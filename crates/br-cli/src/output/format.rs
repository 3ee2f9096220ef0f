//! Formats and parses values: sizes, durations, times, fractions, modes.
//!
//! Invariant: the output never contains control characters, whatever data is in a repository.

use std::borrow::Cow;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use br_core::model::{Entry, EntryKind, FileTime, escape, is_hidden};
use br_core::source::Exclusion;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::UnicodeWidthStr as _;

const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

/// A number of bytes: `999 B`, `1.2 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64;
    let mut unit = 0;
    // A value that would round to 1024 is shown in the next unit.
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(value < 99.95);
    format!("{value:.digits$} {}", UNITS[unit])
}

/// A number with separators: `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun: `1 file`, `2,000 files`.
pub(crate) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A duration: `0.4 s`, `12 s`, `1m 30s`, `2h 05m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let seconds = seconds.round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// A duration and, if it is long enough, the speed.
pub(crate) fn speed(bytes: u64, seconds: f64) -> String {
    let text = duration(Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let rate = (bytes as f64 / seconds.max(0.001)) as u64;
    if bytes < 1 << 20 {
        text
    } else {
        format!("{text}, {}/s", size(rate))
    }
}

/// A short time: `12.3 ms`.
pub(crate) fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

/// A transfer rate: `85.3 MiB/s`.
pub(crate) fn mebibytes(per_second: f64) -> String {
    format!("{:.1} MiB/s", per_second / f64::from(1 << 20))
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An error and its causes on one line.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut next = error.source();
    while let Some(cause) = next {
        texts.push(cause.to_string());
        next = cause.source();
    }
    // The error of a storage is the cause of an error with the same text.
    texts.dedup();
    texts.join(": ")
}

/// Seconds for JSON, to the millisecond.
pub(crate) fn round_seconds(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The time between two moments; zero when the clock went back.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// A moment in local time: `2026-02-28 09:05:00`.
pub(crate) fn local_time(time: Timestamp) -> String {
    time.to_zoned(TimeZone::system())
        .strftime("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// A file's time; `None` if it is outside the calendar.
fn moment(time: FileTime) -> Option<Timestamp> {
    Timestamp::new(time.secs, i32::try_from(time.nanos).ok()?).ok()
}

/// A file's time in local time, or its seconds if it is outside the calendar.
pub(crate) fn file_time(time: FileTime) -> String {
    moment(time).map_or_else(|| format!("@{}", time.secs), local_time)
}

/// A file's time in RFC 3339 with nanoseconds, in UTC; `@seconds.nanoseconds` if it is outside the calendar.
pub(crate) fn file_time_exact(time: FileTime) -> String {
    let beyond = || format!("@{}.{:09}", time.secs, time.nanos);
    moment(time).map_or_else(beyond, |moment| format!("{moment:.9}"))
}

/// The compression ratio: `2.4:1`; `None` if the data did not become smaller.
pub(crate) fn ratio(before: u64, after: u64) -> Option<String> {
    (after > 0 && before >= after).then(|| format!("{:.1}:1", before as f64 / after as f64))
}

/// Text from a repository, without control characters.
pub(crate) fn text(text: &str) -> String {
    escape(text.as_bytes())
}

/// Text with invisible characters, and characters that move others, as `\xHH`. Line breaks stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_bad = |c: char| is_hidden(c) && c != '\n';
    if !text.contains(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_bad(c) {
            out.push_str(&escape(c.encode_utf8(&mut [0; 4]).as_bytes()));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Why an entry was excluded from a backup.
pub(crate) fn exclusion(reason: &Exclusion) -> String {
    match reason {
        Exclusion::Pattern(pattern) => format!("pattern `{pattern}`"),
        Exclusion::IgnoreFile { pattern, folder } => {
            format!("pattern `{pattern}` of the ignore file in {folder}")
        }
        Exclusion::OwnFolder => "br keeps its own data there".to_owned(),
        Exclusion::Cache => "its contents, because it is marked as a cache".to_owned(),
        Exclusion::Marked(name) => format!("its contents, because it has {}", text(name)),
        Exclusion::TooLarge { size: len } => format!("it has {}", size(*len)),
        Exclusion::OtherFileSystem => {
            "its contents, because another file system is mounted there".to_owned()
        }
        _ => "the source left it out".to_owned(),
    }
}

/// A local path.
pub(crate) fn path(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

/// Several paths in one table cell: at most 20, because a backup of a list may have very many.
pub(crate) fn paths(paths: &[Vec<u8>]) -> String {
    const MOST: usize = 20;
    let shown: Vec<_> = paths.iter().take(MOST).map(|path| escape(path)).collect();
    let shown = shown.join(",");
    match paths.len().saturating_sub(MOST) {
        0 => shown,
        more => format!("{shown} and {} more", count(more as u64)),
    }
}

/// The number of terminal columns that a text uses.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// Shortens text to this number of columns. It cuts the middle, because names differ at their ends.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let room = columns.saturating_sub(1);
    let fits = |chars: &mut dyn Iterator<Item = char>, room: usize| {
        let mut used = 0;
        chars
            .take_while(|c| {
                used += width(c.encode_utf8(&mut [0; 4]));
                used <= room
            })
            .collect::<String>()
    };
    // The end of a path is more specific than its start.
    let start = fits(&mut text.chars(), room / 3);
    let end = fits(&mut text.chars().rev(), room - width(&start));
    let end: String = end.chars().rev().collect();
    format!("{start}…{end}")
}

/// The ten characters at the start of a line of `ls -l`.
pub(crate) fn mode(entry: &Entry) -> String {
    let kind = match entry.kind {
        EntryKind::File(_) => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink(_) => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice(_) => 'c',
        EntryKind::BlockDevice(_) => 'b',
        _ => '?',
    };
    let mut out = String::from(kind);
    for (shift, special, with, without) in [
        (6, 0o4000, 's', 'S'),
        (3, 0o2000, 's', 'S'),
        (0, 0o1000, 't', 'T'),
    ] {
        let bits = entry.mode >> shift;
        out.push(if bits & 4 == 0 { '-' } else { 'r' });
        out.push(if bits & 2 == 0 { '-' } else { 'w' });
        out.push(match (bits & 1 != 0, entry.mode & special != 0) {
            (true, true) => with,
            (false, true) => without,
            (true, false) => 'x',
            (false, false) => '-',
        });
    }
    out
}

/// Parses a size: `512MiB`, `10 GB`, `1.5g`, `4096`. Units are powers of 1,024 unless they end in `B` without an `i`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size: write for example 512MiB or 10GiB");
    let (number, unit) = split_unit(text);
    let number: f64 = number.parse().map_err(|_| wrong())?;
    let unit = unit.to_ascii_lowercase();
    let (letter, rest) = unit.split_at(unit.len().min(1));
    let base: f64 = match rest {
        "" | "i" | "ib" => 1024.0,
        "b" => 1000.0,
        _ => return Err(wrong()),
    };
    let power = match letter {
        "" => 0,
        "b" if rest.is_empty() => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(wrong()),
    };
    let bytes = number * base.powi(power);
    if !(0.0..=u64::MAX as f64).contains(&bytes) {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Parses a percentage, `5%`, as a fraction between 0 and 1.
pub(crate) fn parse_percent(text: &str) -> Result<f64, String> {
    let wrong =
        || format!("`{text}` is not a percentage: write for example 5%; the range is 0% to 100%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
    let percent: f64 = number.parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&percent) {
        Ok(percent / 100.0)
    } else {
        Err(wrong())
    }
}

/// Parses a duration: `90s`, `30m`, `24h`, `7d`, or `0`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration: write for example 30m, 24h or 7d");
    let (number, unit) = split_unit(text);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let seconds = match unit {
        "" if number == 0 => 0,
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return Err(wrong()),
    };
    number
        .checked_mul(seconds)
        .map(Duration::from_secs)
        .ok_or_else(wrong)
}

/// Parses an age: `30min`, `24h`, `30d`, `4w`, `1y`, or `0`. `m` is refused, because other options take it as months.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let days = match unit {
        "m" => {
            return Err(format!(
                "`{text}` may mean minutes or months: write for example 30min or 30d"
            ));
        }
        "w" => 7,
        "y" => 365,
        _ => return parse_duration(text),
    };
    parse_duration(&format!("{number}d"))?
        .checked_mul(days)
        .ok_or_else(|| format!("`{text}` is too long"))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
