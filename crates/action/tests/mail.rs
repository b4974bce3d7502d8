//! Mails where the mail server is slow or hostile, and options that are refused. What is in a mail: `stockade/tests/oracle/mail.rs`.

mod common;

use std::io::Write as _;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use common::{action, ban, texts, with};

#[test]
fn a_mail_server_that_hangs_or_never_ends_is_given_up_in_time() {
    for greeting in ["", "220-more\r\n", "220"] {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = server.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for mut stream in server.incoming().flatten() {
                while !greeting.is_empty() && stream.write_all(greeting.as_bytes()).is_ok() {}
                // Holds the connection open.
                std::mem::forget(stream);
            }
        });
        let mut action = action(&[("native", "smtp"), ("host", &host), ("timeout", "1")]).unwrap();
        let since = Instant::now();
        let (outcome, reports) = with(|context| action.start(context));
        let said = texts(&reports);
        assert!(
            outcome.is_err() && said.contains("Failed to start jail 'j' action 'act'"),
            "{said}"
        );
        for _ in 0..20 {
            let (outcome, reports) = with(|context| action.ban(&ban("192.0.2.7"), context));
            assert!(
                outcome.is_err() && texts(&reports).contains("Failed to execute ban"),
                "{greeting}"
            );
            if !greeting.is_empty() {
                break;
            }
        }
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{greeting}: {:?}",
            since.elapsed()
        );
    }
}

#[test]
fn options_that_would_break_a_mail_are_refused() {
    for (option, value, expected) in [
        ("ssl", "True", "speaks no TLS; mend"),
        ("toaddr", "a\r\nDATA", "at most 100 mail addresses"),
        ("toaddr", "a b@example.org", "at most 100 mail addresses"),
        ("toaddr", " , ", "at most 100 mail addresses"),
        ("fromaddr", "x>\nRCPT TO:<y", "one mail address"),
        ("fromname", "x\nBcc: y", "a name of one line"),
        ("password", "x\ny", "a text of one line"),
    ] {
        let error = action(&[("native", "smtp"), (option, value)])
            .err()
            .map(|error| error.to_string());
        assert!(
            error.as_deref().unwrap_or_default().contains(expected),
            "{option}={value:?}: {error:?}"
        );
    }
}
