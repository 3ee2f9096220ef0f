//! The list of backups as a table, identical to the original tool's table, because programs read it.

use br_matrixone::catalogue::{CatalogueEntry, State};
use jiff::tz::TimeZone;

use super::human;

/// Width at which the original wraps a cell, in terminal columns, unless a word is longer.
const WRAP: usize = 30;

/// How a table is drawn.
#[derive(Debug, Clone)]
pub(crate) struct TableOptions {
    /// The time zone of the times.
    pub(crate) zone: TimeZone,
    /// Whether to show `BACKUPTS` and `BACKUPTYPE`. The original shows them in its list of all backups, but not of one.
    pub(crate) with_type: bool,
    /// Whether to add a last column, which the original does not have, with the size that a backup stores itself.
    pub(crate) with_stored: bool,
}

/// The lines of a cell.
type Cell = Vec<String>;

/// Draws a table, with a line break at the end.
pub(crate) fn table(entries: &[CatalogueEntry], options: &TableOptions) -> String {
    let mut header = vec!["ID", "SIZE", "PATH", "AT TIME", "DURATION", "COMPLETE TIME"];
    if options.with_type {
        header.extend(["BACKUPTS", "BACKUPTYPE"]);
    }
    if options.with_stored {
        header.push("STORED");
    }
    let header: Vec<Cell> = header.iter().map(|title| vec![title.to_string()]).collect();
    let rows: Vec<Vec<Cell>> = entries.iter().map(|entry| row(entry, options)).collect();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = std::iter::once(&header).chain(&rows);
            let lines = cells.flat_map(|row| &row[column]);
            let width = lines.map(|line| width(line)).max().unwrap_or_default();
            // The original widens a column to the full width as soon as a cell in it is wrapped.
            let wrapped = rows.iter().any(|row| row[column].len() > 1);
            if wrapped { width.max(WRAP) } else { width }
        })
        .collect();

    let mut text = String::new();
    draw_border(&widths, &mut text);
    draw_row(&header, &widths, &mut text);
    draw_border(&widths, &mut text);
    for row in &rows {
        draw_row(row, &widths, &mut text);
    }
    draw_border(&widths, &mut text);
    text
}

fn row(entry: &CatalogueEntry, options: &TableOptions) -> Vec<Cell> {
    let size = |bytes: Option<u64>| bytes.map_or_else(unknown, human::size);
    let ended = match (entry.state, entry.complete_time) {
        (State::Complete, Some(time)) => human::time(time, &options.zone),
        (State::Complete, None) => unknown(),
        (state, _) => state.to_string(),
    };
    let mut cells = vec![
        vec![entry.id.to_string()],
        vec![size(entry.logical_size)],
        wrap(&printable(&entry.place.to_string())),
        vec![human::time(entry.at_time, &options.zone)],
        vec![entry.duration.map_or_else(unknown, human::duration)],
        vec![ended],
    ];
    if options.with_type {
        let ts = entry.backup_ts.map_or_else(unknown, |ts| ts.to_string());
        cells.extend([vec![ts], vec![entry.kind.to_string()]]);
    }
    if options.with_stored {
        cells.push(vec![size(entry.stored_size)]);
    }
    cells
}

fn unknown() -> String {
    "-".to_owned()
}

fn draw_border(widths: &[usize], text: &mut String) {
    for width in widths {
        text.push('+');
        text.push_str(&"-".repeat(width + 2));
    }
    text.push_str("+\n");
}

fn draw_row(cells: &[Cell], widths: &[usize], text: &mut String) {
    let lines = cells.iter().map(Vec::len).max().unwrap_or_default();
    for line in 0..lines {
        for (cell, &column) in cells.iter().zip(widths) {
            let content = cell.get(line).map_or("", String::as_str);
            let gap = column.saturating_sub(width(content));
            let left = gap / 2;
            text.push_str("| ");
            text.push_str(&" ".repeat(left));
            text.push_str(content);
            text.push_str(&" ".repeat(gap - left));
            text.push(' ');
        }
        text.push_str("|\n");
    }
}

/// Wraps a text at spaces so that its lines are as even as possible: it minimises the sum of the squares of the free columns in
/// all lines but the last. The library of the original makes the same choice.
fn wrap(text: &str) -> Cell {
    const TOO_LONG: usize = 100_000;
    let words: Vec<&str> = text.split(' ').collect();
    let widths: Vec<usize> = words.iter().map(|word| width(word)).collect();
    let limit = widths.iter().copied().max().unwrap_or_default().max(WRAP);
    let count = words.len();
    // For every word: the cost of starting a line with it, and where the next line then starts.
    let mut best = vec![(usize::MAX, count); count + 1];
    best[count] = (0, count);
    for from in (0..count).rev() {
        let mut length = 0;
        for next in from + 1..=count {
            length += widths[next - 1] + usize::from(next > from + 1);
            let free = limit.abs_diff(length);
            let cost = match (next == count, length <= limit) {
                (true, true) => 0,
                (false, true) => free * free + best[next].0,
                (_, false) => free * free + best[next].0 + TOO_LONG,
            };
            // For equal costs the last line wins, otherwise the first that was found.
            if cost < best[from].0 || (next == count && cost == 0) {
                best[from] = (cost, next);
            }
        }
    }
    let mut lines = Vec::new();
    let mut from = 0;
    while from < count {
        let next = best[from].1;
        lines.push(words[from..next].join(" "));
        from = next;
    }
    lines
}

/// Escapes a location so that it cannot move the cursor or change colours.
fn printable(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    text.chars().map(shown).collect()
}

/// The number of terminal columns that a text uses.
fn width(text: &str) -> usize {
    text.chars()
        .map(|c| match u32::from(c) {
            0x1100..=0x115f
            | 0x2e80..=0xa4cf
            | 0xac00..=0xd7a3
            | 0xf900..=0xfaff
            | 0xfe30..=0xfe6f
            | 0xff00..=0xff60
            | 0xffe0..=0xffe6
            | 0x2_0000..=0x3_fffd => 2,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests;
