//! How a server is started, asked and told by systemd and by many at once; ours alone, where 1.0.2 has nothing to compare.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use testkit::{Daemon, requires, wait_until};

use crate::world::{SOON, Whose, World};

const JAILS: &str = "[DEFAULT]\nbackend = auto\nignoreself = false\n[sshd]\nenabled = false\n[j]\nenabled = true\nfilter =\n\
    failregex = x <HOST>$\nlogpath = @/log\nmaxretry = 1000000\naction =\n[k]\nenabled = true\nfilter =\nfailregex = y <HOST>$\nlogpath = @/log\naction =\n";

fn world(name: &str) -> Option<World> {
    requires(&["root", "unshare", "nsenter", "ip"]).then(|| {
        let world = World::new(Whose::Ours, name, false);
        world.write("log", "");
        world.write("etc/jail.conf", JAILS);
        world
    })
}

#[test]
fn systemd_may_pass_the_socket_and_is_told_when_the_server_is_ready() {
    if !requires(&["systemd-socket-activate"]) {
        return;
    }
    let Some(world) = world("activation") else { return };
    let notified = UnixDatagram::bind(world.path("notify")).unwrap();
    notified.set_read_timeout(Some(SOON)).unwrap();
    let mut command = world.net.command("systemd-socket-activate");
    let socket = world.path("sock");
    command.env("NOTIFY_SOCKET", world.path("notify"));
    command
        .args(["-E", "NOTIFY_SOCKET", "--fdname=fail2ban", "-l"])
        .arg(&socket);
    command
        .arg(world.path("bin/fail2ban-server"))
        .args(["-c".into(), world.path("etc"), "-s".into(), socket.clone()]);
    command.arg("-p").arg(world.path("pid")).args(["-f", "start"]);
    let mut daemon = Daemon::start(&mut command);
    wait_until(SOON, "the socket is there", || socket.exists());
    // The first question starts the server, and is answered by it.
    assert_eq!(world.ask("ping"), "Server replied: pong\n");
    let mut told = [0; 256];
    let length = notified.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"READY=1");
    assert!(world.ask("status").contains("j, k"));
    daemon.terminate();
    assert!(daemon.wait(SOON).success());
    let length = notified.recv(&mut told).unwrap();
    assert_eq!(&told[..length], b"STOPPING=1");
    assert!(socket.exists(), "the socket is systemd's");
}

#[test]
fn a_client_that_sleeps_holds_up_nobody() {
    let Some(mut world) = world("sleep") else { return };
    world.start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| world.ask("sleep 2"));
        wait_until(SOON, "a hundred answers", || {
            (0..100).all(|_| world.ask("ping") == "Server replied: pong\n") || begun.elapsed() > SOON
        });
        assert_eq!(sleeper.join().unwrap(), "None\n");
    });
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn status_in_all_its_forms_is_answered() {
    let Some(mut world) = world("forms") else { return };
    world.start();
    world.ask("set j banip 192.0.2.1");
    let all = world.ask("status --all");
    assert!(
        all.starts_with(
            "Status\n|- Number of jail:\t2\n|- Jail list:\tj, k\n`- Status for the jails: \n   |- Jail: j\n"
        ),
        "{all}"
    );
    assert!(!world.ask("status --all short").contains("192.0.2.1"));
    for words in ["stats", "statistics", "status --all stats", "status j stats"] {
        let table = world.ask(words);
        assert!(
            table.contains("Backend") && table.contains("pyinotify"),
            "{words}: {table}"
        );
    }
    for (words, expected) in [
        ("--json status", r#"{"jails":["j","k"]}"#),
        (
            "--json status j",
            r#"{"actions":{"banned_ip_list":["192.0.2.1"],"currently_banned":1,"total_banned":1},"filter":{"currently_failed":0,"file_list":["@/log"],"total_failed":0},"jail":"j"}"#,
        ),
        ("--json banned", r#"{"j":["192.0.2.1"],"k":[]}"#),
        ("--json get j failregex", "["),
        (
            "--json stats",
            r#"{"jails":{"j":{"actions":{"current":1,"total":1},"backend":"pyinotify","filter":{"current":0,"total":0}},"k":"#,
        ),
    ] {
        let said = world.ask(words);
        assert!(said.starts_with(expected), "{words}: {said}");
    }
    let refused = world.client(&["--json", "get", "nope", "maxretry"]);
    assert_eq!(
        (refused.said.as_str(), refused.code),
        (
            "{\"error\":{\"class\":\"UnknownJailException\",\"message\":\"nope\"}}\n",
            Some(255)
        )
    );
    assert_eq!(world.stop(), Some(0));
}

#[test]
fn no_line_is_lost_or_counted_twice_while_the_configuration_is_read_again_and_again() {
    let Some(mut world) = world("reloads") else { return };
    world.start();
    let mut written = 0_u32;
    let begun = Instant::now();
    let mut reloads = 0;
    std::thread::scope(|scope| {
        let reloading = scope.spawn(|| {
            let mut count = 0;
            while begun.elapsed() < Duration::from_secs(3) {
                // Each reads another configuration: settings, rules and actions change.
                let change = [
                    ("findtime = 600\n[j]", "reload"),
                    ("findtime = 700\n[j]", "reload j"),
                    ("maxmatches = 3\n[j]", "reload"),
                    ("failregex = z <HOST>$\n[j]", "reload --if-exists j"),
                ];
                let (settings, command) = change[count % change.len()];
                let jails = JAILS
                    .replace("[j]", settings)
                    .replace("x <HOST>$", if count % 2 == 0 { "x <HOST>$" } else { "x <HOST>\\s*$" });
                world.write("etc/jail.conf", &jails);
                world.ask(command);
                count += 1;
            }
            count
        });
        while !reloading.is_finished() {
            for _ in 0..20 {
                written += 1;
                let [.., b, c] = written.to_be_bytes();
                world.append("log", format!("x 10.0.{b}.{c}\n"));
            }
            // Others need the processor too.
            std::thread::park_timeout(Duration::from_millis(2));
            if written >= 60_000 {
                break;
            }
        }
        reloads = reloading.join().unwrap();
    });
    println!("{written} lines during {reloads} reloads");
    assert!(reloads > 5, "{reloads}");
    // As long as it counts on, then a little.
    world.settle("fail2ban.log", Duration::from_millis(300));
    let status = world.ask("status j");
    assert!(
        status.contains(&format!("Total failed:\t{written}\n")),
        "{written} lines: {status}"
    );
    assert_eq!(world.stop(), Some(0));
}
