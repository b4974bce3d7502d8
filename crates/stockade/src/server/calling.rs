//! Methods of actions that a client calls: `set JAIL action ACTION METHOD [JSON]` (behaviour spec 7.3).
//!
//! They run on the action's own thread, behind what waits there, so that one that hangs holds up nobody else.

use std::sync::mpsc::SyncSender;

use serde_json::{Map, Value as Json};
use stockade_action::{Action, ActionError, Context};
use stockade_core::effect::Ban;
use stockade_core::{FailureId, Fields, JailName, LineText, Seconds, Timestamp, Until};
use stockade_protocol::{ErrorClass, RemoteError, Reply, Value};

use super::acting::Job;
use super::commands::exception;
use super::jails::Jails;
use super::setup::no_action;

/// So long a command of `executeCmd` may take if nothing else is said, as there.
const COMMAND_SECONDS: i64 = 60;

/// What an action is asked to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Ban(Box<Ban>),
    Unban(Box<Ban>),
    Prolong(Box<Ban>),
    Flush,
    Start,
    Stop,
    Reload,
    /// Is everything in place?
    Check,
    /// Runs a command as the actions' own are run.
    Execute {
        command: String,
        seconds: i64,
    },
    /// What only concerns Fail2Ban's own memory.
    Nothing,
}

/// Methods that can be called here.
pub(crate) const METHODS: &[&str] = &[
    "ban",
    "clearAllParams",
    "consistencyCheck",
    "executeCmd",
    "flush",
    "invalidateBanEpoch",
    "prolong",
    "reban",
    "reload",
    "start",
    "stop",
    "unban",
];

impl Call {
    /// Reads a method with its arguments. Fails in Python's words, which the real server answers with.
    pub(crate) fn parse(method: &str, json: &str, now: Timestamp) -> Result<Self, RemoteError> {
        let mut arguments = Arguments {
            method,
            given: arguments(method, json)?,
        };
        let call = match method {
            "ban" | "reban" => Self::Ban(arguments.ban(now)?),
            "unban" => Self::Unban(arguments.ban(now)?),
            "prolong" => Self::Prolong(arguments.ban(now)?),
            "flush" => Self::Flush,
            "start" => Self::Start,
            "stop" => Self::Stop,
            "reload" => Self::Reload,
            "consistencyCheck" => Self::Check,
            "clearAllParams" | "invalidateBanEpoch" => Self::Nothing,
            "executeCmd" => Self::Execute {
                command: text_of(&arguments.take("realCmd")?),
                seconds: match arguments.given.remove("timeout") {
                    Some(seconds) => seconds
                        .as_i64()
                        .filter(|seconds| *seconds > 0)
                        .unwrap_or(COMMAND_SECONDS),
                    None => COMMAND_SECONDS,
                },
            },
            other => {
                return Err(exception(format!(
                    "the method `{other}` cannot be called; why: it works on Fail2Ban's own memory; mend: one of {}",
                    METHODS.join(", ")
                )));
            }
        };
        // What is left over nobody knows; some methods take everything.
        match arguments.given.keys().next() {
            Some(name) if !matches!(method, "reload" | "executeCmd") => Err(type_error(format!(
                "CommandAction.{method}() got an unexpected keyword argument '{name}'"
            ))),
            _ => Ok(call),
        }
    }

    /// Does it; the outcome as the real server answers.
    pub(crate) fn carry_out(self, jail: &JailName, action: &mut Action, context: &mut Context<'_>) -> Reply {
        let truth = |outcome: Result<(), ActionError>, what: &str, name: &str| {
            let failed = |_| runtime_error(format!("Error {what} action {jail}/{name}"));
            outcome.map(|()| Value::Bool(true)).map_err(failed)
        };
        let about = |outcome: Result<(), ActionError>, what: &str, ban: &Ban| {
            let failed = |_| runtime_error(format!("Error {what} {}", ban.id));
            outcome.map(|()| Value::None).map_err(failed)
        };
        let name = action.name().to_owned();
        match self {
            Self::Ban(ban) => about(action.ban(&ban, context), "banning", &ban),
            Self::Unban(ban) => about(action.unban(&ban, context), "unbanning", &ban),
            Self::Prolong(ban) => about(action.prolong(&ban, context), "prolonging", &ban),
            Self::Flush => truth(action.flush(context), "flushing", &name),
            Self::Start => truth(action.start(context), "starting", &name),
            Self::Stop => truth(action.stop(context), "stopping", &name),
            Self::Reload => truth(action.reload(context), "reloading", &name),
            Self::Check => Ok(Value::Bool(action.check(context).is_ok())),
            Self::Execute { command, seconds } => {
                let properties = [
                    ("actionstart".to_owned(), command),
                    ("actionstart_on_demand".to_owned(), "false".to_owned()),
                    ("timeout".to_owned(), seconds.to_string()),
                ];
                let mut alone =
                    Action::new(jail, "executeCmd", &properties).map_err(|error| exception(error.to_string()))?;
                Ok(Value::Bool(alone.start(context).is_ok()))
            }
            Self::Nothing => Ok(Value::None),
        }
    }
}

struct Arguments<'a> {
    method: &'a str,
    given: Map<String, Json>,
}

impl Arguments<'_> {
    fn take(&mut self, name: &str) -> Result<Json, RemoteError> {
        let method = self.method;
        self.given.remove(name).ok_or_else(|| match self.given.keys().next() {
            Some(other) if method != "executeCmd" => type_error(format!(
                "CommandAction.{method}() got an unexpected keyword argument '{other}'"
            )),
            _ => type_error(format!(
                "CommandAction.{method}() missing 1 required positional argument: '{name}'"
            )),
        })
    }

    /// Who is meant, and what is told of them.
    fn ban(&mut self, now: Timestamp) -> Result<Box<Ban>, RemoteError> {
        let Json::Object(told) = self.take("aInfo")? else {
            return Err(type_error("aInfo has to be a mapping, with `ip` in it"));
        };
        let id = ["ip", "fid", "F-ID"].iter().find_map(|name| told.get(*name));
        let id = id
            .map(text_of)
            .filter(|id| !id.is_empty() && !id.chars().any(char::is_control));
        let id = id.ok_or_else(|| RemoteError::new(ErrorClass::ValueError, "aInfo tells no `ip`"))?;
        let number = |name: &str| told.get(name).and_then(number_of);
        let since = number("time").map_or(now, Timestamp::from_secs);
        let bantime = number("bantime").unwrap_or(-1);
        let mut fields = Fields::default();
        for (name, value) in &told {
            if let Some(field) = name.strip_prefix("F-").filter(|field| *field != "ID") {
                fields.set(&field.to_ascii_lowercase(), &text_of(value));
            }
        }
        let matches = told.get("matches").map(text_of).unwrap_or_default();
        Ok(Box::new(Ban {
            id: FailureId::parse(&id),
            since,
            until: if bantime < 0 {
                Until::Forever
            } else {
                Until::At(Timestamp::from_secs(since.secs().saturating_add(bantime)))
            },
            bantime: Seconds(bantime),
            failures: number("failures")
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(0),
            matches: matches
                .lines()
                .map(|line| LineText {
                    text: line.into(),
                    date: 0..0,
                })
                .collect(),
            fields,
            count: number("bancount")
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(1),
            restored: false,
        }))
    }
}

fn arguments(method: &str, json: &str) -> Result<Map<String, Json>, RemoteError> {
    if json.is_empty() {
        return Ok(Map::new());
    }
    let value_error = |text: String| RemoteError::new(ErrorClass::ValueError, text);
    let read = serde_json::from_str(json).map_err(|error| {
        // As Python says it, where the very beginning is none.
        match error.column() {
            0 | 1 if error.line() <= 1 => value_error("Expecting value: line 1 column 1 (char 0)".to_owned()),
            _ => value_error(format!("the arguments of `{method}` are no JSON: {error}")),
        }
    })?;
    let kind = match read {
        Json::Object(given) => return Ok(given),
        Json::Array(_) => "list",
        Json::String(_) => "str",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_f64() => "float",
        Json::Number(_) => "int",
        Json::Null => "NoneType",
    };
    Err(type_error(format!(
        "fail2ban.server.action.CommandAction.{method}() argument after ** must be a mapping, not {kind}"
    )))
}

fn text_of(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn number_of(value: &Json) -> Option<i64> {
    #[expect(clippy::cast_possible_truncation, reason = "what is out of range saturates")]
    let of_float = |number: f64| number as i64;
    match value {
        Json::Number(number) => number.as_i64().or_else(|| number.as_f64().map(of_float)),
        Json::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn type_error(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ErrorClass::TypeError, text)
}

fn runtime_error(text: String) -> RemoteError {
    RemoteError::new(ErrorClass::RuntimeError, text)
}

impl Jails {
    /// Lets an action do what a client wants; it answers when it is done.
    pub(crate) fn call(&self, jail: &JailName, action: &str, (method, json): (&str, &str), reply: SyncSender<Reply>) {
        let lane = self.running(jail).and_then(|running| {
            running.setup.action(action).ok_or_else(|| no_action(action))?;
            let call = Call::parse(method, json, super::now())?;
            let lane = running.lanes.iter().find(|lane| lane.name() == action);
            let asleep = || exception(format!("the action `{action}` does not run; mend: start {jail}"));
            Ok((lane.ok_or_else(asleep)?, call))
        });
        match lane {
            Ok((lane, call)) => lane.give(Job::Call(Box::new(call), reply)),
            // A client that went away does not want the answer.
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(method: &str, json: &str) -> String {
        Call::parse(method, json, Timestamp::from_secs(0))
            .unwrap_err()
            .to_string()
    }

    // Texts of Fail2Ban 1.0.2.
    #[test]
    fn arguments_that_are_none_are_refused_in_pythons_words() {
        for (method, json, text) in [
            (
                "ban",
                "",
                "CommandAction.ban() missing 1 required positional argument: 'aInfo'",
            ),
            (
                "ban",
                r#"{"ip":"192.0.2.9"}"#,
                "CommandAction.ban() got an unexpected keyword argument 'ip'",
            ),
            ("ban", "junk", "Expecting value: line 1 column 1 (char 0)"),
            (
                "ban",
                r#"["a"]"#,
                "fail2ban.server.action.CommandAction.ban() argument after ** must be a mapping, not list",
            ),
            (
                "executeCmd",
                "",
                "CommandAction.executeCmd() missing 1 required positional argument: 'realCmd'",
            ),
            (
                "start",
                r#"{"x":1}"#,
                "CommandAction.start() got an unexpected keyword argument 'x'",
            ),
        ] {
            assert_eq!(refused(method, json), text, "{method} {json}");
        }
        assert!(refused("replaceTag", "").contains("mend: one of ban"));
        assert!(refused("ban", r#"{"aInfo":{"ip":"a\nb"}}"#).contains("no `ip`"));
    }

    #[test]
    fn who_is_meant_and_what_is_told_of_them_is_read() {
        let json =
            r#"{"aInfo":{"ip":"192.0.2.9","failures":3,"bantime":"600","time":5.5,"matches":"a\nb","F-USER":"root"}}"#;
        let Ok(Call::Ban(ban)) = Call::parse("ban", json, Timestamp::from_secs(0)) else {
            panic!("no ban")
        };
        assert_eq!(ban.id, FailureId::parse("192.0.2.9"));
        assert_eq!(
            (ban.failures, ban.bantime, ban.since),
            (3, Seconds(600), Timestamp::from_secs(5))
        );
        assert_eq!(ban.until, Until::At(Timestamp::from_secs(605)));
        assert_eq!(ban.matches.len(), 2);
        assert_eq!(ban.fields.get("user"), Some("root"));
        let execute = Call::parse(
            "executeCmd",
            r#"{"realCmd":"true","timeout":5}"#,
            Timestamp::from_secs(0),
        );
        let (command, seconds) = ("true".to_owned(), 5);
        assert_eq!(execute, Ok(Call::Execute { command, seconds }));
    }
}
