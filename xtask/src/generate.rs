//! `cargo xtask generate`: documents made from the program's own tables, so that they cannot differ from it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use stockade::client::OPTIONS;
use stockade_config::{Overrides, Value};
use stockade_protocol::COMMANDS;

use crate::root;

/// Writes the files, or with `check` fails if one differs from what would be written.
pub(crate) fn run(check: bool) -> Result<(), String> {
    let files = [
        ("docs/generated/commands.md", commands()),
        ("docs/generated/builtin.md", builtin()),
        (
            "docs/generated/fail2ban-client.1",
            manual("fail2ban-client", "configure and control the server", true),
        ),
        (
            "docs/generated/fail2ban-server.1",
            manual("fail2ban-server", "watch logs and ban those who fail", false),
        ),
        ("docs/generated/stockade.1", of_stockade()),
    ];
    let mut stale = Vec::new();
    for (name, text) in files {
        let path = root().join(name);
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        if check {
            stale.push(name);
            continue;
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
        println!("wrote {name}");
    }
    if stale.is_empty() {
        Ok(())
    } else {
        Err(format!("not current: {}; mend: cargo xtask generate", stale.join(", ")))
    }
}

fn commands() -> String {
    let mut out = String::from(
        "# Commands of the server\n\nAs `fail2ban-client` takes them. Made by `cargo xtask generate` from the table in `crates/protocol`.\n",
    );
    let mut section = None;
    for command in COMMANDS {
        if section != Some(command.section) {
            section = Some(command.section);
            let _ = write!(
                out,
                "\n## {}\n\n| command | what it does |\n|---|---|\n",
                sentence(command.section.title())
            );
        }
        let _ = writeln!(
            out,
            "| `{}` | {} |",
            command.usage.replace('|', "\\|"),
            command.help.replace('|', "\\|")
        );
    }
    out
}

fn builtin() -> String {
    let config = stockade_config::load(Path::new("/nonexistent"), &Overrides::default());
    let mut out = String::from(
        "# The built-in configuration\n\nWhat protects a machine that has no `/etc/fail2ban`. Made by `cargo xtask generate` from `config/`.\n\n\
         | jail | filter | logs | maxretry | findtime | bantime | actions |\n|---|---|---|---|---|---|---|\n",
    );
    for jail in &config.jails {
        let setting = |name: &str| {
            let found = jail.settings.iter().find(|setting| setting.option == name);
            found.map_or(String::new(), |setting| match &setting.value {
                Value::Text(text) => text.clone(),
                Value::Int(number) => number.to_string(),
                other => format!("{other:?}"),
            })
        };
        let actions: Vec<&str> = jail.actions.iter().map(|action| action.name.as_str()).collect();
        let _ = writeln!(
            out,
            "| {} | {} | see `config/jail.conf` | {} | {} | {} | {} |",
            jail.name,
            jail.filter,
            setting("maxretry"),
            setting("findtime"),
            setting("bantime"),
            actions.join(", ")
        );
    }
    out.push_str("\nFiles, each hidden by one of the same name under `/etc/fail2ban`:\n\n");
    for name in stockade_config::builtin::names() {
        // The first line of an action's file says what it does.
        let text = stockade_config::builtin::text(name).unwrap_or_default();
        let first = text.lines().next().and_then(|line| line.strip_prefix("# "));
        let what = first.filter(|_| name.starts_with("action.d/"));
        let what = what.map_or(String::new(), |what| format!(": {what}"));
        let _ = writeln!(out, "* `{name}`{what}");
    }
    out
}

/// A manual page in roff.
fn manual(name: &str, what: &str, commands: bool) -> String {
    let version = stockade::VERSION;
    let words = if commands { " <COMMAND>" } else { "" };
    let mut out = format!(
        ".TH {} 1 \"\" \"Stockade {version}\" \"User Commands\"\n.SH NAME\n{name} \\- {what}\n.SH SYNOPSIS\n.B {name}\n[OPTIONS]{words}\n.SH OPTIONS\n",
        name.to_uppercase()
    );
    for (option, text) in OPTIONS {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(option), roff(text));
    }
    if commands {
        let mut section = None;
        for command in COMMANDS {
            if section != Some(command.section) {
                section = Some(command.section);
                let _ = writeln!(out, ".SH {}", command.section.title());
            }
            let _ = writeln!(out, ".TP\n.B {}\n{}", roff(command.usage), roff(command.help));
        }
    }
    if commands {
        out.push_str(".SH JSON\n.B \\-\\-json\nprints each answer on one line; these keys stay:\n");
        for (command, answer) in stockade::client::JSON_ANSWERS {
            let _ = writeln!(out, ".TP\n.B {}\n{}", roff(command), roff(answer));
        }
    }
    out.push_str(".SH EXIT STATUS\n0 if all went well, 255 otherwise.\n.SH SEE ALSO\n");
    let others = ["fail2ban-client", "fail2ban-server"]
        .into_iter()
        .filter(|other| *other != name);
    let _ = writeln!(
        out,
        "{}",
        others
            .map(|other| format!(".BR {other} (1)"))
            .collect::<Vec<_>>()
            .join(",\n")
    );
    out
}

/// The manual page of `stockade` itself.
fn of_stockade() -> String {
    let version = stockade::VERSION;
    let mut out = format!(
        ".TH STOCKADE 1 \"\" \"Stockade {version}\" \"User Commands\"\n.SH NAME\nstockade \\- look at a configuration, a log or a recorded attack\n\
         .SH SYNOPSIS\n.B stockade\nCOMMAND [OPTIONS]\n.SH COMMANDS\n"
    );
    for word in stockade::words::WORDS {
        let _ = writeln!(out, ".TP\n.B {}\n{}", roff(word.name), roff(word.summary));
    }
    for word in stockade::words::WORDS {
        if let Some(help) = word.help {
            let lines: Vec<String> = help.trim_end().lines().map(roff).collect();
            let _ = writeln!(out, ".SH {}\n.nf\n{}\n.fi", word.name.to_uppercase(), lines.join("\n"));
        }
    }
    out.push_str(".SH SEE ALSO\n.BR fail2ban-client (1),\n.BR fail2ban-server (1)\n");
    out
}

/// Text that roff takes as it is.
fn roff(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) {
        format!("\\&{text}")
    } else {
        text
    }
}

fn sentence(title: &str) -> String {
    let mut letters = title.to_lowercase().chars().collect::<Vec<_>>();
    if let Some(first) = letters.first_mut() {
        first.make_ascii_uppercase();
    }
    letters.into_iter().collect()
}
