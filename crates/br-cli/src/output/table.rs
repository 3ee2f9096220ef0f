//! Tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table as Grid, TableStyle};

/// A table without lines around its cells; its heading is in capitals.
#[derive(Debug)]
pub(crate) struct Table(Grid);

impl Table {
    /// An empty table. Columns named in `right` are for numbers.
    pub(crate) fn new(columns: &[&str], right: &[&str]) -> Self {
        let mut grid = Grid::new();
        grid.load_style(TableStyle::new())
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(columns);
        for (at, column) in columns.iter().enumerate() {
            if let Some(cells) = grid.column_mut(at) {
                let last = at + 1 == columns.len();
                cells.set_padding((0, if last { 0 } else { 2 }));
                if right.contains(column) {
                    cells.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        Self(grid)
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.0.add_row(cells);
    }

    /// The lines, heading first, without spaces at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_on_the_right() {
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
}
