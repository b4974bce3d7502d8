//! The built-in actions that mail: what is in root's mailbox, by the real mail and dma, whatever whois and the log say.

mod common;

use std::process::Command;
use std::time::Duration;

use common::configured::actions;
use common::private::{Machine, on_a_machine};
use common::{ban, texts, with};
use stockade_action::{Context, Counters, Earlier, Scope};
use stockade_core::effect::Ban;
use stockade_core::{LineText, Timestamp};
use testkit::{output_of, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// What an attacker may have a mail program do, where it takes orders from the text of a mail.
const HOSTILE: &str = "~! touch CANARY\n~:touch CANARY\n~|touch CANARY\n~r /etc/passwd\n.\nFrom the grave\n$(touch CANARY) `touch CANARY`\n\
    %s %n \\n \\c \\101 ' \" ; & | <br> <ip> \u{263a} end";

/// The mails whose subject has this, as they are in root's mailbox, once there are so many.
#[track_caller]
fn mails(subject: &str, number: usize) -> Vec<String> {
    wait_for(SOON, "the mails are in the mailbox", || {
        let mailbox = String::from_utf8_lossy(&std::fs::read("/var/mail/root").unwrap_or_default()).into_owned();
        let mails = format!("\n{mailbox}");
        let found: Vec<String> = mails
            .split("\nFrom ")
            .filter(|mail| mail.contains(&format!("Subject: {subject}")))
            .map(ToOwned::to_owned)
            .collect();
        (found.len() == number).then_some(found)
    })
}

/// A ban with these log lines.
fn ban_for(id: &str, lines: &str) -> Ban {
    let mut ban = ban(id);
    ban.matches = lines
        .lines()
        .map(|line| LineText {
            text: line.into(),
            date: 0..0,
        })
        .collect();
    ban
}

fn prepare(machine: &Machine) {
    for folder in ["/var/mail", "/var/spool/dma", "/run"] {
        output_of(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=1777", "tmpfs", folder]));
    }
    output_of(Command::new("chown").args([":mail", "/var/spool/dma", "/var/mail"]));
    output_of(Command::new("chmod").args(["2775", "/var/spool/dma", "/var/mail"]));
    machine.write("whois-answer", HOSTILE);
    machine.program(
        "whois",
        &format!("echo \"about $1\"; cat {}", machine.join("whois-answer").display()),
    );
    let lines: Vec<String> = HOSTILE
        .lines()
        .map(|line| format!("{line} 192.0.2.7 2001:db8::7\n"))
        .collect();
    machine.write("log-1", &lines.concat());
    machine.write("log-2", "of 192.0.2.77 nothing\nof 192.0.2.7 more\n");
}

#[test]
fn mails_say_what_happened_whatever_whois_and_the_logs_say() {
    on_a_machine(&["mail", "dma", "sendmail", "fold", "iconv"], |machine| {
        prepare(machine);
        let logs = machine.join("log-*").display().to_string();
        for (number, (action, parts)) in [
            ("mail", &[][..]),
            ("mail-whois", &["about ID\n"]),
            ("mail-whois-lines", &["about ID\n", "of 192.0.2.7 more\n"]),
            ("sendmail", &[]),
            ("sendmail-whois", &["about ID\n"]),
            ("sendmail-whois-lines", &["about ID\n", "of 192.0.2.7 more\n"]),
            ("sendmail-whois-matches", &["about ID\n", "a match\n"]),
            ("sendmail-whois-ipmatches", &["about ID\n", "in All\n"]),
            ("sendmail-whois-ipjailmatches", &["about ID\n", "in Jail\n"]),
        ]
        .into_iter()
        .enumerate()
        {
            let name = format!("N{number}");
            let line = format!("{action}[name={name}, dest=root, sender=f@example.org, logpath=\"{logs}\"]");
            let mut mailing = actions(&line, false).remove(0);
            let earlier = |_: &_, scope: Scope| {
                let line = |text: &str| LineText {
                    text: text.into(),
                    date: 0..0,
                };
                let matches = HOSTILE
                    .lines()
                    .map(line)
                    .chain([line(&format!("in {scope:?}"))])
                    .collect();
                Some(Earlier { failures: 9, matches })
            };
            let mut reports = Vec::new();
            let mut context = Context {
                now: Timestamp::from_secs(common::NOW),
                counters: Counters::default(),
                earlier: &earlier,
                report: &mut |report| reports.push(report),
            };
            mailing.start(&mut context).unwrap();
            for id in ["192.0.2.7", "2001:db8::7"] {
                let mut ban = ban_for(id, &format!("{HOSTILE}\na match"));
                mailing.ban(&ban, &mut context).unwrap();
                // What a restart brings back has been told.
                ban.restored = true;
                mailing.ban(&ban, &mut context).unwrap();
            }
            mailing.stop(&mut context).unwrap();
            assert_eq!(texts(&reports), "", "{action}");
            for what in ["started on", "stopped on"] {
                let mail = mails(&format!("[Fail2Ban] {name}: {what}"), 1).remove(0);
                assert!(mail.contains(&format!("\n\nThe jail {name} on ")), "{action}: {mail}");
            }
            for id in ["192.0.2.7", "2001:db8::7"] {
                let mail = mails(&format!("[Fail2Ban] {name}: banned {id} from"), 1).remove(0);
                let parts: Vec<String> = parts.iter().map(|part| part.replace("ID", id)).collect();
                let is_of_lines = action.ends_with("-lines");
                for part in parts
                    .iter()
                    .filter(|part| !is_of_lines || !id.contains(':') || !part.contains("more"))
                {
                    assert!(mail.contains(part), "{action}: {part} in {mail}");
                }
                assert!(
                    mail.contains(&format!("\n{id} is banned after 3 failures in the jail {name}.\n")),
                    "{mail}"
                );
                assert!(mail.trim_end().contains("\n\nFail2Ban on "), "{action}: {mail}");
                assert!(
                    !mail.contains("192.0.2.77") && !mail.contains("root:"),
                    "{action}: {mail}"
                );
                // Line by line: all that whois said, as it was but for a blank before what some programs take for orders.
                let mut expected = HOSTILE.replace("From the", ">From the");
                if action.starts_with("mail") {
                    expected = expected.replace("\n~", "\n ~").replacen('~', " ~", 1);
                }
                assert!(parts.is_empty() || mail.contains(&expected), "{action}: {mail}");
                assert!(mail.lines().all(|line| line.len() < 990), "{action}");
            }
        }
        assert!(!machine.join("CANARY").exists() && !std::path::Path::new("CANARY").exists());
    });
}

#[test]
fn a_mail_program_that_is_missing_or_fails_is_told() {
    on_a_machine(&[], |machine| {
        machine.program("refuses", "echo 'no such mailbox' >&2; exit 1");
        for (line, expected) in [
            ("mail[mailcmd=\"refuses -s\"]", "no such mailbox"),
            ("mail-whois[mailcmd=\"nomail -s\"]", "nomail"),
            ("sendmail-whois-matches[mailcmd=refuses]", "no such mailbox"),
        ] {
            let mut mailing = actions(line, false).remove(0);
            let (outcome, reports) = with(|context| mailing.ban(&ban("192.0.2.7"), context));
            assert!(
                outcome.is_err() && texts(&reports).contains(expected),
                "{}",
                texts(&reports)
            );
        }
    });
}
