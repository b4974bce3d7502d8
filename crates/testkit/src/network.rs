//! Private network namespaces: a network of one test, on the real kernel, gone with it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{output_of, wait_for};

/// A network namespace with `lo` up. Needs root; ask [`requires`](crate::requires) for `root`, `unshare`, `nsenter` and `ip`.
///
/// It is held by a child that ends when this is dropped or when the test process dies, and the kernel removes it
/// with its last process: nothing is left behind, whatever happens.
#[derive(Debug)]
pub struct Network {
    holder: Child,
    namespace: File,
}

impl Network {
    /// Makes a namespace.
    ///
    /// # Panics
    /// If it cannot be made.
    #[track_caller]
    #[must_use]
    pub fn new() -> Self {
        // `cat` ends with its standard input, which closes with our end of the pipe.
        let holder = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let holder = match holder {
            Ok(holder) => holder,
            Err(error) => panic!("cannot run unshare: {error}"),
        };
        let ours = std::fs::read_link("/proc/thread-self/ns/net").ok();
        let path = format!("/proc/{}/ns/net", holder.id());
        let namespace = wait_for(Duration::from_secs(10), "unshare makes a network namespace", || {
            let theirs = std::fs::read_link(&path).ok();
            if theirs.is_some() && theirs != ours {
                File::open(&path).ok()
            } else {
                None
            }
        });
        let network = Self { holder, namespace };
        output_of(network.command("ip").args(["link", "set", "lo", "up"]));
        network
    }

    /// Runs `work` inside, in a thread of its own; sockets it opens and programs it starts belong to the namespace.
    ///
    /// # Panics
    /// If the namespace cannot be entered, and with the panic of `work`.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let result = std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    let entered = move_into_link_name_space(self.namespace.as_fd(), Some(LinkNameSpaceType::Network));
                    assert!(entered.is_ok(), "cannot enter the network namespace: {entered:?}");
                    work()
                })
                .join()
        });
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command that will run inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{}/ns/net", self.holder.id()))
            .arg(program);
        command
    }

    /// Joins two namespaces by a cable (veth): here it is `name` with `here` as addresses, there with `there`.
    /// Addresses are written with their prefix length, `192.0.2.1/24`.
    ///
    /// # Panics
    /// If `ip` refuses.
    #[track_caller]
    pub fn connect(&self, name: &str, here: &[&str], other: &Self, there: &[&str]) {
        let peer = other.holder.id().to_string();
        output_of(self.command("ip").args([
            "link",
            "add",
            name,
            "type",
            "veth",
            "peer",
            "name",
            name,
            "netns",
            peer.as_str(),
        ]));
        for (network, addresses) in [(self, here), (other, there)] {
            for address in addresses {
                let mut add = network.command("ip");
                add.args(["address", "add", address, "dev", name]);
                if address.contains(':') {
                    // Without this an address is not usable until the kernel has asked whether it is taken.
                    add.arg("nodad");
                }
                output_of(&mut add);
            }
            output_of(network.command("ip").args(["link", "set", name, "up"]));
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // Both can only fail if it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;
    use crate::requires;

    #[test]
    fn a_network_has_its_own_loopback_and_nothing_else() {
        if !requires(&["root", "unshare", "nsenter", "ip"]) {
            return;
        }
        let network = Network::new();
        let inside = output_of(network.command("ip").args(["-brief", "link"]));
        assert!(inside.starts_with("lo ") && inside.lines().count() == 1, "{inside}");
        let port = network.run(|| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            output_of(Command::new("ip").args(["-brief", "link"]))
        });
        assert_eq!(port, inside);
    }

    #[test]
    fn two_networks_reach_each_other_over_a_cable() {
        if !requires(&["root", "unshare", "nsenter", "ip"]) {
            return;
        }
        let (server, client) = (Network::new(), Network::new());
        server.connect(
            "cable",
            &["192.0.2.1/24", "2001:db8::1/64"],
            &client,
            &["192.0.2.2/24", "2001:db8::2/64"],
        );
        for address in ["192.0.2.1:4000", "[2001:db8::1]:4000"] {
            let listener = server.run(|| TcpListener::bind(address)).unwrap();
            client.run(|| TcpStream::connect(address)).unwrap();
            drop(listener);
        }
    }
}
