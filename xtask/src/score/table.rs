//! The table, aligned or as Markdown.

/// Each group of columns with its name and its columns' names.
const GROUPS: &[(&str, &[&str])] = &[
    ("", &["log", "logging"]),
    ("attackers banned", &["of", "told", "ours", "f2b", "guide"]),
    ("legit banned", &["ours", "f2b", "guide"]),
    ("injected banned", &["ours", "f2b", "guide"]),
    ("lines named right", &["of", "ours", "f2b", "guide"]),
    ("named wrong", &["ours", "f2b", "guide"]),
];

/// How many columns hold text, which stands to the left; the others hold numbers.
const TEXT_COLUMNS: usize = 2;

/// The rows under their heads.
pub(crate) fn table(rows: &[Vec<String>], markdown: bool) -> String {
    let names = GROUPS.iter().flat_map(|(_, columns)| *columns);
    let head: Vec<String> = names.map(|name| (*name).to_owned()).collect();
    let rows: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    if markdown { as_markdown(&rows) } else { aligned(&rows) }
}

fn as_markdown(rows: &[&Vec<String>]) -> String {
    let groups = GROUPS
        .iter()
        .map(|(name, columns)| format!("{name} |{}", " |".repeat(columns.len() - 1)));
    let rules = GROUPS.iter().enumerate().map(|(group, (_, columns))| {
        let rule = if group == 0 { "---|" } else { "--:|" };
        rule.repeat(columns.len())
    });
    let mut lines = vec![
        format!("| {}", groups.collect::<Vec<_>>().join(" ")),
        format!("|{}", rules.collect::<String>()),
    ];
    lines.extend(rows.iter().map(|cells| format!("| {} |", cells.join(" | "))));
    lines.join("\n") + "\n"
}

fn aligned(rows: &[&Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|cells| cells.get(column));
        cells.map(String::len).max().unwrap_or(0)
    };
    let mut heads = String::new();
    let mut lines = vec![String::new(); rows.len()];
    let mut column = 0;
    for (name, columns) in GROUPS {
        let mut span = 0;
        for _ in *columns {
            let width = width(column);
            for (line, cells) in lines.iter_mut().zip(rows) {
                let cell = cells.get(column).map_or("", String::as_str);
                let padded = if column < TEXT_COLUMNS {
                    format!("{cell:<width$} ")
                } else {
                    format!("{cell:>width$} ")
                };
                line.push_str(&padded);
            }
            span += width + 1;
            column += 1;
        }
        // A group's name may be wider than its columns.
        let padding = (name.len() + 1).saturating_sub(span) + 1;
        heads.push_str(name);
        heads.push_str(&" ".repeat((span + padding).saturating_sub(name.len())));
        for line in &mut lines {
            line.push_str(&" ".repeat(padding));
        }
    }
    lines.insert(0, heads);
    let trimmed: Vec<&str> = lines.iter().map(|line| line.trim_end()).collect();
    trimmed.join("\n") + "\n"
}
