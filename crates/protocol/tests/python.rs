//! Pickles as CPython itself reads and writes them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test code")]

use std::io::Write;
#[expect(
    clippy::disallowed_types,
    reason = "the tests ask Python; the crate itself starts nothing"
)]
use std::process::Command;
use std::process::Stdio;

use stockade_protocol::{ErrorClass, RemoteError, Reply, Value, pickle, repr, repr_error};

/// Runs a Python program with input; `None`, with the reason printed, if there is no Python.
#[expect(
    clippy::disallowed_types,
    reason = "the tests ask Python; the crate itself starts nothing"
)]
fn python(program: &str, input: &[u8]) -> Option<Vec<u8>> {
    let child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: python3 cannot be run ({error}); install python3");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    #[expect(clippy::disallowed_methods, reason = "writes while the output is read")]
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(output.stdout)
}

/// Values of every kind and size class, as Python literals would write them.
fn values() -> Vec<Value> {
    let mut values = vec![
        Value::None,
        Value::Bool(true),
        Value::Bool(false),
        Value::Float(1.5),
        Value::Float(-0.0),
        Value::Float(1e300),
        Value::Float(1_795_354_986.25),
        Value::from(""),
        Value::from("pong"),
        Value::from("käse \u{1f9c0} '\"\\\n\t\u{7f}\u{85}\u{ad}\u{2028}"),
        Value::from("x".repeat(255)),
        Value::from("y".repeat(256)),
        Value::Bytes(vec![0, 1, 0xff, b'\'']),
        Value::Tuple(vec![]),
        Value::List(vec![]),
        Value::Dict(vec![]),
        Value::Dict(vec![(Value::from("ji"), Value::List(vec![]))]),
        Value::Dict(vec![
            (Value::from("a"), Value::Int(1)),
            (Value::from("b"), Value::Int(2)),
        ]),
        Value::List((0..999).map(Value::Int).collect()),
        Value::List((0..1000).map(Value::Int).collect()),
        Value::List((0..1001).map(Value::Int).collect()),
        Value::List(
            (0..2500)
                .map(|number| Value::from(format!("2001:db8::{number:x}")))
                .collect(),
        ),
    ];
    for number in [
        0,
        1,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        1 << 31,
        (1 << 31) - 1,
        1 << 32,
        1 << 39,
        i64::MAX,
    ] {
        values.extend([Value::Int(number), Value::Int(-number)]);
    }
    values.push(Value::Int(i64::MIN));
    for length in 1..6 {
        values.push(Value::Tuple((0..length).map(Value::Int).collect()));
        values.push(Value::List(
            (0..length).map(|number| Value::from(number.to_string())).collect(),
        ));
    }
    values
}

#[test]
fn python_writes_the_same_bytes_for_the_same_reply() {
    let program = "import pickle,sys,ast
for line in sys.stdin:
    value = eval(line)
    print(pickle.dumps((0, value), 5).hex())";
    let values = values();
    let input: String = values.iter().map(|value| repr(value) + "\n").collect();
    let Some(output) = python(program, input.as_bytes()) else {
        return;
    };
    let lines: Vec<String> = String::from_utf8(output)
        .unwrap()
        .lines()
        .map(ToOwned::to_owned)
        .collect();
    assert_eq!(lines.len(), values.len());
    for (value, theirs) in values.into_iter().zip(lines) {
        let ours = pickle::encode_reply(&Ok(value.clone()));
        assert_eq!(
            ours,
            unhex(&theirs),
            "{}",
            repr(&value).chars().take(80).collect::<String>()
        );
    }
}

#[test]
fn python_reads_what_is_written() {
    let program = "import pickle,sys
data = sys.stdin.buffer.read()
while data:
    size = int.from_bytes(data[:4], 'little')
    sys.stdout.write(repr(pickle.loads(data[4:4+size])) + '\\n')
    data = data[4+size:]";
    let mut values = values();
    let repeated = Value::from("same");
    values.push(Value::List(vec![
        repeated.clone(),
        repeated.clone(),
        Value::Dict(vec![(repeated.clone(), repeated)]),
    ]));
    values.push(Value::List(
        (0..30_000)
            .map(|number| Value::from(format!("10.0.{number}")))
            .collect(),
    ));
    let mut input = Vec::new();
    let mut expected = String::new();
    for value in &values {
        let bytes = pickle::encode(value);
        input.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        input.extend_from_slice(&bytes);
        expected.push_str(&repr(value));
        expected.push('\n');
    }
    // An address is an instance of `str` to Python.
    let addr = pickle::encode(&Value::List(vec![Value::Addr("10.0.0.0/8".into())]));
    input.extend_from_slice(&u32::try_from(addr.len()).unwrap().to_le_bytes());
    input.extend_from_slice(&addr);
    expected.push_str("['10.0.0.0/8']\n");
    let Some(output) = python(program, &input) else { return };
    assert_eq!(String::from_utf8(output).unwrap(), expected);
}

#[test]
fn what_python_writes_is_read_in_every_protocol() {
    let program = "import pickle,sys
values = [eval(line) for line in sys.stdin]
for value in values:
    for protocol in range(6):
        print(pickle.dumps(value, protocol).hex())
shared = ['a']
for protocol in range(6):
    print(pickle.dumps([shared, shared, {'k': shared}], protocol).hex())";
    let mut values = values();
    let input: String = values.iter().map(|value| repr(value) + "\n").collect();
    let Some(output) = python(program, input.as_bytes()) else {
        return;
    };
    let shared = Value::List(vec![Value::from("a")]);
    values.push(Value::List(vec![
        shared.clone(),
        shared.clone(),
        Value::Dict(vec![(Value::from("k"), shared)]),
    ]));
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), values.len() * 6);
    for (value, protocols) in values.iter().zip(lines.chunks(6)) {
        for (protocol, hex) in protocols.iter().enumerate() {
            if matches!(value, Value::Bytes(_)) && protocol < 3 {
                // Written as a call of a codec, which is not in the table; Fail2Ban sends no bytes.
                assert!(matches!(
                    pickle::decode(&unhex(hex)),
                    Err(pickle::PickleError::Forbidden(_))
                ));
                continue;
            }
            let read =
                pickle::decode(&unhex(hex)).unwrap_or_else(|error| panic!("{error} in protocol {protocol}: {hex}"));
            assert_eq!(repr(&read), repr(value), "protocol {protocol}");
        }
    }
}

#[test]
fn exceptions_arrive_in_python_and_come_back_as_they_are() {
    // Stand-ins for Fail2Ban's own classes, so that the test needs only Python.
    let program = "import pickle,sys,types
for module, names in (('fail2ban.exceptions', ['UnknownJailException', 'DuplicateJailException']),
        ('fail2ban.server.failregex', ['RegexException'])):
    parts = module.split('.')
    for end in range(1, len(parts) + 1):
        sys.modules.setdefault('.'.join(parts[:end]), types.ModuleType('.'.join(parts[:end])))
    for name in names:
        setattr(sys.modules[module], name, type(name, (Exception,), {'__module__': module}))
data = sys.stdin.buffer.read()
while data:
    size = int.from_bytes(data[:4], 'little')
    code, error = pickle.loads(data[4:4+size])
    assert code == 1
    print(repr(error))
    print(str(error).replace('\\n', '/'))
    for protocol in range(6):
        print(pickle.dumps((code, error), protocol).hex())
    data = data[4+size:]";
    let mut errors: Vec<RemoteError> = ErrorClass::ALL
        .into_iter()
        .map(|class| RemoteError::new(class, format!("text of {}", class.name())))
        .collect();
    errors.push(RemoteError {
        class: ErrorClass::FileNotFoundError,
        args: vec![Value::Int(2), Value::from("No such file or directory")],
    });
    errors.push(RemoteError {
        class: ErrorClass::Exception,
        args: vec![],
    });
    let mut input = Vec::new();
    for error in &errors {
        let bytes = pickle::encode_reply(&Err(error.clone()));
        input.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
        input.extend_from_slice(&bytes);
    }
    let Some(output) = python(program, &input) else { return };
    let output = String::from_utf8(output).unwrap();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), errors.len() * 8);
    for (error, lines) in errors.into_iter().zip(lines.chunks(8)) {
        assert_eq!(repr_error(&error), lines[0]);
        // OSError writes `[Errno 2] …` where others show their arguments.
        if error.class != ErrorClass::FileNotFoundError || error.args.len() == 1 {
            assert_eq!(error.to_string(), lines[1]);
        }
        for hex in &lines[2..] {
            let back: Reply = pickle::decode_reply(&unhex(hex)).unwrap();
            assert_eq!(back, Err(error.clone()));
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}
