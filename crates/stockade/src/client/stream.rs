//! A configuration as the commands that Fail2Ban's client would send, and their print for `-d`.
//!
//! Order and shape: behaviour spec 1.9. Start reading at [`commands`].

use std::fmt::Write as _;

use stockade_config::{ActionConfig, ActionKind, Config, From, JailConfig, ServerConfig, Setting, Value as Set};
use stockade_protocol::Value;

/// A command: its words.
pub type Command = Vec<Value>;

/// Everything, for `start` and a reload of all: the server's settings, each jail's, and the starts at the very end.
pub fn commands(config: &Config) -> Vec<Command> {
    let mut commands = server_commands(&config.server);
    commands.extend(jail_commands(&config.jails));
    commands
}

/// The server's own settings.
pub fn server_commands(server: &ServerConfig) -> Vec<Command> {
    let set = |name: &str, value: Value| vec![Value::from("set"), Value::from(name), value];
    let mut commands = Vec::new();
    if let Some(bytes) = server.stacksize {
        commands.push(set(
            "thread",
            Value::Dict(vec![(Value::from("stacksize"), Value::Int(bytes))]),
        ));
    }
    commands.extend([
        set("syslogsocket", Value::from(server.syslogsocket.as_str())),
        set("loglevel", Value::from(server.loglevel.as_str())),
        set("logtarget", Value::from(server.logtarget.as_str())),
        set("allowipv6", Value::from(server.allowipv6.as_str())),
        set("dbfile", Value::from(server.dbfile.as_str())),
    ]);
    commands.extend(server.dbmaxmatches.map(|count| set("dbmaxmatches", Value::Int(count))));
    commands.push(set("dbpurgeage", Value::from(server.dbpurgeage.as_str())));
    commands
}

/// What makes these jails, and what starts them; a jail with a problem becomes a `config-error`.
pub fn jail_commands(jails: &[JailConfig]) -> Vec<Command> {
    let mut commands = Vec::new();
    for jail in jails {
        if let Some(problem) = &jail.problem {
            let text = format!(
                "Jail '{}' skipped, because of wrong configuration: {problem}",
                jail.name
            );
            commands.push(vec![Value::from("config-error"), Value::from(text)]);
            continue;
        }
        commands.push(words(["add", &jail.name, &jail.backend]));
        for setting in &jail.settings {
            commands.extend(setting_command(&jail.name, setting));
        }
        for log in &jail.logs {
            let from = match log.from {
                From::Head => "head",
                From::Tail => "tail",
            };
            commands.extend(
                log.paths()
                    .into_iter()
                    .map(|path| words(["set", &jail.name, "addlogpath", path, from])),
            );
        }
        for action in &jail.actions {
            commands.extend(action_commands(&jail.name, action));
        }
    }
    let running = jails.iter().filter(|jail| jail.problem.is_none());
    commands.extend(running.map(|jail| words(["start", &jail.name])));
    commands
}

fn words<const N: usize>(words: [&str; N]) -> Command {
    words.into_iter().map(Value::from).collect()
}

fn setting_command(jail: &str, setting: &Setting) -> Option<Command> {
    let mut command = words(["set", jail, &setting.option]);
    match &setting.value {
        Set::Text(text) => command.push(Value::from(text.as_str())),
        Set::Int(number) => command.push(Value::Int(*number)),
        Set::Bool(flag) => command.push(Value::Bool(*flag)),
        Set::Words(words) => command.extend(words.iter().map(|word| Value::from(word.as_str()))),
        Set::Lines(lines) => match lines.as_slice() {
            [one] => command.push(Value::from(one.text.as_str())),
            several => {
                command = words(["multi-set", jail, &setting.option]);
                command.push(Value::List(
                    several.iter().map(|line| Value::from(line.text.as_str())).collect(),
                ));
            }
        },
        // Its jail has a problem and is not sent.
        Set::Invalid(_) => return None,
    }
    Some(command)
}

fn action_commands(jail: &str, action: &ActionConfig) -> Vec<Command> {
    let mut add = words(["set", jail, "addaction", &action.name]);
    match &action.kind {
        ActionKind::Python { path, options } => {
            add.push(Value::from(path.to_string_lossy().into_owned()));
            add.push(Value::from(json(options)));
            vec![add]
        }
        ActionKind::Properties(properties) => {
            let pairs = properties.iter().filter_map(|property| {
                let value = match &property.value {
                    Set::Text(text) => Value::from(text.as_str()),
                    Set::Int(number) => Value::Int(*number),
                    Set::Bool(flag) => Value::Bool(*flag),
                    Set::Words(_) | Set::Lines(_) | Set::Invalid(_) => return None,
                };
                Some(Value::List(vec![Value::from(property.name.as_str()), value]))
            });
            let mut set = words(["multi-set", jail, "action", &action.name]);
            set.push(Value::List(pairs.collect()));
            vec![add, set]
        }
    }
}

/// A JSON object of texts, as Python's `json.dumps` writes it.
fn json(pairs: &[(String, String)]) -> String {
    let mut out = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        json_text(&mut out, name);
        out.push_str(": ");
        json_text(&mut out, value);
    }
    out.push('}');
    out
}

fn json_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(character),
            other => {
                let mut units = [0; 2];
                for unit in other.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}"); // writing to a String cannot fail
                }
            }
        }
    }
    out.push('"');
}

/// A command as Python prints a list: one line of `-d`.
pub fn line(command: &[Value]) -> String {
    let words: Vec<String> = command.iter().map(stockade_protocol::repr).collect();
    format!("[{}]", words.join(", "))
}
