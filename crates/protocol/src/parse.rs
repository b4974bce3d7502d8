//! From words to a [`Request`], refusing what Fail2Ban refuses in its words.
//!
//! Texts of refusals are those of the real server, which clients and scripts show.

use stockade_core::{FailureId, JailName};

use crate::{
    ErrorClass, Flavor, JailGet, JailSet, ReloadOptions, RemoteError, Request, ServerKey, ServerSetting, TimeSpan,
    Value, repr,
};

type Parsed<T> = Result<T, RemoteError>;

/// Reads one command.
///
/// # Errors
/// What Fail2Ban's server raises for a command of that form: behaviour spec 7.3.
pub fn parse(words: &Value) -> Parsed<Request> {
    let (Value::List(words) | Value::Tuple(words)) = words else {
        return Err(invalid_command());
    };
    let words = Words(words);
    let Value::Str(first) = words.value(0)? else {
        return Err(invalid_command());
    };
    let rest = Words(words.from(1));
    Ok(match first.as_str() {
        "ping" => Request::Ping,
        "version" => Request::Version,
        "echo" => Request::Echo(rest.0.to_vec()),
        "sleep" => Request::Sleep(float(rest.value(0)?)?),
        "server-status" => Request::ServerStatus,
        "status" => status(rest)?,
        "stats" | "statistic" | "statistics" => Request::Stats,
        "add" => {
            let name = rest.text(0)?;
            if name == "--all" {
                return Err(exception("Reserved name '--all'"));
            }
            let backend = if rest.0.len() > 1 {
                rest.text(1)?
            } else {
                "auto".to_owned()
            };
            let jail = JailName::new(&name)
                .ok_or_else(|| value_error(format!("Invalid jail name {}", repr(&Value::Str(name)))))?;
            Request::Add { jail, backend }
        }
        "start" => Request::Start(rest.jail(0)?),
        "stop" => match rest.0 {
            [] => Request::Stop,
            [Value::Str(word), ..] if word == "--all" => Request::StopAll,
            _ => Request::StopJail(rest.jail(0)?),
        },
        "reload" => reload(rest)?,
        "server-stream" => Request::ServerStream(rest.list(0)?),
        "config-error" => Request::ConfigError(rest.text(0)?),
        "flushlogs" => Request::FlushLogs,
        "unban" => match rest.0 {
            [] => return Err(invalid_command()),
            [Value::Str(word)] if word == "--all" => Request::UnbanAll,
            _ => Request::Unban(rest.ids(0)?),
        },
        "banned" if rest.0.is_empty() => Request::Banned,
        "banned" => Request::BannedIds(rest.ids(0)?),
        "get" => get(rest)?,
        "set" => set(rest)?,
        "multi-set" => {
            let jail = rest.jail(0)?;
            Request::MultiSet(jail, multi_set(&rest.text(1)?, Words(rest.from(2)))?)
        }
        _ => return Err(invalid_command()),
    })
}

fn status(words: Words<'_>) -> Parsed<Request> {
    let flavor = match words.0.get(1) {
        Some(Value::Str(word)) if word == "short" => Flavor::Short,
        Some(Value::Str(word)) if word == "stats" => Flavor::Stats,
        Some(Value::Str(word)) if word == "cymru" => Flavor::Cymru,
        Some(Value::Str(word)) if word == "kernel" => Flavor::Kernel,
        _ => Flavor::Basic,
    };
    Ok(match words.0 {
        [] => Request::Status,
        [Value::Str(word), ..] if word == "--all" => Request::StatusAll(flavor),
        [_, _, _, ..] => return Err(exception("Invalid command (no status)")),
        _ => Request::StatusJail(words.jail(0)?, flavor),
    })
}

fn reload(words: Words<'_>) -> Parsed<Request> {
    let missing = |what| {
        let text = format!("Server.reloadJails() missing {what}");
        RemoteError::new(ErrorClass::TypeError, text)
    };
    match words.0.len() {
        0 => return Err(missing("2 required positional arguments: 'name' and 'opts'")),
        1 => return Err(missing("1 required positional argument: 'opts'")),
        _ => {}
    }
    let jail = match words.0.first() {
        Some(Value::Str(word)) if word == "--all" => None,
        _ => Some(words.jail(0)?),
    };
    let mut options = ReloadOptions::default();
    for option in words.list(1)? {
        match option.to_string().as_str() {
            "--restart" => options.restart = true,
            "--unban" => options.unban = true,
            "--if-exists" => options.if_exists = true,
            _ => {}
        }
    }
    Ok(Request::Reload {
        jail,
        options,
        stream: words.list(2)?,
    })
}

fn get(words: Words<'_>) -> Parsed<Request> {
    let first = words.text(0)?;
    if let Some(key) = server_key(&first) {
        return Ok(Request::GetServer(key));
    }
    let jail = words.jail(0)?;
    let what = words.text(1)?;
    let rest = Words(words.from(2));
    let what = match what.as_str() {
        "banned" if rest.0.is_empty() => JailGet::Banned,
        "banned" => JailGet::BannedIds(rest.ids(0)?),
        "banip" => JailGet::BanIp {
            with_time: rest.0.iter().any(|word| *word == Value::from("--with-time")),
        },
        "logpath" => JailGet::LogPath,
        "logencoding" => JailGet::LogEncoding,
        "journalmatch" => JailGet::JournalMatch,
        "ignoreself" => JailGet::IgnoreSelf,
        "ignoreip" => JailGet::IgnoreIp,
        "ignorecommand" => JailGet::IgnoreCommand,
        "ignorecache" => JailGet::IgnoreCache,
        "prefregex" => JailGet::Prefregex,
        "failregex" => JailGet::Failregex,
        "ignoreregex" => JailGet::Ignoreregex,
        "usedns" => JailGet::UseDns,
        "findtime" => JailGet::FindTime,
        "bantime" => JailGet::BanTime,
        "datepattern" => JailGet::DatePattern,
        "logtimezone" => JailGet::LogTimeZone,
        "maxmatches" => JailGet::MaxMatches,
        "maxretry" => JailGet::MaxRetry,
        "maxlines" => JailGet::MaxLines,
        "actions" => JailGet::Actions,
        "action" => JailGet::Action {
            action: rest.text(0)?,
            property: rest.text(1)?,
        },
        "actionproperties" => JailGet::ActionProperties(rest.text(0)?),
        "actionmethods" => JailGet::ActionMethods(rest.text(0)?),
        other => match other.strip_prefix("bantime.") {
            Some(option) => JailGet::BanTimeOption(option.to_owned()),
            None => return Err(exception("Invalid command (no get action or not yet implemented)")),
        },
    };
    Ok(Request::GetJail(jail, what))
}

fn server_key(word: &str) -> Option<ServerKey> {
    Some(match word {
        "loglevel" => ServerKey::LogLevel,
        "logtarget" => ServerKey::LogTarget,
        "syslogsocket" => ServerKey::SyslogSocket,
        "dbfile" => ServerKey::DbFile,
        "dbmaxmatches" => ServerKey::DbMaxMatches,
        "dbpurgeage" => ServerKey::DbPurgeAge,
        "thread" => ServerKey::Thread,
        _ => return None,
    })
}

fn set(words: Words<'_>) -> Parsed<Request> {
    let setting = match words.text(0)?.as_str() {
        "loglevel" => ServerSetting::LogLevel(words.text(1)?),
        "logtarget" => ServerSetting::LogTarget(words.text(1)?),
        "syslogsocket" => ServerSetting::SyslogSocket(words.text(1)?),
        "allowipv6" => ServerSetting::AllowIpv6(words.text(1)?),
        "dbfile" => {
            let path = words.text(1)?;
            ServerSetting::DbFile((!path.eq_ignore_ascii_case("none")).then_some(path))
        }
        "dbmaxmatches" => ServerSetting::DbMaxMatches(words.int(1)?),
        "dbpurgeage" => ServerSetting::DbPurgeAge(words.span(1)?),
        "thread" => match words.value(1)? {
            Value::Dict(items) => {
                let items = items.iter().map(|(key, value)| Ok((key.to_string(), int(value)?)));
                ServerSetting::Thread(items.collect::<Parsed<_>>()?)
            }
            other => {
                let text = format!("'{}' object has no attribute 'items'", type_name(other));
                return Err(RemoteError::new(ErrorClass::AttributeError, text));
            }
        },
        _ => {
            let jail = words.jail(0)?;
            return Ok(Request::SetJail(jail, set_jail(&words.text(1)?, Words(words.from(2)))?));
        }
    };
    Ok(Request::SetServer(setting))
}

/// Methods that every action of Fail2Ban has; any other word is a property.
const ACTION_METHODS: [&str; 15] = [
    "ban",
    "clearAllParams",
    "consistencyCheck",
    "escapeTag",
    "executeCmd",
    "flush",
    "invalidateBanEpoch",
    "prolong",
    "reban",
    "reload",
    "replaceDynamicTags",
    "replaceTag",
    "start",
    "stop",
    "unban",
];

fn set_jail(what: &str, words: Words<'_>) -> Parsed<JailSet> {
    Ok(match what {
        "idle" => match words.text(0)?.as_str() {
            "on" => JailSet::Idle(true),
            "off" => JailSet::Idle(false),
            _ => return Err(exception("Invalid idle option, must be 'on' or 'off'")),
        },
        "ignoreself" => JailSet::IgnoreSelf(words.bool(0)?),
        "addignoreip" => JailSet::AddIgnoreIp(words.texts(0)?),
        "delignoreip" => JailSet::DelIgnoreIp(words.text(0)?),
        "ignorecommand" => JailSet::IgnoreCommand(words.text(0)?),
        "ignorecache" => JailSet::IgnoreCache(words.text(0)?),
        "addlogpath" => {
            let path = words.text(0)?;
            let tail = match words.0.get(1).map(ToString::to_string).as_deref() {
                None | Some("head") => false,
                Some("tail") => true,
                Some(_) => return Err(value_error("File option must be 'head' or 'tail'")),
            };
            JailSet::AddLogPath { path, tail }
        }
        "dellogpath" => JailSet::DelLogPath(words.text(0)?),
        "logencoding" => JailSet::LogEncoding(words.text(0)?),
        "addjournalmatch" => JailSet::AddJournalMatch(words.texts(0)?),
        "deljournalmatch" => JailSet::DelJournalMatch(words.texts(0)?),
        "prefregex" => JailSet::Prefregex(words.text(0)?),
        "addfailregex" => JailSet::AddFailregex(vec![words.text(0)?]),
        "delfailregex" => JailSet::DelFailregex(words.int(0)?),
        "addignoreregex" => JailSet::AddIgnoreregex(vec![words.text(0)?]),
        "delignoreregex" => JailSet::DelIgnoreregex(words.int(0)?),
        "usedns" => JailSet::UseDns(words.text(0)?),
        "findtime" => JailSet::FindTime(words.span(0)?),
        "bantime" => JailSet::BanTime(words.span(0)?),
        "datepattern" => JailSet::DatePattern(words.text(0)?),
        "logtimezone" => JailSet::LogTimeZone(match words.value(0)? {
            Value::None => None,
            zone => Some(zone.to_string()).filter(|zone| !zone.is_empty()),
        }),
        "maxmatches" => JailSet::MaxMatches(words.int(0)?),
        "maxretry" => JailSet::MaxRetry(words.int(0)?),
        "maxlines" => match words.int(0)? {
            lines @ 1.. => JailSet::MaxLines(lines),
            _ => return Err(value_error("maxlines must be integer greater than zero")),
        },
        "attempt" if words.0.is_empty() => {
            let text = "Filter.addAttempt() missing 1 required positional argument: 'ip'";
            return Err(RemoteError::new(ErrorClass::TypeError, text));
        }
        "attempt" => JailSet::Attempt {
            id: FailureId::parse(&words.text(0)?),
            lines: words.texts(1)?,
        },
        "banip" => JailSet::BanIp(words.ids(0)?),
        "unbanip" => {
            let report_absent = words.text(0)? == "--report-absent";
            JailSet::UnbanIp {
                ids: words.ids(usize::from(report_absent))?,
                report_absent,
            }
        }
        "addaction" => {
            let python = match words.from(1) {
                [] => None,
                [_] => return Err(RemoteError::new(ErrorClass::IndexError, "list index out of range")),
                [file, json, ..] => Some((file.to_string(), json.to_string())),
            };
            JailSet::AddAction {
                action: words.text(0)?,
                python,
            }
        }
        "delaction" => JailSet::DelAction(words.text(0)?),
        "action" => {
            let (action, key) = (words.text(0)?, words.text(1)?);
            if ACTION_METHODS.contains(&key.as_str()) {
                let json = words.0.get(2).map(ToString::to_string);
                if json.as_deref() == Some("") {
                    return Err(value_error("Expecting value: line 1 column 1 (char 0)"));
                }
                let json = json.unwrap_or_default();
                JailSet::ActionMethod {
                    action,
                    method: key,
                    json,
                }
            } else {
                JailSet::Action {
                    action,
                    properties: vec![(key, words.value(2)?.clone())],
                }
            }
        }
        other => {
            if let Some(option) = other.strip_prefix("bantime.") {
                return Ok(JailSet::BanTimeOption(option.to_owned(), words.value(0)?.clone()));
            }
            let name = repr(&Value::from(other));
            return Err(exception(format!(
                "Invalid command {name} (no set action or not yet implemented)"
            )));
        }
    })
}

fn multi_set(what: &str, words: Words<'_>) -> Parsed<JailSet> {
    Ok(match what {
        "addfailregex" => JailSet::AddFailregex(text_items(&words.list(0)?)),
        "addignoreregex" => JailSet::AddIgnoreregex(text_items(&words.list(0)?)),
        "action" => {
            let action = words.text(0)?;
            let properties = words.list(1)?;
            let pair = |item: &Value| match item {
                Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
                    [key, value] => Ok((key.to_string(), value.clone())),
                    _ => Err(value_error("a property needs a name and a value")),
                },
                _ => Err(value_error("a property needs a name and a value")),
            };
            JailSet::Action {
                action,
                properties: properties.iter().map(pair).collect::<Parsed<_>>()?,
            }
        }
        other => set_jail(other, words)?,
    })
}

fn text_items(items: &[Value]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// Arguments, each asked for by its place; one that is missing is Python's `IndexError`.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [Value]);

impl<'a> Words<'a> {
    fn value(self, index: usize) -> Parsed<&'a Value> {
        self.0
            .get(index)
            .ok_or_else(|| RemoteError::new(ErrorClass::IndexError, "list index out of range"))
    }

    fn from(self, index: usize) -> &'a [Value] {
        self.0.get(index..).unwrap_or_default()
    }

    /// Text; numbers are taken as they are written.
    fn text(self, index: usize) -> Parsed<String> {
        match self.value(index)? {
            value @ (Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Bytes(_) | Value::None) => {
                let text = format!("expected string or bytes-like object, got '{}'", type_name(value));
                Err(RemoteError::new(ErrorClass::TypeError, text))
            }
            value => Ok(value.to_string()),
        }
    }

    fn texts(self, index: usize) -> Parsed<Vec<String>> {
        (index..self.0.len()).map(|index| self.text(index)).collect()
    }

    fn ids(self, index: usize) -> Parsed<Vec<FailureId>> {
        Ok(self.texts(index)?.iter().map(|text| FailureId::parse(text)).collect())
    }

    fn list(self, index: usize) -> Parsed<Vec<Value>> {
        match self.0.get(index) {
            // HEAD's client sends an empty stream where there is nothing to do; older ones leave it out.
            None if index == 2 => Ok(Vec::new()),
            _ => match self.value(index)? {
                Value::List(items) | Value::Tuple(items) => Ok(items.clone()),
                other => {
                    let text = format!("'{}' object is not iterable", type_name(other));
                    Err(RemoteError::new(ErrorClass::TypeError, text))
                }
            },
        }
    }

    fn int(self, index: usize) -> Parsed<i64> {
        int(self.value(index)?)
    }

    fn bool(self, index: usize) -> Parsed<bool> {
        Ok(match self.value(index)? {
            Value::Bool(flag) => *flag,
            value => matches!(
                value.to_string().to_ascii_lowercase().as_str(),
                "1" | "on" | "true" | "yes"
            ),
        })
    }

    fn span(self, index: usize) -> Parsed<TimeSpan> {
        Ok(match self.value(index)? {
            Value::Int(seconds) => TimeSpan::Seconds(*seconds),
            value @ Value::Float(_) => TimeSpan::Seconds(int(value)?),
            _ => TimeSpan::Written(self.text(index)?),
        })
    }

    /// A name that cannot be a jail's is the name of a jail that does not exist.
    fn jail(self, index: usize) -> Parsed<JailName> {
        let name = self.text(index)?;
        JailName::new(&name).ok_or_else(|| RemoteError::new(ErrorClass::UnknownJail, name))
    }
}

/// Python's `int(value)`.
fn int(value: &Value) -> Parsed<i64> {
    match value {
        Value::Int(number) => Ok(*number),
        Value::Bool(flag) => Ok(i64::from(*flag)),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "Python truncates too; what is out of range saturates"
        )]
        Value::Float(number) => Ok(*number as i64),
        Value::Str(text) | Value::Addr(text) => int_of_text(text).ok_or_else(|| {
            let shown = repr(value);
            value_error(format!("invalid literal for int() with base 10: {shown}"))
        }),
        other => {
            let name = type_name(other);
            let text = format!("int() argument must be a string, a bytes-like object or a real number, not '{name}'");
            Err(RemoteError::new(ErrorClass::TypeError, text))
        }
    }
}

/// Blanks around, a sign, single underscores between digits: what Python reads.
fn int_of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let groups_fine = digits
        .split('_')
        .all(|group| !group.is_empty() && group.bytes().all(|byte| byte.is_ascii_digit()));
    if groups_fine {
        text.replace('_', "").parse().ok()
    } else {
        None
    }
}

/// Python's `float(value)`.
fn float(value: &Value) -> Parsed<f64> {
    match value {
        Value::Float(number) => Ok(*number),
        #[expect(clippy::cast_precision_loss, reason = "Python rounds too")]
        Value::Int(number) => Ok(*number as f64),
        Value::Str(text) => text
            .trim()
            .parse()
            .map_err(|_| value_error(format!("could not convert string to float: {}", repr(value)))),
        other => {
            let text = format!(
                "float() argument must be a string or a real number, not '{}'",
                type_name(other)
            );
            Err(RemoteError::new(ErrorClass::TypeError, text))
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::None => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) | Value::Addr(_) => "str",
        Value::Bytes(_) => "bytes",
        Value::List(_) => "list",
        Value::Tuple(_) => "tuple",
        Value::Dict(_) => "dict",
    }
}

fn exception(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ErrorClass::Exception, text)
}

fn value_error(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ErrorClass::ValueError, text)
}

fn invalid_command() -> RemoteError {
    exception("Invalid command")
}
