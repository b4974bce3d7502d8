//! What comes over the control socket, and `ignoreip`.

use std::net::{IpAddr, Ipv4Addr};

use stockade_core::{FailureId, IgnoreEntry, IgnoreList, IgnoreRule};
use stockade_protocol::{Frames, Value, parse, pickle, repr};

/// What can be read can be written and read again; no message makes a large memory.
pub(crate) fn pickle(data: &[u8]) {
    if let Ok(value) = pickle::decode(data) {
        let _request_or_refusal = parse(&value);
        let shown = repr(&value);
        match pickle::decode(&pickle::encode(&value)) {
            // NaN equals nothing, so the texts are compared.
            Ok(again) => assert_eq!(repr(&again), shown),
            Err(error) => panic!("{shown} cannot be read again: {error}"),
        }
    }
    let _reply_or_error = pickle::decode_reply(data);
}

/// Words, a line each, as a client would send them; a line of digits is a number, one with `|` a list.
pub(crate) fn request(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let word = |line: &str| match line.parse::<i64>() {
        Ok(number) if line.len().is_multiple_of(2) => Value::Int(number),
        _ if line.contains('|') => Value::List(line.split('|').map(Value::from).collect()),
        _ => Value::from(line),
    };
    let words: Vec<Value> = text.split('\n').map(word).collect();
    let message = pickle::encode(&Value::List(words.clone()));
    let whole = parse(&Value::List(words));
    // In pieces through the framing it is the same request.
    let mut frames = Frames::default();
    let sent = [message.as_slice(), stockade_protocol::END, data].concat();
    let mut first = None;
    for piece in sent.chunks(data.len() % 17 + 1) {
        if frames.push(piece).is_err() {
            return;
        }
        while let Some(message) = frames.next() {
            first.get_or_insert(message);
        }
    }
    let Some(first) = first else {
        panic!("a message with its end marker does not come out")
    };
    // A text that holds the end marker is cut there; so it is in Fail2Ban.
    if first == message {
        match pickle::decode(&first) {
            Ok(value) => assert_eq!(format!("{:?}", parse(&value)), format!("{whole:?}")),
            Err(error) => panic!("what was written cannot be read: {error}"),
        }
    }
}

/// Entries, a line each: what is shown reads as the same entry, an entry ignores itself, and a removed one is gone.
pub(crate) fn ignoreip(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut list = IgnoreList::default();
    let mut rules = Vec::new();
    for word in text.split('\n').take(30) {
        let entry = IgnoreEntry::parse(word.trim());
        // A relative path is shown as if it were absolute.
        if !matches!(&entry, IgnoreEntry::File(path) if !path.starts_with('/')) {
            assert_eq!(IgnoreEntry::parse(&entry.to_string()), entry, "{word:?}");
        }
        let id = FailureId::parse(word.trim());
        assert_eq!(FailureId::parse(&id.to_string()), id, "{word:?}");
        list.add(word);
        if id.as_net().is_some() {
            assert_eq!(
                list.check(&id, false),
                Some(IgnoreRule::Ip),
                "{word:?} does not ignore itself"
            );
        }
        rules.push((word.trim(), id));
    }
    list.set_file_content("/x", &text);
    list.set_own_addresses([IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))]);
    for (word, id) in &rules {
        let _rule = list.check(id, true);
        list.remove(word);
    }
    assert_eq!(list.entries().count(), 0);
}
