//! The Debian packages that the tests compare with or act through.

use std::path::Path;
use std::process::{Command, Stdio};

/// Package, a file that it brings, and what it is for.
const NEEDED: &[(&str, &str, &str)] = &[
    (
        "fail2ban",
        "/usr/bin/fail2ban-client",
        "the program we are compared with, its configuration and sample logs",
    ),
    (
        "python3",
        "/usr/bin/python3",
        "CPython's `re` and pickle, which ours must equal",
    ),
    ("g++", "/usr/bin/g++", "builds libFuzzer, which the fuzz targets run in"),
    (
        "faketime",
        "/usr/bin/faketime",
        "stops the clock of both programs, for dates and bans",
    ),
    ("nftables", "/usr/sbin/nft", "reads back what is in the kernel"),
    ("iptables", "/usr/sbin/iptables", "the firewall of the Asterisk guide"),
    ("ipset", "/usr/sbin/ipset", "the sets of Fail2Ban's ipset actions"),
    (
        "ufw",
        "/usr/sbin/ufw",
        "a firewall that the built-in action of its name changes",
    ),
    (
        "firewalld",
        "/usr/bin/firewall-cmd",
        "a firewall that the built-in actions firewallcmd-* change",
    ),
    (
        "conntrack",
        "/usr/sbin/conntrack",
        "what is open and how the action cut-flows ends it",
    ),
    ("curl", "/usr/bin/curl", "speaks HTTP for the built-in actions that do"),
    ("iproute2", "/usr/sbin/ip", "private network namespaces"),
    ("util-linux", "/usr/bin/unshare", "private network namespaces"),
    ("whois", "/usr/bin/whois", "the guide's sendmail-whois action"),
    (
        "systemd",
        "/lib/systemd/systemd-journald",
        "a journal that is being written, in a private mount namespace",
    ),
    (
        "systemd-journal-remote",
        "/lib/systemd/systemd-journal-remote",
        "writes journals, which the tests read",
    ),
    (
        "python3-systemd",
        "/usr/lib/python3/dist-packages/systemd/journal.py",
        "lets Fail2Ban read the journal",
    ),
    (
        "munin-plugins-core",
        "/usr/share/munin/plugins/fail2ban",
        "a tool that asks the server, unchanged",
    ),
    (
        "logwatch",
        "/usr/share/logwatch/scripts/services/fail2ban",
        "a tool that reads the server's log, unchanged",
    ),
    (
        "bsd-mailx",
        "/usr/bin/bsd-mailx",
        "the program mail of the built-in actions mail*",
    ),
    (
        "netdata-plugins-python",
        "/usr/lib/netdata/plugins.d/python.d.plugin",
        "another one, which counts what the log says",
    ),
    (
        "bash-completion",
        "/usr/share/bash-completion/bash_completion",
        "lets the package's completion ask our client",
    ),
    (
        "logrotate",
        "/usr/sbin/logrotate",
        "rotates the log as the package says",
    ),
    (
        "dma",
        "/usr/sbin/dma",
        "a mail server that delivers into a local mailbox",
    ),
];

/// Installs what is missing when run as root on Debian; otherwise says what is missing and which tests that leaves out.
pub(crate) fn provide() -> Result<(), String> {
    let missing: Vec<_> = NEEDED.iter().filter(|(_, file, _)| !Path::new(file).exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, ..)| *name).collect();
    if !is_root() || !Path::new("/usr/bin/apt-get").exists() {
        println!("These Debian packages are missing; tests that need them will say so and be left out:");
        for (name, _, purpose) in missing {
            println!("  {name:<12} {purpose}");
        }
        println!(
            "mend: sudo apt-get install --no-install-recommends {}\n",
            names.join(" ")
        );
        return Ok(());
    }
    println!("== installing {}", names.join(" "));
    // The fail2ban package would start its service and touch this machine's firewall: a policy file forbids that meanwhile.
    let policy = Policy::forbid_services()?;
    apt(&["update", "-qq"])?;
    let mut install = vec!["install", "-y", "-qq", "--no-install-recommends"];
    install.extend(names);
    let outcome = apt(&install);
    drop(policy);
    outcome
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout == b"0\n")
}

fn apt(args: &[&str]) -> Result<(), String> {
    let status = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("apt-get cannot be run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`apt-get {}` ended with {status}", args.join(" ")))
    }
}

/// Debian's way to say that no service may be started while packages are installed; removed on drop.
struct Policy(Option<&'static Path>);

impl Policy {
    fn forbid_services() -> Result<Self, String> {
        use std::os::unix::fs::PermissionsExt;
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        std::fs::write(path, "#!/bin/sh\nexit 101\n")
            .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)))
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(Self(Some(path)))
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if let Some(path) = self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            eprintln!(
                "{}: {error}; remove it by hand, it keeps services from starting",
                path.display()
            );
        }
    }
}
