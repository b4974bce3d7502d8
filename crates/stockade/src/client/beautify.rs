//! Answers as Fail2Ban's client prints them (behaviour spec 7.4).

use stockade_protocol::{ErrorClass, RemoteError, Value, repr};

/// An exception in words.
pub(crate) fn error(error: &RemoteError) -> String {
    let first = || error.args.first().map(ToString::to_string).unwrap_or_default();
    match error.class {
        ErrorClass::UnknownJail => format!("Sorry but the jail '{}' does not exist", first()),
        ErrorClass::DuplicateJail => format!("The jail '{}' already exists", first()),
        ErrorClass::IndexError => "Sorry but the command is invalid".to_owned(),
        _ => error.to_string(),
    }
}

/// The answer to a command. `utf8` says whether the terminal can show line drawings.
pub(crate) fn answer(words: &[String], value: &Value, utf8: bool) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["ping", ..] => format!("Server replied: {value}"),
        ["start", ..] => "Jail started".to_owned(),
        ["stop"] => "Shutdown successful".to_owned(),
        ["stop", ..] => "Jail stopped".to_owned(),
        ["add", ..] => format!("Added jail {value}"),
        ["flushlogs", ..] => format!("logs: {value}"),
        ["echo", ..] => joined(value, " "),
        ["stats" | "statistic" | "statistics", ..] | ["status", "--all", "stats", ..] => stats(value, utf8),
        ["status"] | ["status", "--all", ..] => status(value),
        // Fail2Ban 1.0.2 and its development version fail to print this one.
        ["status", jail, "stats", ..] if matches!(items(value).first(), Some(Value::Str(_))) => {
            stats(&Value::Dict(vec![(Value::from(*jail), value.clone())]), utf8)
        }
        ["status", jail, ..] => {
            let mut out = format!("Status for the jail: {jail}");
            tree(&mut out, value, "");
            out
        }
        ["get" | "set", key, ..] if words.first() == Some(&"set") || words.len() == 2 => {
            server_setting(key, value).unwrap_or_else(|| jail_setting(&words, value))
        }
        ["get" | "set" | "multi-set", ..] => jail_setting(&words, value),
        _ => value.to_string(),
    }
}

fn server_setting(key: &str, value: &Value) -> Option<String> {
    Some(match key {
        "loglevel" => format!("Current logging level is {}", repr(value)),
        "logtarget" => format!("Current logging target is:\n`- {value}"),
        "syslogsocket" => format!("Current syslog socket is:\n`- {value}"),
        "dbfile" | "dbpurgeage" if *value == Value::None => "Database currently disabled".to_owned(),
        "dbfile" => format!("Current database file is:\n`- {value}"),
        "dbpurgeage" => format!("Current database purge age is:\n`- {value}seconds"),
        _ => return None,
    })
}

fn jail_setting(words: &[&str], value: &Value) -> String {
    let (Some(jail), Some(what)) = (words.get(1), words.get(2)) else {
        return value.to_string();
    };
    let getting = words.first() == Some(&"get");
    match *what {
        "logpath" | "addlogpath" | "dellogpath" => listed(
            value,
            "Current monitored log file(s):",
            "No file is currently monitored",
        ),
        "logencoding" => format!("Current log encoding is set to:\n{value}"),
        "journalmatch" | "addjournalmatch" | "deljournalmatch" => journalmatch(value),
        "datepattern" => match value {
            Value::Tuple(parts) | Value::List(parts) => match parts.as_slice() {
                [Value::None, name] => format!("Current date pattern set to: {name}"),
                [pattern, name] => format!("Current date pattern set to: {pattern} ({name})"),
                _ => format!("Current date pattern set to: {value}"),
            },
            Value::None => "Current date pattern set to: Not set/required".to_owned(),
            other => format!("Current date pattern set to: {other}"),
        },
        "ignoreip" | "addignoreip" | "delignoreip" => listed(
            value,
            "These IP addresses/networks are ignored:",
            "No IP address/network is ignored",
        ),
        "failregex" | "addfailregex" | "delfailregex" | "ignoreregex" | "addignoreregex" | "delignoreregex" => {
            let rules: Vec<Value> = items(value)
                .iter()
                .enumerate()
                .map(|(index, rule)| Value::from(format!("[{index}]: {rule}")))
                .collect();
            let value = Value::List(rules);
            listed(
                &value,
                "The following regular expression are defined:",
                "No regular expression is defined",
            )
        }
        "actions" if items(value).is_empty() => format!("No actions for jail {jail}"),
        "actions" => format!("The jail {jail} has the following actions:\n{}", joined(value, ", ")),
        "actionproperties" | "actionmethods" => {
            let kind = if *what == "actionmethods" {
                "methods"
            } else {
                "properties"
            };
            let action = words.get(3).copied().unwrap_or_default();
            match items(value) {
                [] => format!("No {kind} for jail {jail} action {action}"),
                _ => format!(
                    "The jail {jail} action {action} has the following {kind}:\n{}",
                    joined(value, ", ")
                ),
            }
        }
        "banip" if getting => match words.get(3) {
            Some(&"--with-time") => joined(value, "\n"),
            Some(separator) => joined(value, separator),
            None => joined(value, " "),
        },
        _ => value.to_string(),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) | Value::Tuple(items) => items,
        _ => &[],
    }
}

fn joined(value: &Value, separator: &str) -> String {
    match value {
        Value::List(items) | Value::Tuple(items) => items
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(separator),
        other => other.to_string(),
    }
}

/// A heading and one line for each item, the last with a corner.
fn listed(value: &Value, heading: &str, none: &str) -> String {
    let items = items(value);
    if items.is_empty() {
        return none.to_owned();
    }
    let mut out = heading.to_owned();
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index + 1 == items.len() { "\n`- " } else { "\n|- " });
        out.push_str(&item.to_string());
    }
    out
}

fn journalmatch(value: &Value) -> String {
    if items(value).is_empty() {
        return "No journal match filter set".to_owned();
    }
    let groups: Vec<String> = items(value).iter().map(|group| joined(group, " ")).collect();
    format!("Current match filter:\n{}", groups.join(" + "))
}

/// `status`, with the jails' own trees after `--all`.
fn status(value: &Value) -> String {
    let mut out = "Status".to_owned();
    let mut entries: Vec<&Value> = items(value).iter().collect();
    let jails = match entries.last() {
        Some(Value::Dict(jails)) => {
            entries.pop();
            jails.as_slice()
        }
        _ => &[],
    };
    for (index, entry) in entries.iter().enumerate() {
        let last = index + 1 == entries.len() && jails.is_empty();
        leaf(&mut out, entry, "", last);
    }
    if !jails.is_empty() {
        out.push_str("\n`- Status for the jails: ");
        for (index, (jail, state)) in jails.iter().enumerate() {
            let last = index + 1 == jails.len();
            out.push_str(if last { "\n   `- Jail: " } else { "\n   |- Jail: " });
            out.push_str(&jail.to_string());
            tree(&mut out, state, if last { "      " } else { "   |  " });
        }
    }
    out
}

/// `Filter` and `Actions` with what is under them.
fn tree(out: &mut String, value: &Value, indent: &str) {
    let groups = items(value);
    for (index, group) in groups.iter().enumerate() {
        let last = index + 1 == groups.len();
        let [name, entries] = items(group) else { continue };
        out.extend(["\n", indent, if last { "`- " } else { "|- " }, &name.to_string()]);
        let deeper = format!("{indent}{}", if last { "   " } else { "|  " });
        let entries = items(entries);
        for (index, entry) in entries.iter().enumerate() {
            leaf(out, entry, &deeper, index + 1 == entries.len());
        }
    }
}

fn leaf(out: &mut String, entry: &Value, indent: &str, last: bool) {
    if let [name, value] = items(entry) {
        let corner = if last { "`- " } else { "|- " };
        out.extend([
            "
",
            indent,
            corner,
            &name.to_string(),
            ":	",
            &joined(value, " "),
        ]);
    }
}

/// The table of all jails' counters.
fn stats(value: &Value, utf8: bool) -> String {
    let Value::Dict(jails) = value else {
        return value.to_string();
    };
    let wide = |texts: &mut dyn Iterator<Item = String>, least: usize| {
        texts
            .map(|text| text.chars().count())
            .chain([least])
            .max()
            .unwrap_or(least)
    };
    let backend_of = |state: &Value| items(state).first().map(ToString::to_string).unwrap_or_default();
    let name = wide(&mut jails.iter().map(|(jail, _)| jail.to_string()), 8);
    let backend = wide(&mut jails.iter().map(|(_, state)| backend_of(state)), 9);
    // Between columns; between numbers; a rule's line, its crossing with a column and at the left end of the short one.
    let [column, number, thin, cross, begin, thick, full, end] = if utf8 {
        ['║', '│', '─', '╫', '╟', '═', '╬', '╩']
    } else {
        ['|', '|', '-', 'x', '|', '-', 'x', '-']
    };
    let line = |character: char, count: usize| character.to_string().repeat(count);
    let rule = |crossing: char| {
        [
            line(thick, name + 2),
            line(thick, backend + 2),
            line(thick, 11),
            line(thick, 11),
        ]
        .join(&crossing.to_string())
    };
    let (no_name, no_backend) = (line(' ', name + 2), line(' ', backend + 2));
    let mut rows = vec![
        format!("{no_name}{column}{no_backend}{column} Filter    {column} Actions  "),
        format!(
            " {:<name$} {column} {:<backend$} {begin}{}{cross}{}",
            "Jail",
            "Backend",
            line(thin, 11),
            line(thin, 11)
        ),
        format!("{no_name}{column}{no_backend}{column} cur {number} tot {column} cur {number} tot"),
        rule(full),
    ];
    for (jail, state) in jails {
        let counts: Vec<String> = items(state)
            .iter()
            .skip(1)
            .flat_map(items)
            .map(ToString::to_string)
            .collect();
        let count = |index: usize| counts.get(index).map_or("", String::as_str);
        rows.push(format!(
            " {:<name$} {column} {:<backend$} {column} {:>3} {number} {:>3} {column} {:>3} {number} {:>3}",
            jail.to_string(),
            backend_of(state),
            count(0),
            count(1),
            count(2),
            count(3)
        ));
    }
    rows.push(rule(end));
    rows.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(line: &str, value: &Value) -> String {
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        answer(&words, value, false)
    }

    fn texts(texts: &[&str]) -> Value {
        Value::List(texts.iter().map(|text| Value::from(*text)).collect())
    }

    fn pair(name: &str, value: Value) -> Value {
        Value::Tuple(vec![Value::from(name), value])
    }

    fn jail_status(failed: i64) -> Value {
        Value::List(vec![
            pair(
                "Filter",
                Value::List(vec![
                    pair("Currently failed", failed.into()),
                    pair("File list", texts(&["/a", "/b"])),
                ]),
            ),
            pair(
                "Actions",
                Value::List(vec![pair("Total banned", 1.into()), pair("Banned IP list", texts(&[]))]),
            ),
        ])
    }

    // Fail2Ban 1.0.2 printed the texts of this test; tests/client.rs compares many more with it where it is installed.
    #[test]
    fn answers_are_printed_as_by_fail2ban() {
        for (line, value, shown) in [
            ("ping", Value::from("pong"), "Server replied: pong"),
            ("stop", Value::None, "Shutdown successful"),
            ("stop jp", Value::None, "Jail stopped"),
            ("add zz polling", Value::from("zz"), "Added jail zz"),
            ("get loglevel", Value::from("INFO"), "Current logging level is 'INFO'"),
            ("get dbfile", Value::None, "Database currently disabled"),
            (
                "get jp logpath",
                texts(&["/a", "/b"]),
                "Current monitored log file(s):\n|- /a\n`- /b",
            ),
            ("set jp dellogpath /a", texts(&[]), "No file is currently monitored"),
            ("get jp banip ,", texts(&["a", "b"]), "a,b"),
            ("get jp banned", texts(&["a", "b"]), "['a', 'b']"),
            ("set jp banip a b", Value::Int(2), "2"),
            (
                "get jp actions",
                texts(&["a", "b"]),
                "The jail jp has the following actions:\na, b",
            ),
            (
                "status jp",
                jail_status(3),
                "Status for the jail: jp\n|- Filter\n|  |- Currently failed:\t3\n|  `- File list:\t/a /b\n`- Actions\n   |- Total banned:\t1\n   `- Banned IP list:\t",
            ),
        ] {
            assert_eq!(show(line, &value), shown, "{line}");
        }
    }

    #[test]
    fn the_table_of_counters_has_the_shape_of_fail2bans_development_version() {
        let counts = |current: i64, total: i64| Value::Tuple(vec![current.into(), total.into()]);
        let value = Value::Dict(vec![(
            Value::from("ji"),
            Value::List(vec![Value::from("pyinotify"), counts(0, 4), counts(1, 1)]),
        )]);
        let expected = [
            "          |           | Filter    | Actions  ",
            " Jail     | Backend   |-----------x-----------",
            "          |           | cur | tot | cur | tot",
            "----------x-----------x-----------x-----------",
            " ji       | pyinotify |   0 |   4 |   1 |   1",
            "----------------------------------------------",
        ];
        assert_eq!(show("stats", &value), expected.join("\n"));
    }

    #[test]
    fn all_jails_are_shown_as_trees_under_the_status() {
        let value = Value::List(vec![
            pair("Number of jail", 2.into()),
            pair("Jail list", "ji, jp".into()),
            Value::Dict(vec![
                (Value::from("ji"), jail_status(0)),
                (Value::from("jp"), jail_status(3)),
            ]),
        ]);
        let shown = show("status --all", &value);
        assert!(shown.starts_with("Status\n|- Number of jail:\t2\n|- Jail list:\tji, jp\n`- Status for the jails: \n   |- Jail: ji\n   |  |- Filter\n   |  |  |- Currently failed:\t0"), "{shown}");
        assert!(
            shown.contains("\n   `- Jail: jp\n      |- Filter\n      |  |- Currently failed:\t3"),
            "{shown}"
        );
    }
}
