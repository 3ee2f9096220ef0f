//! Tables for users.

use super::format;

/// Spaces between columns.
const GAP: usize = 2;

/// A table without lines around its cells; its heading is in capitals.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<String>,
    /// Columns that are aligned to the right.
    right: Vec<usize>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates an empty table. The columns in `right` are aligned to the right.
    pub(crate) fn new(columns: &[&str], right: &[&str]) -> Self {
        let is_right = |at: &usize| right.contains(&columns[*at]);
        Self {
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            right: (0..columns.len()).filter(is_right).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Makes the table fit a terminal: shortens cells of these columns in order, each to at least its minimum width. If that is not
    /// enough, cuts whole lines.
    pub(crate) fn fit(&mut self, columns: usize, shrink: &[(&str, usize)]) {
        let widths: Vec<_> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let all = widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1);
        let mut excess = all.saturating_sub(columns);
        for (name, least) in shrink {
            let Some(at) = self.columns.iter().position(|column| column == name) else {
                continue;
            };
            let least = (*least).max(format::width(name));
            let less = excess.min(widths[at].saturating_sub(least));
            excess -= less;
            for row in &mut self.rows {
                row[at] = format::cut(&row[at], widths[at] - less);
            }
        }
    }

    fn width(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| format::width(&row[at]));
        cells
            .max()
            .unwrap_or(0)
            .max(format::width(&self.columns[at]))
    }

    /// The lines, heading first, without trailing spaces.
    pub(crate) fn lines(&self) -> Vec<String> {
        let widths: Vec<_> = (0..self.columns.len()).map(|at| self.width(at)).collect();
        let rows = std::iter::once(&self.columns).chain(&self.rows);
        rows.map(|cells| self.line(cells, &widths)).collect()
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let mut line = String::with_capacity(widths.iter().sum::<usize>() + GAP * widths.len());
        for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let padding = width - format::width(cell);
            let is_right = self.right.contains(&at);
            let before = if is_right { padding } else { 0 };
            line.extend(std::iter::repeat_n(' ', before));
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', padding - before + GAP));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let mut table = Table::new(&["NAME", "SIZE", "TYPE"], &["SIZE"]);
        table.row(vec!["long name".into(), "7 B".into(), "a".into()]);
        table.row(vec!["x".into(), "100 B".into(), "b".into()]);
        let expected = [
            "NAME        SIZE  TYPE",
            "long name    7 B  a",
            "x          100 B  b",
        ];
        assert_eq!(table.lines(), expected);
    }

    #[test]
    fn columns_are_shortened_in_order_to_minimum_width() {
        let lines = |width| {
            let mut table = Table::new(&["ID", "TAGS", "PATHS"], &[]);
            let (tags, paths) = ("nightly,weekly", "/home/anna/documents");
            table.row(vec!["7".into(), tags.into(), paths.into()]);
            table.fit(width, &[("PATHS", 10), ("TAGS", 6)]);
            table.lines()
        };
        assert_eq!(lines(80)[1], "7   nightly,weekly  /home/anna/documents");
        assert_eq!(lines(34)[1], "7   nightly,weekly  /hom…documents");
        assert_eq!(lines(26)[1], "7   nig…weekly  /ho…uments");
        assert_eq!(lines(5)[1], "7   n…ekly  /ho…uments");
    }
}
