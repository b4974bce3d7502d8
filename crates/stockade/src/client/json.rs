//! Answers as JSON (`--json`), for programs: keys stay as they are from one version to the next.

use serde_json::{Map, Value as Json, json};
use stockade_protocol::{RemoteError, Value};

/// What programs may rely on, for the manual.
pub const ANSWERS: &[(&str, &str)] = &[
    ("status", r#"{"jails": ["NAME", …]}"#),
    (
        "status <JAIL> [short]",
        r#"{"jail": "NAME", "filter": {"currently_failed": N, "total_failed": N, "file_list": ["PATH", …]}, "actions": {"currently_banned": N, "total_banned": N, "banned_ip_list": ["ID", …]}}; a jail of the journal has "journal_matches" in the place of "file_list""#,
    ),
    (
        "status <JAIL> kernel",
        r#"{"jail": "NAME", "actions": {"ACTION": {"in_kernel": N, "should_be": N, "put_right": N, "blocked_packets": N, "blocked_bytes": N, "most_blocked": [{"id": "ID", "packets": N, "bytes": N}, …]}, …}}; what is blocked is counted by native actions; of an action whose commands are run as written "in_kernel" is null"#,
    ),
    (
        "status --all [short]",
        r#"{"jails": {"NAME": {"filter": …, "actions": …}, …}}"#,
    ),
    (
        "stats, status --all stats",
        r#"{"jails": {"NAME": {"backend": "…", "filter": {"current": N, "total": N}, "actions": {"current": N, "total": N}}, …}}"#,
    ),
    ("banned", r#"{"NAME": ["ID", …], …}"#),
    ("banned <IP> ... <IP>", r#"{"IP": ["NAME", …], …}"#),
    ("get <JAIL> banned <IP> ... <IP>", r#"{"IP": true or false, …}"#),
    (
        "get <JAIL> banip --with-time",
        r#"[{"id": "ID", "since": "DATE", "seconds": N, "until": "DATE"}, …]; "until" is null for a ban without end"#,
    ),
    ("get <JAIL> datepattern", r#"{"pattern": "…" or null, "name": "…"}"#),
    (
        "get …, and others",
        "the value: text, number, true, false, null or a list",
    ),
    (
        "refused",
        r#"{"error": {"class": "UnknownJailException", "message": "…"}}; "class" is null if no server answered"#,
    ),
];

/// The answer to a command, on one line.
pub(crate) fn answer(words: &[String], value: &Value) -> String {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["status"] => json!({ "jails": names(value) }),
        ["status", "--all", "stats", ..] | ["stats" | "statistic" | "statistics", ..] => jails(value, stats),
        ["status", "--all", ..] => match items(value).last() {
            Some(all @ Value::Dict(_)) => jails(all, tree),
            _ => json!({}),
        },
        ["status", jail, "stats", ..] if matches!(items(value).first(), Some(Value::Str(_))) => {
            with_name(jail, stats(value))
        }
        ["status", jail, "kernel"] => json!({ "jail": jail, "actions": accounts(value) }),
        ["status", jail, ..] => with_name(jail, tree(value)),
        ["banned"] => Json::Object(items(value).iter().flat_map(entries).collect()),
        ["banned", ids @ ..] => {
            let pairs = ids.iter().zip(items(value));
            Json::Object(pairs.map(|(id, jails)| ((*id).to_owned(), plain(jails))).collect())
        }
        ["get", _, "banned", ids @ ..] if !ids.is_empty() => {
            let flags = match value {
                Value::List(flags) => flags.as_slice(),
                one => std::slice::from_ref(one),
            };
            let pairs = ids.iter().zip(flags);
            Json::Object(
                pairs
                    .map(|(id, flag)| ((*id).to_owned(), json!(*flag == Value::Int(1))))
                    .collect(),
            )
        }
        ["get", _, "banip", "--with-time", ..] => items(value).iter().map(ban).collect(),
        ["get", _, "datepattern"] => match items(value) {
            [pattern, name] => json!({ "pattern": plain(pattern), "name": plain(name) }),
            _ => plain(value),
        },
        _ => plain(value),
    }
    .to_string()
}

/// A refusal: the class of the exception and what it says.
pub(crate) fn error(error: &RemoteError) -> String {
    json!({ "error": { "class": error.class.name(), "message": error.to_string() } }).to_string()
}

/// Without an answer there is no class.
pub(crate) fn no_answer(text: &str) -> String {
    json!({ "error": { "class": null, "message": text } }).to_string()
}

fn plain(value: &Value) -> Json {
    match value {
        Value::None => Json::Null,
        Value::Bool(flag) => json!(flag),
        Value::Int(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Str(text) | Value::Addr(text) => json!(text),
        Value::Bytes(bytes) => json!(String::from_utf8_lossy(bytes)),
        Value::List(items) | Value::Tuple(items) => items.iter().map(plain).collect(),
        Value::Dict(_) => Json::Object(entries(value).collect()),
    }
}

fn items(value: &Value) -> &[Value] {
    match value {
        Value::List(items) | Value::Tuple(items) => items,
        _ => &[],
    }
}

fn entries(value: &Value) -> impl Iterator<Item = (String, Json)> + '_ {
    let pairs = match value {
        Value::Dict(pairs) => pairs.as_slice(),
        _ => &[],
    };
    pairs.iter().map(|(key, value)| (key.to_string(), plain(value)))
}

fn jails(value: &Value, shown: impl Fn(&Value) -> Json) -> Json {
    let jails = match value {
        Value::Dict(jails) => jails.as_slice(),
        _ => &[],
    };
    let jails: Map<String, Json> = jails
        .iter()
        .map(|(name, state)| (name.to_string(), shown(state)))
        .collect();
    json!({ "jails": jails })
}

/// Of `status`: `[('Number of jail', 2), ('Jail list', 'a, b')]`.
fn names(value: &Value) -> Json {
    let list = items(value).get(1).map(items).and_then(|pair| pair.get(1));
    let list = list.map(ToString::to_string).unwrap_or_default();
    list.split(", ").filter(|name| !name.is_empty()).collect()
}

/// Of `status JAIL`: groups of named values, whose names become keys (`Currently failed` is `currently_failed`).
fn tree(value: &Value) -> Json {
    let groups = items(value).iter().filter_map(entries_of);
    Json::Object(groups.map(|(name, members)| (name, Json::Object(members))).collect())
}

/// A group of named values.
fn entries_of(group: &Value) -> Option<(String, Map<String, Json>)> {
    let key = |name: &Value| name.to_string().to_lowercase().replace(' ', "_");
    let [name, members] = items(group) else { return None };
    let members = items(members).iter().filter_map(|member| match items(member) {
        [name, value] => Some((key(name), plain(value))),
        _ => None,
    });
    Some((key(name), members.collect()))
}

/// Of `status JAIL kernel`: what each action tells.
fn accounts(value: &Value) -> Json {
    let accounts = items(value).iter().filter_map(|account| match items(account) {
        [name, _] => {
            let (_, mut told) = entries_of(account)?;
            if told.get("in_kernel").is_some_and(Json::is_string) {
                told.insert("in_kernel".to_owned(), Json::Null);
            }
            if let Some(Json::Array(most)) = told.get_mut("most_blocked") {
                for line in most {
                    *line = blocked(line);
                }
            }
            Some((name.to_string(), Json::Object(told)))
        }
        _ => None,
    });
    Json::Object(accounts.collect())
}

/// `192.0.2.7 (12 packets, 720 bytes)`
fn blocked(line: &Json) -> Json {
    let parts = line.as_str().and_then(|text| {
        let (id, rest) = text.split_once(" (")?;
        let (packets, rest) = rest.split_once(" packets, ")?;
        let bytes = rest.strip_suffix(" bytes)")?;
        Some(json!({ "id": id, "packets": packets.parse::<u64>().ok()?, "bytes": bytes.parse::<u64>().ok()? }))
    });
    parts.unwrap_or(Json::Null)
}

/// Of `stats`: `['polling', (1, 5), (1, 1)]`.
fn stats(value: &Value) -> Json {
    let counts = |place: usize| match items(value).get(place).map(items) {
        Some([current, total]) => json!({ "current": plain(current), "total": plain(total) }),
        _ => Json::Null,
    };
    let backend = items(value).first().map_or(Json::Null, plain);
    json!({ "backend": backend, "filter": counts(1), "actions": counts(2) })
}

fn with_name(jail: &str, mut state: Json) -> Json {
    if let Json::Object(members) = &mut state {
        members.insert("jail".to_owned(), json!(jail));
    }
    state
}

/// `192.0.2.7 \t2026-11-22 14:07:54 + 600 = 2026-11-22 14:17:54`; a ban for ever has no end.
fn ban(line: &Value) -> Json {
    let text = line.to_string();
    let parts = text.split_once(" \t").and_then(|(id, times)| {
        let (since, rest) = times.split_once(" + ")?;
        let (seconds, until) = rest.split_once(" = ")?;
        Some((id, since, seconds.parse::<i64>().ok()?, until))
    });
    match parts {
        Some((id, since, seconds, until)) => {
            let until = (seconds >= 0).then_some(until);
            json!({ "id": id, "since": since, "seconds": seconds, "until": until })
        }
        None => json!({ "id": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_protocol::ErrorClass;

    fn shown(line: &str, value: &Value) -> String {
        let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
        answer(&words, value)
    }

    fn pair(name: &str, value: Value) -> Value {
        Value::Tuple(vec![Value::from(name), value])
    }

    fn texts(texts: &[&str]) -> Value {
        Value::List(texts.iter().map(|text| Value::from(*text)).collect())
    }

    /// These keys are promised in the manual: whoever changes them breaks programs.
    #[test]
    fn answers_have_the_promised_keys() {
        let state = Value::List(vec![
            pair(
                "Filter",
                Value::List(vec![
                    pair("Currently failed", 1.into()),
                    pair("File list", texts(&["/a"])),
                ]),
            ),
            pair(
                "Actions",
                Value::List(vec![pair("Banned IP list", texts(&["192.0.2.1"]))]),
            ),
        ]);
        let tree = r#""actions":{"banned_ip_list":["192.0.2.1"]},"filter":{"currently_failed":1,"file_list":["/a"]}"#;
        let counts = || Value::Tuple(vec![1.into(), 5.into()]);
        let stats = Value::List(vec![Value::from("polling"), counts(), counts()]);
        let counted = r#""actions":{"current":1,"total":5},"backend":"polling","filter":{"current":1,"total":5}"#;
        let jails = |state: &Value| Value::Dict(vec![(Value::from("j"), state.clone())]);
        let head = || pair("Jail list", "j, k".into());
        for (line, value, expected) in [
            (
                "status",
                Value::List(vec![pair("Number of jail", 2.into()), head()]),
                r#"{"jails":["j","k"]}"#.to_owned(),
            ),
            ("status j", state.clone(), format!("{{{tree},\"jail\":\"j\"}}")),
            (
                "status --all",
                Value::List(vec![head(), jails(&state)]),
                format!("{{\"jails\":{{\"j\":{{{tree}}}}}}}"),
            ),
            ("status j stats", stats.clone(), format!("{{{counted},\"jail\":\"j\"}}")),
            (
                "status j kernel",
                Value::List(vec![
                    pair(
                        "Act 1",
                        Value::List(vec![
                            pair("In kernel", 2.into()),
                            pair("Should be", 3.into()),
                            pair("Most blocked", texts(&["192.0.2.0/24 (12 packets, 720 bytes)"])),
                        ]),
                    ),
                    pair("b", Value::List(vec![pair("In kernel", Value::from("unknown: …"))])),
                ]),
                concat!(
                    r#"{"actions":{"Act 1":{"in_kernel":2,"most_blocked":[{"bytes":720,"id":"192.0.2.0/24","packets":12}],"should_be":3},"#,
                    r#""b":{"in_kernel":null}},"jail":"j"}"#
                )
                .to_owned(),
            ),
            ("stats", jails(&stats), format!("{{\"jails\":{{\"j\":{{{counted}}}}}}}")),
            (
                "banned",
                Value::List(vec![jails(&texts(&["a"]))]),
                r#"{"j":["a"]}"#.to_owned(),
            ),
            (
                "banned a b",
                Value::List(vec![texts(&["j"]), texts(&[])]),
                r#"{"a":["j"],"b":[]}"#.to_owned(),
            ),
            ("get j banned a", Value::Int(1), r#"{"a":true}"#.to_owned()),
            (
                "get j banned a b",
                Value::List(vec![1.into(), 0.into()]),
                r#"{"a":true,"b":false}"#.to_owned(),
            ),
            ("get j maxretry", Value::Int(3), "3".to_owned()),
            (
                "get j ignoreip",
                Value::List(vec![Value::Addr("::1".into())]),
                r#"["::1"]"#.to_owned(),
            ),
            ("get dbfile", Value::None, "null".to_owned()),
            (
                "get j datepattern",
                Value::Tuple(vec![Value::None, "Default Detectors".into()]),
                r#"{"name":"Default Detectors","pattern":null}"#.to_owned(),
            ),
            (
                "get j banip --with-time",
                texts(&["::1 \t2026-11-22 14:07:54 + 600 = 2026-11-22 14:17:54"]),
                r#"[{"id":"::1","seconds":600,"since":"2026-11-22 14:07:54","until":"2026-11-22 14:17:54"}]"#
                    .to_owned(),
            ),
        ] {
            assert_eq!(shown(line, &value), expected, "{line}");
        }
        let refused = RemoteError::new(ErrorClass::UnknownJail, "nope");
        assert_eq!(
            error(&refused),
            r#"{"error":{"class":"UnknownJailException","message":"nope"}}"#
        );
    }
}
