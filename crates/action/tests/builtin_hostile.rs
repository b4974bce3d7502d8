//! Every built-in action with everything an attacker can choose, and stand-ins for the programs it calls: nothing of it is run.

mod common;

use common::configured::actions;
use common::private::on_a_machine;
use common::{ban, with};
use stockade_action::{Context, Counters, Earlier};
use stockade_core::{LineText, Timestamp};

/// What would leave a file called CANARY behind, were it ever part of a command.
const HOSTILE: [&str; 5] = [
    "$(touch CANARY) `touch CANARY` ; touch CANARY; && touch CANARY || touch CANARY",
    "' ; touch CANARY ; '",
    "\\\" ; touch CANARY ; \" ; touch CANARY #",
    "${x:=$(touch CANARY)} )); touch CANARY; } ; touch CANARY; esac; touch CANARY; done; touch CANARY; fi; touch CANARY",
    "\n~!touch CANARY\n.\nEOF\ntouch CANARY\n",
];

/// The programs that the actions call; what they read is read, and they succeed, or fail as that of whom nothing is known.
const PROGRAMS: [&str; 19] = [
    "iptables",
    "ip6tables",
    "ipset",
    "ip",
    "ufw",
    "firewall-cmd",
    "pfctl",
    "conntrack",
    "ss",
    "mail",
    "sendmail",
    "whois",
    "curl",
    "nft",
    "flock",
    "timeout",
    "logger",
    "jq",
    "dig",
];

#[test]
fn no_built_in_action_runs_what_an_attacker_wrote() {
    on_a_machine(&[], |machine| {
        for program in PROGRAMS {
            // `timeout -k 2 20 whois …` is what it says; of the others the second call in a row fails.
            let script = if program == "timeout" {
                "shift 3; exec \"$@\"".to_owned()
            } else {
                let mark = machine.join(program).display().to_string();
                format!("timeout=1; cat >/dev/null; rm {mark} 2>/dev/null && exit 1; : >{mark}; echo \"$*\"")
            };
            machine.program(program, &script);
        }
        let canary = machine.join("CANARY");
        let text = |value: &str| value.replace("CANARY", &canary.display().to_string());
        let line = |value: &str| LineText {
            text: text(value).into(),
            date: 0..0,
        };
        let options = format!(
            "mailcmd=\"sendmail -t\", file=\"{0}/deny\", logpath=\"{0}/log\", url=\"http://127.0.0.1:1/\", abuseipdb_apikey=k, cftoken=k, apikey=k, \
             kill-mode=ss, blocktype=DROP",
            machine.path().display()
        );
        machine.write("log", &HOSTILE.map(|value| text(value) + " 192.0.2.7\n").concat());
        let mut tried = 0;
        for name in stockade_config::builtin::names() {
            let name = name
                .strip_prefix("action.d/")
                .and_then(|name| name.strip_suffix(".conf"));
            let Some(name) = name.filter(|name| !name.ends_with("-common") && !name.starts_with("nftables")) else {
                continue;
            };
            for value in HOSTILE {
                let mut action = actions(&format!("{name}[{options}]"), false).remove(0);
                let earlier = |_: &_, _| {
                    Some(Earlier {
                        failures: 1,
                        matches: HOSTILE.iter().map(|value| line(value)).collect(),
                    })
                };
                let mut report = |_| ();
                let mut context = Context {
                    now: Timestamp::from_secs(common::NOW),
                    counters: Counters::default(),
                    earlier: &earlier,
                    report: &mut report,
                };
                // What becomes of it is told in other tests; here it is enough that nothing is run.
                let _ = action.start(&mut context);
                for id in [text(value), "192.0.2.7".to_owned()] {
                    let mut attack = ban(&id);
                    attack.matches = vec![line(value)];
                    attack.fields.set("user", &text(value));
                    let _ = action.ban(&attack, &mut context);
                    let _ = action.unban(&attack, &mut context);
                }
                let _ = action.stop(&mut context);
                assert!(!canary.exists(), "{name} ran {value:?}");
                tried += 1;
            }
        }
        assert!(tried > 150, "{tried}");
        // The test itself can tell.
        let mut careless = common::action(&[("actionban", "eval 'echo '$f2bV_x; x=<F-USER>; eval \"$x\"")]).unwrap();
        let mut attack = ban("192.0.2.7");
        attack.fields.set("user", &text("touch CANARY"));
        let _ = with(|context| careless.ban(&attack, context));
        assert!(canary.exists());
    });
}
