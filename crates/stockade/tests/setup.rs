//! `stockade setup` on three prepared machines: Asterisk, web and mail, nothing at all.

#![expect(clippy::unwrap_used, reason = "test code")]

use std::path::Path;
use std::process::{Command, Output};

use testkit::TempDir;

fn stockade(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(args)
        .env("SSH_CONNECTION", "198.51.100.20 50000 192.0.2.10 22")
        .output()
        .unwrap()
}

/// What setup says of a machine, and the exit code.
fn setup(root: &Path, more: &[&str]) -> (String, Option<i32>) {
    let output = stockade(&[&["setup", "--root", root.to_str().unwrap()], more].concat());
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

/// What is in `jail.local` after `--apply`; `stockade check` finds no error in it, and a second time changes nothing.
fn applied(root: &TempDir) -> String {
    let (said, code) = setup(root.path(), &["--apply"]);
    assert_eq!(code, Some(0), "{said}");
    let read = || std::fs::read_to_string(root.join("etc/fail2ban/jail.local")).unwrap();
    let text = read();
    let (again, _) = setup(root.path(), &["--apply"]);
    assert!(again.contains("is as it should be"), "{again}");
    assert_eq!(read(), text);
    let check = stockade(&["check", root.join("etc/fail2ban").to_str().unwrap()]);
    assert_eq!(
        check.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );
    text
}

fn shown(root: &TempDir, jail: &str) -> String {
    let output = stockade(&[
        "config",
        "show",
        jail,
        "-c",
        root.join("etc/fail2ban").to_str().unwrap(),
    ]);
    String::from_utf8(output.stdout).unwrap()
}

fn with_ssh(name: &str) -> TempDir {
    let root = TempDir::new(name);
    root.write("usr/lib/systemd/system/ssh.service", "");
    root.write("etc/systemd/system/multi-user.target.wants/ssh.service", "");
    root.write("var/log/journal/x", "");
    root.write("etc/resolv.conf", "# x\nnameserver 192.0.2.53\nnameserver 127.0.0.53\n");
    root.write(
        "proc/net/route",
        "Iface Destination Gateway Flags\neth0 00000000 010200C0 0003\neth0 000200C0 00000000 0001\n",
    );
    root.write(
        "proc/net/ipv6_route",
        "00000000000000000000000000000000 00 00000000000000000000000000000000 00 20010db8000000000000000000000001 0 0 0 0 eth0\n",
    );
    root.write("proc/net/fib_trie", "     |-- 192.0.2.10\n        /32 host LOCAL\n");
    root.write("run/systemd/sessions/3", "UID=0\nREMOTE=1\nREMOTE_HOST=2001:db8::77\n");
    root
}

#[test]
fn nothing_is_changed_without_apply() {
    let root = with_ssh("setup-dry");
    let (said, code) = setup(root.path(), &[]);
    assert_eq!(code, Some(0));
    for piece in [
        "Nothing was changed",
        "sshd",
        "started at boot; it writes to the journal",
        "198.51.100.20",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    assert!(!root.join("etc/fail2ban").exists());
}

#[test]
fn an_asterisk_server_has_the_jails_that_its_logger_asks_for() {
    let root = with_ssh("setup-asterisk");
    root.write("usr/sbin/asterisk", "");
    root.write("etc/ssh/sshd_config", "#Port 22\nPort 2222\n");
    root.write(
        "etc/asterisk/logger.conf",
        "[general]\ndateformat=%H.%M\n[logfiles]\nfull => notice,warning,security\nmessages => warning\n",
    );
    let (said, _) = setup(root.path(), &[]);
    assert!(said.contains("dateformat `%H.%M` is not read"), "{said}");
    let text = applied(&root);
    let full = "[asterisk-full]\nenabled = true\nlogpath = /var/log/asterisk/full\nlogging = both\n";
    for piece in [
        full,
        "[asterisk]\nenabled = false\n",
        "[sshd]\nenabled = true\nport = 2222\n",
    ] {
        assert!(text.contains(piece), "`{piece}` is not in\n{text}");
    }
    let ignored = shown(&root, "sshd");
    for friend in [
        "198.51.100.20",
        "2001:db8::77",
        "192.0.2.53",
        "192.0.2.1",
        "2001:db8::1",
        "192.0.2.10",
    ] {
        assert!(ignored.contains(friend), "{friend} is not in\n{ignored}");
    }
    assert!(!text.contains("127.0.0.53"), "{text}");
}

#[test]
fn a_web_and_mail_server_keeps_its_own_settings() {
    let root = with_ssh("setup-web");
    let own = "[DEFAULT]\nbantime = 2h\nignoreip = 10.0.0.0/8\n\n[postfix]\nenabled = true\nmaxretry = 9\n";
    root.write("etc/fail2ban/jail.local", own);
    for program in ["nginx", "postfix", "dovecot"] {
        root.write(format!("usr/sbin/{program}"), "");
    }
    root.write("var/log/nginx/site-error.log", "");
    root.write("var/log/nginx/access.log", "");
    root.write("var/log/mail.log", "");
    root.write("etc/ufw/ufw.conf", "ENABLED=yes\n");
    root.write("usr/bin/dockerd", "");
    let (said, _) = setup(root.path(), &[]);
    for piece in [
        "firewall  ufw",
        "dockerd",
        "its log is /var/log/nginx/site-error.log",
        "left as it is",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    let text = applied(&root);
    for jail in ["nginx-http-auth", "postfix-sasl", "dovecot"] {
        assert!(
            text.contains(&format!("[{jail}]\nenabled = true\n")),
            "{jail} is not in\n{text}"
        );
    }
    for line in own.lines() {
        assert!(text.contains(line), "`{line}` is not in\n{text}");
    }
    assert_eq!(text.matches("[postfix]").count(), 1, "{text}");
    let ignored = shown(&root, "dovecot");
    assert!(
        ignored.contains("10.0.0.0/8") && ignored.contains("198.51.100.20"),
        "{ignored}"
    );
    let kept = std::fs::read_to_string(root.join("etc/fail2ban/jail.local.before-setup")).unwrap();
    assert_eq!(kept, own);
}

#[test]
fn what_runs_is_seen_with_the_ports_it_listens_at() {
    let root = with_ssh("setup-running");
    root.write("etc/services", "ssh 22/tcp\nhttp 80/tcp www\nhttps 443/tcp\n");
    root.write("var/log/nginx/error.log", "");
    root.write("var/log/nginx/access.log", "");
    root.write("etc/asterisk/logger.conf", "[logfiles]\nmessages => notice\n");
    root.write(
        "proc/net/tcp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
           0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1\n\
           1: 00000000:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 101 1\n\
           2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 102 1\n\
           3: 0A0200C0:C350 076433C6:01BB 01 00000000:00000000 00:00000000 00000000     0        0 103 1\n",
    );
    root.write(
        "proc/net/udp",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
           0: 00000000:13D8 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 200 1\n\
           1: 00000000:2EE0 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 201 1\n",
    );
    for (process, name, group, sockets) in [
        (11, "nginx", "0::/system.slice/nginx.service", &[100, 101, 102, 103][..]),
        (12, "asterisk", "0::/", &[200, 201]),
        (13, "vsftpd", "0::/docker/aa11", &[]),
    ] {
        root.write(format!("proc/{process}/comm"), format!("{name}\n"));
        root.write(format!("proc/{process}/cgroup"), group);
        root.write(format!("proc/{process}/fd/x"), "");
        for socket in sockets {
            let link = root.join(format!("proc/{process}/fd/{socket}"));
            std::os::unix::fs::symlink(format!("socket:[{socket}]"), link).unwrap();
        }
    }
    let (said, _) = setup(root.path(), &[]);
    for piece in [
        "no file has the level `security`",
        "running; its log is /var/log/nginx/error.log; it listens at 8443, too",
        "it listens at 5080, too",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    assert!(!said.contains("vsftpd"), "it runs in a container: {said}");
    let text = applied(&root);
    for piece in [
        "[nginx-http-auth]\nenabled = true\nport = http,https,8443\n",
        "logpath = /var/log/asterisk/messages\nport = 5060,5061,4569,5038,8088,8089,5080\n",
    ] {
        assert!(text.contains(piece), "`{piece}` is not in\n{text}");
    }
}

/// Names of files of Docker and Podman.
const DOCKER: &str = "var/lib/docker/containers";
const PODMAN: &str = "var/lib/containers/storage/overlay-containers";

fn container(root: &TempDir, id: &str, config: &str, host: &str) {
    root.write(format!("{DOCKER}/{id}/config.v2.json"), config);
    root.write(format!("{DOCKER}/{id}/hostconfig.json"), host);
}

/// What a jail makes of its log, as `fail2ban-regex` tells.
fn matched(root: &TempDir, log: &str, jail: &str) -> String {
    let folder = root.join("etc/fail2ban");
    let output = stockade(&[
        "regex",
        "-c",
        folder.to_str().unwrap(),
        root.join(log).to_str().unwrap(),
        jail,
    ]);
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines()
        .find(|line| line.starts_with("Lines:"))
        .unwrap_or(&said)
        .to_owned()
}

#[test]
fn services_in_containers_get_jails_that_read_their_logs_and_block_what_is_forwarded() {
    let root = with_ssh("setup-containers");
    root.write("usr/bin/dockerd", "");
    root.write("usr/bin/podman", "");
    let web = format!("{DOCKER}/aa11/aa11-json.log");
    container(
        &root,
        "aa11",
        r#"{"Name":"/web","Config":{"Image":"nginx:1.27"},"NetworkSettings":{"Networks":{"front":{"Gateway":"172.18.0.1","IPAddress":"172.18.0.5","IPPrefixLen":16},"lan":{"Gateway":"192.0.2.1","IPPrefixLen":24}}}}"#,
        r#"{"LogConfig":{"Type":"json-file"},"NetworkMode":"front"}"#,
    );
    let line = |text: &str, stream: &str| {
        let entry =
            serde_json::json!({ "log": format!("{text}\n"), "stream": stream, "time": "2026-11-22T13:40:04.1Z" });
        // Docker writes the fields in this order.
        format!(
            "{{\"log\":{},\"stream\":\"{stream}\",\"time\":\"2026-11-22T13:40:04.1Z\"}}\n",
            entry["log"]
        )
    };
    let failed = r#"2026/11/22 13:40:04 [error] 811#811: *5 user "bob": password mismatch, client: 198.51.100.7, server: x, request: "GET / HTTP/1.1", host: "x""#;
    let access = r#"198.51.100.7 - - [22/Nov/2026:13:40:04 +0000] "GET / HTTP/1.1" 200 1 "-" "x""#;
    root.write(&web, line(failed, "stderr") + &line(access, "stdout"));
    container(
        &root,
        "bb22",
        r#"{"Name":"/proxy","Config":{"Image":"registry.example.org:5000/traefik:v3"},"NetworkSettings":{"Networks":{}}}"#,
        r#"{"LogConfig":{"Type":"journald"},"NetworkMode":"bridge"}"#,
    );
    container(
        &root,
        "cc33",
        r#"{"Name":"/vault","Config":{"Image":"vaultwarden/server:latest"}}"#,
        r#"{"LogConfig":{"Type":"json-file"},"NetworkMode":"host"}"#,
    );
    root.write(
        format!("{DOCKER}/cc33/cc33-json.log"),
        line(
            "[2026-11-22 13:40:04.123][vaultwarden::api::identity][ERROR] Username or password is incorrect. Try again. IP: 198.51.100.7. Username: bob.",
            "stdout",
        ),
    );
    container(&root, "dd44", "no JSON", "");
    root.write(
        format!("{PODMAN}/containers.json"),
        r#"[{"id":"ee55","names":["cache"],"metadata":"{\"image-name\":\"docker.io/library/redis:7\"}"},
            {"id":"../../x","names":["bad"],"metadata":"{\"image-name\":\"redis\"}"}]"#,
    );
    root.write(format!("{PODMAN}/ee55/userdata/ctr.log"), "");
    let (said, code) = setup(root.path(), &[]);
    assert_eq!(code, Some(0));
    for piece in [
        "containers dockerd, podman",
        "nginx-http-auth-web",
        "Docker container web of nginx:1.27; its log is /var/lib/docker/containers/aa11/aa11-json.log",
        "log driver is journald, which is not read; mend: the driver json-file",
        "Podman container cache of docker.io/library/redis:7",
    ] {
        assert!(said.contains(piece), "`{piece}` is not in\n{said}");
    }
    let text = applied(&root);
    for piece in [
        "[nginx-http-auth-web]\nenabled = true\nfilter = nginx-http-auth[mode=normal]\nlogpath = /var/lib/docker/containers/aa11/aa11-json.log\n\
         logencoding = container\nsystemd_if_nologs = false\nbanaction = nftables-native[type=allports, chain_hook=\"input,forward\"]\n",
        "[nginx-botsearch-web]\nenabled = true\n",
        "maxretry = 2\n",
        "[redis-cache]\n",
        "    172.18.0.0/16\n",
    ] {
        assert!(text.contains(piece), "`{piece}` is not in\n{text}");
    }
    assert!(
        !text.contains("traefik-auth-proxy") && !text.contains("redis-bad"),
        "{text}"
    );
    assert!(
        !text.contains("192.0.2.0/24"),
        "the network of the machine's gateway: {text}"
    );
    let vault = text
        .split("[vaultwarden-vault]")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    assert!(
        !vault.contains("banaction"),
        "it has the machine's own network: {vault}"
    );
    let action = shown(&root, "nginx-http-auth-web");
    assert!(action.contains("chain_hook = input,forward"), "{action}");
    assert!(
        matched(&root, &web, "nginx-http-auth-web").contains("2 lines, 0 ignored, 1 matched"),
        "{}",
        matched(&root, &web, "nginx-http-auth-web")
    );
    let vault = matched(&root, &format!("{DOCKER}/cc33/cc33-json.log"), "vaultwarden-vault");
    assert!(vault.contains("1 lines, 0 ignored, 1 matched"), "{vault}");
}

#[test]
fn an_empty_machine_gets_no_jail() {
    let root = TempDir::new("setup-nothing");
    let output = stockade(&["setup", "--json", "--root", root.path().to_str().unwrap()]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let jails = report["jails"].as_array().unwrap();
    assert!(jails.iter().all(|jail| jail["enable"] == false), "{report}");
    let text = applied(&root);
    assert!(
        !text.contains("enabled"),
        "only who runs it is kept from being banned: {text}"
    );
}

#[test]
fn whoever_runs_it_by_sudo_which_takes_the_environment_away_is_known_by_its_parent() {
    let root = TempDir::new("setup-sudo");
    let command = "env -u SSH_CONNECTION \"$0\" setup --root \"$1\"; true";
    let output = Command::new("sh")
        .args(["-c", command, env!("CARGO_BIN_EXE_stockade")])
        .arg(root.path())
        .env("SSH_CONNECTION", "198.51.100.21 50000 192.0.2.10 22")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("198.51.100.21"), "{said}");
}
