//! Text tables: left-aligned columns separated by two spaces, without trailing spaces; bold titles and green `ok` in
//! colour.

/// Whether output is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Not coloured: not a terminal, or not wanted.
    Plain,
    /// Coloured, for a terminal.
    Colour,
}

impl Style {
    /// Formats a section's title.
    pub(super) fn title(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Colour => format!("\x1b[1m{text}\x1b[0m"),
        }
    }

    /// Colours a leading `ok` of each row.
    pub(super) fn answers(self, rows: String) -> String {
        match self {
            Self::Plain => rows,
            Self::Colour => {
                let row = |row: &str| match row.strip_prefix("  ok") {
                    Some(rest) => format!("  \x1b[32mok\x1b[0m{rest}"),
                    None => row.to_owned(),
                };
                rows.split_inclusive('\n').map(row).collect()
            }
        }
    }
}

/// Formats rows as lines of aligned columns, each indented by two spaces.
pub(super) fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut out = String::new();
    for row in rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell}{}", " ".repeat(width.saturating_sub(cell.chars().count()))))
            .collect();
        out.push_str("  ");
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colour_changes_no_column() {
        let rows = "  ok, version 1  a\n                 ok\n".to_owned();
        assert_eq!(Style::Plain.answers(rows.clone()), rows);
        let coloured = Style::Colour.answers(rows.clone());
        assert_eq!(coloured.replace("\x1b[32m", "").replace("\x1b[0m", ""), rows);
        assert!(coloured.starts_with("  \x1b[32mok\x1b[0m, version 1"), "{coloured:?}");
        assert_eq!(Style::Colour.title("Reads"), "\x1b[1mReads\x1b[0m");
    }

    #[test]
    fn columns_line_up_without_trailing_blanks() {
        let rows = [vec!["a".into(), "bb".into()], vec!["ccc".into(), "é".into(), "x".into()], vec!["d".into()]];
        assert_eq!(aligned(&rows), "  a    bb\n  ccc  é   x\n  d\n");
    }
}
