//! Programs that nobody here wrote, unchanged, with our server and its log: what they say of ours is what they say of Fail2Ban.

use std::process::Command;

use testkit::output_of;

use crate::world::{Whose, both, possible};

const MUNIN: &str = "/usr/share/munin/plugins/fail2ban";
const LOGWATCH: &str = "/usr/share/logwatch/scripts/services/fail2ban";

const JAILS: &str = "[DEFAULT]\nbackend = auto\nignoreself = false\nbantime = 600\nmaxretry = 2\naction = do[name=%(__name__)s]\n\
    [sshd]\nenabled = false\n[j]\nenabled = true\nfilter =\nfailregex = x <HOST>$\nlogpath = @/log\nignoreip = 192.0.2.9\n\
    [jail-two]\nenabled = true\nfilter =\nfailregex = y <HOST>$\nlogpath = @/log\n";

/// What each tool said of a server in operation.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    munin: String,
    munin_config: String,
    logwatch: String,
}

#[test]
fn munin_and_logwatch_say_of_our_server_what_they_say_of_fail2ban() {
    if !possible(&["bash", "perl"]) {
        return;
    }
    for (file, package) in [(MUNIN, "munin-plugins-core"), (LOGWATCH, "logwatch")] {
        if !std::path::Path::new(file).exists() {
            testkit::skip(&format!("{file} is not there; mend: apt install {package}"));
            return;
        }
    }
    let (ours, theirs) = both("tools", true, |world| {
        world.write("log", "");
        world.write("etc/jail.local", JAILS);
        world.write(
            "etc/action.d/do.conf",
            "[Definition]\nactionban = test <ip> != 198.51.100.66\nactionunban = true\n",
        );
        world.start();
        for (address, rule) in [
            ("192.0.2.1", 'x'),
            ("192.0.2.9", 'x'),
            ("2001:db8::1", 'y'),
            ("192.0.2.1", 'x'),
        ] {
            let now = jiff::Zoned::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
            world.append("log", format!("{now} {rule} {address}\n"));
            world.wait("fail2ban.log", address);
        }
        world.wait("fail2ban.log", "[j] Ban 192.0.2.1");
        world.ask("set jail-two banip 192.0.2.77 198.51.100.3");
        world.ask("set jail-two unbanip 198.51.100.3");
        world.wait("fail2ban.log", "[jail-two] Unban 198.51.100.3");
        let client = match world.whose {
            Whose::Ours => world.path("bin/fail2ban-client").display().to_string(),
            Whose::Theirs => "fail2ban-client".to_owned(),
        };
        let munin = |argument: &str| {
            let mut command = world.net.command("bash");
            command
                .args([MUNIN, argument])
                .env("MUNIN_LIBDIR", "/usr/share/munin")
                .env("client", &client);
            output_of(command.env("config_dir", world.path("etc")))
        };
        let (values, config) = (munin(""), munin("config"));
        // Before the end, which is `Repeal Ban` in ours (D-084); logwatch 7.7 takes it for a jail of its own.
        std::fs::copy(world.path("fail2ban.log"), world.path("running.log")).unwrap();
        world.stop();
        let mut logwatch = Command::new("sh");
        logwatch.args(["-c", "exec perl -I/usr/share/logwatch/lib \"$0\" < \"$1\"", LOGWATCH]);
        logwatch
            .arg(world.path("running.log"))
            .env("PERL_HASH_SEED", "0")
            .env("LOGWATCH_DETAIL_LEVEL", "10");
        Said {
            munin: values,
            munin_config: config,
            // What follows are lines of the server itself, versions and all.
            logwatch: output_of(&mut logwatch)
                .split("Informational Messages")
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    });
    assert!(theirs.munin.contains("jail_two.value 1"), "{theirs:?}");
    assert!(theirs.logwatch.contains("192.0.2.1"), "{theirs:?}");
    println!("tools: munin, logwatch");
    assert_eq!(ours, theirs);
}
