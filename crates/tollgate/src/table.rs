//! Results for people: columns, and fields one below the other.

/// Rows under headings, columns as wide as their widest cell.
pub(crate) fn columns<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let heading = headings.map(str::to_owned);
    let rows: Vec<[String; N]> = std::iter::once(&heading).chain(rows).map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().filter_map(|row| row.get(column)).map(|c| width(c)).max().unwrap_or(0));
    let lines = rows.iter().map(|row| row.iter().zip(widths).map(|(cell, width)| padded(cell, width)).collect::<Vec<_>>().join("  "));
    lines.map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// One field per line, names in a column of their own.
pub(crate) fn fields(fields: &[(&str, String)]) -> String {
    let longest = fields.iter().map(|(name, _)| width(name)).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| format!("{}  {}", padded(name, longest), printable(value)).trim_end().to_owned();
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn padded(text: &str, to: usize) -> String {
    format!("{text}{}", " ".repeat(to.saturating_sub(width(text))))
}

/// What a node sends must not steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: [&str; 3]) -> [String; 3] {
        cells.map(str::to_owned)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let table = columns(["ID", "NAME", "X"], &[row(["1", "größer", "a"]), row(["22222", "b", ""])]);
        assert_eq!(table, "ID     NAME    X\n1      größer  a\n22222  b");
    }

    #[test]
    fn a_table_without_rows_has_its_headings() {
        assert_eq!(columns(["ID", "NAME", "X"], &[]), "ID  NAME  X");
    }

    #[test]
    fn fields_stand_below_each_other() {
        assert_eq!(fields(&[("key id", "tk_1".into()), ("owner", String::new())]), "key id  tk_1\nowner");
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let table = columns(["ID"], &[["a\u{1b}[31m\nb\t".to_owned()]]);
        assert_eq!(table, "ID\na\u{fffd}[31m\u{fffd}b\u{fffd}");
        assert_eq!(fields(&[("a", "\u{7}".into())]), "a  \u{fffd}");
    }
}
