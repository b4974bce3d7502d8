//! The help of both faces; commands come from the protocol's table.

use stockade_protocol::COMMANDS;

use super::args::Face;

/// Options of client and server, with what they do; the manual pages derive from it.
pub const OPTIONS: &[(&str, &str)] = &[
    ("-c, --conf <DIR>", "folder of the configuration (/etc/fail2ban)"),
    ("-s, --socket <FILE>", "path of the control socket"),
    ("-p, --pidfile <FILE>", "path of the file with the process id"),
    ("--pname <NAME>", "accepted; the process is named stockade"),
    ("--loglevel <LEVEL>", "what is logged"),
    (
        "--logtarget <TARGET>",
        "where the log goes: a file, STDOUT, STDERR, SYSLOG or SYSOUT",
    ),
    ("--syslogsocket auto|<FILE>", "the socket of syslog"),
    ("-d", "print the configuration as the commands it means"),
    ("--dp, --dump-pretty", "the same, long commands over several lines"),
    (
        "-t, --test",
        "test the configuration; with start, start only if it is sound",
    ),
    ("-i", "read commands from the terminal"),
    ("-v", "say more"),
    ("-q", "say less"),
    ("-x", "start even if a dead server left its socket"),
    ("-b", "start in the background (default)"),
    ("-f", "start in the foreground"),
    ("--async", "server only: wait for a client to send the configuration"),
    ("--timeout <TIME>", "how long to wait for the server"),
    ("--str2sec <TIME>", "print a time as seconds"),
    (
        "--json",
        "print the answer as JSON: of get the value, of status, banned and stats objects with stable keys, of a refusal an object error",
    ),
    ("-h, --help", "print this help"),
    ("-V, --version", "print the version; -V in the short form for programs"),
];

/// Where explanations begin.
const COLUMN: usize = 45;

/// The whole help.
pub(crate) fn help(face: Face) -> String {
    let words = if face == Face::Client { " <COMMAND>" } else { "" };
    let mut out = format!(
        "Usage: {} [OPTIONS]{words}\n\nStockade {} does what Fail2Ban v{} does: it reads logs, and bans those who fail.\n\nOptions:\n",
        face.name(),
        crate::VERSION,
        crate::FAIL2BAN_VERSION,
    );
    for (option, text) in OPTIONS {
        row(&mut out, option, text, 28);
    }
    if face == Face::Client {
        out.push_str("\nCommand:\n");
        let mut section = None;
        for command in COMMANDS {
            if section != Some(command.section) {
                if section.is_some() {
                    out.push('\n');
                }
                section = Some(command.section);
                out.extend(std::iter::repeat_n(' ', COLUMN));
                out.extend([command.section.title(), "\n"]);
            }
            row(&mut out, command.usage, command.help, COLUMN);
        }
    }
    out.pop();
    out
}

/// A row of two columns; what is too long for the first stands alone, the second is wrapped.
fn row(out: &mut String, first: &str, second: &str, column: usize) {
    let first = format!("    {first}");
    out.push_str(&first);
    let mut width = first.chars().count();
    if width >= column {
        out.push('\n');
        width = 0;
    }
    out.extend(std::iter::repeat_n(' ', column - width));
    let mut used = column;
    for (index, word) in second.split(' ').enumerate() {
        let length = word.chars().count();
        if index > 0 && used + 1 + length > 100 {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', column));
            used = column;
        } else if index > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
}
