//! Messages that mean harm, or nothing.
#![expect(clippy::unwrap_used, reason = "test code")]

use stockade_protocol::pickle::{PickleError, decode, decode_reply, encode, encode_reply};
use stockade_protocol::{ErrorClass, RemoteError, Value, parse};

#[test]
fn a_message_cannot_name_what_is_not_in_the_table() {
    for (name, message) in [
        ("os.system", b"cos\nsystem\n(S'true'\ntR.".as_slice()),
        (
            "posix.system by stack",
            b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        ),
        ("builtins.eval", b"cbuiltins\neval\n(V1\ntR."),
        ("builtins.getattr", b"cbuiltins\ngetattr\n."),
        ("a dotted name", b"\x80\x04\x8c\x08builtins\x8c\x09str.upper\x93."),
    ] {
        assert!(matches!(decode(message), Err(PickleError::Forbidden(_))), "{name}");
    }
    for (name, message) in [
        ("BUILD", b"}b.".as_slice()),
        ("INST", b"(ios\nsystem\n."),
        ("OBJ", b"(o."),
        ("NEWOBJ", b"\x81."),
        ("PERSID", b"Px\n."),
        ("EXT1", b"\x82\x01."),
    ] {
        assert!(
            matches!(
                decode(message),
                Err(PickleError::Unsupported(_) | PickleError::Malformed(_))
            ),
            "{name}"
        );
    }
}

#[test]
fn a_short_message_cannot_grow_a_large_memory() {
    // Each list holds the last one ten times.
    let mut lists = b"]".to_vec();
    for _ in 0..30 {
        lists.extend_from_slice(b"q\0(");
        lists.extend_from_slice(&[b'h', 0].repeat(10));
        lists.extend_from_slice(b"l");
    }
    lists.push(b'.');
    assert_eq!(decode(&lists), Err(PickleError::TooLarge));

    // One text of a megabyte, a thousand times.
    let mut texts = b"(X\0\0\x10\0".to_vec();
    texts.extend(vec![b'x'; 1 << 20]);
    texts.extend_from_slice(b"q\0");
    texts.extend([b'h', 0].repeat(1000));
    texts.extend_from_slice(b"l.");
    assert_eq!(decode(&texts), Err(PickleError::TooLarge));

    // A list in itself, deep nesting, a length that is not there.
    assert_eq!(decode(b"]q\0h\0a."), Err(PickleError::TooLarge));
    let deep: Vec<u8> = [b']']
        .repeat(100_000)
        .into_iter()
        .chain([b'a'].repeat(99_999))
        .chain([b'.'])
        .collect();
    assert_eq!(decode(&deep), Err(PickleError::TooLarge));
    assert_eq!(
        decode(b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f."),
        Err(PickleError::Truncated)
    );
}

/// A small generator of numbers, so that a failure can be seen again by its seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }
}

#[test]
fn mutated_messages_are_refused_or_read_but_never_panic() {
    let text = Value::from;
    let seeds: Vec<Vec<u8>> = vec![
        encode(&Value::List(vec![
            text("set"),
            text("jp"),
            text("maxretry"),
            Value::Int(70_000),
        ])),
        encode(&Value::List(vec![
            text("multi-set"),
            text("jp"),
            text("action"),
            text("a"),
            Value::List(vec![Value::List(vec![text("actionban"), text("true")])]),
        ])),
        encode_reply(&Err(RemoteError::new(ErrorClass::UnknownJail, "nope"))),
        encode(&Value::Dict(vec![
            (text("a"), Value::Float(1.5)),
            (Value::Addr("10.0.0.0/8".into()), Value::None),
        ])),
        b"(lp0\nVstatus\np1\naI01\naL5L\naF1.5\na(dp2\nS'k'\nNsa(VA\\u00e9\nN\x88ta.".to_vec(),
    ];
    let mut random = Random(0x5eed_0bad_cafe);
    let mut read = 0;
    for round in 0..60_000 {
        let mut message = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let place = random.below(message.len());
            let byte = random.next().to_le_bytes()[0];
            match random.below(5) {
                0 => message[place] = byte,
                1 => message.insert(place, byte),
                2 => drop(message.remove(place)),
                3 => message.truncate(place.max(1)),
                _ => {
                    let other = &seeds[random.below(seeds.len())];
                    message.extend_from_slice(&other[random.below(other.len())..]);
                }
            }
            if message.is_empty() {
                message.push(b'.');
            }
        }
        if let Ok(value) = decode(&message) {
            read += 1;
            let _request_or_refusal = parse(&value);
            // What was read can be written and is then the same; NaN equals nothing.
            let again = decode(&encode(&value)).unwrap();
            assert_eq!(stockade_protocol::repr(&again), stockade_protocol::repr(&value));
        }
        let _reply_or_error = decode_reply(&message);
    }
    assert!(
        read > 1000,
        "only {read} mutated messages could be read: the mutations are too coarse to test much"
    );
}
