//! Real packets between private networks: those of the banned do not arrive, all others do.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use stockade_firewall::{Block, Change, Firewall, Nftables, PortRange, Protocol, Target};
use testkit::{Network, requires};

const TCP: u8 = 6;
const UDP: u8 = 17;

/// How long an answer is waited for. The kernel's TCP over IPv6 overlooks a refusal that comes while it still sends the first
/// packet, as it does between networks of one machine, and heeds that of the second, one second later.
const PATIENCE: Duration = Duration::from_millis(1500);

/// A machine with a service on port 5060, and two others on cables of their own.
struct Site {
    server: Network,
    attacker: Network,
    phone: Network,
}

/// How a connection attempt ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Refused,
    Silence,
}

/// Addresses: of the server as the attacker sees it, as the phone sees it, and of the attacker.
const V4: (&str, &str, &str) = ("192.0.2.1", "198.51.100.1", "192.0.2.66");
const V6: (&str, &str, &str) = ("2001:db8:a::1", "2001:db8:b::1", "2001:db8:a::66");

impl Site {
    fn new() -> Option<Self> {
        if !requires(&["root", "unshare", "nsenter", "ip"]) {
            return None;
        }
        let site = Self {
            server: Network::new(),
            attacker: Network::new(),
            phone: Network::new(),
        };
        let cables = [
            (
                &site.attacker,
                "dark",
                ["192.0.2.1/24", "2001:db8:a::1/64"],
                ["192.0.2.66/24", "2001:db8:a::66/64"],
            ),
            (
                &site.phone,
                "light",
                ["198.51.100.1/24", "2001:db8:b::1/64"],
                ["198.51.100.2/24", "2001:db8:b::2/64"],
            ),
        ];
        for (other, name, here, there) in cables {
            site.server.connect(name, &here, other, &there);
        }
        // Otherwise the kernel keeps back some of its "port unreachable", as it should.
        for limit in ["ipv4/icmp_ratelimit", "ipv6/icmp/ratelimit"] {
            site.server
                .run(|| std::fs::write(Path::new("/proc/sys/net").join(limit), "0"))
                .unwrap();
        }
        Some(site)
    }

    fn firewall(&self, ports: Option<(u16, u16)>, protocols: &[u8], verdict: Block) -> (Nftables, Target) {
        let target = Target {
            table: "f2b-table".into(),
            chain: "f2b-chain".into(),
            priority: -1,
            hooks: Vec::new(),
            name: "asterisk".into(),
            ports: ports.map(|(first, last)| vec![PortRange { first, last }]),
            protocols: protocols.iter().copied().map(Protocol).collect(),
            verdict,
        };
        let mut firewall = self.server.run(Nftables::open).unwrap();
        firewall.prepare(&target).unwrap();
        (firewall, target)
    }

    /// Connections of the attacker and of the phone to the service.
    fn tcp(&self, (seen_by_attacker, seen_by_phone, _): (&str, &str, &str), port: u16) -> (Outcome, Outcome) {
        let connect = |address: &str| {
            let address = SocketAddr::new(address.parse().unwrap(), port);
            match TcpStream::connect_timeout(&address, PATIENCE) {
                Ok(_) => Outcome::Answered,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => Outcome::Refused,
                Err(error) if error.kind() == ErrorKind::TimedOut => Outcome::Silence,
                Err(error) => panic!("{address}: {error}"),
            }
        };
        let _listener = self.server.run(|| TcpListener::bind(("::", port))).unwrap();
        (
            self.attacker.run(|| connect(seen_by_attacker)),
            self.phone.run(|| connect(seen_by_phone)),
        )
    }

    /// Who gets a datagram through, attacker first, and whether the attacker is told that he is not wanted.
    fn udp(&self, (seen_by_attacker, seen_by_phone, _): (&str, &str, &str), port: u16) -> (Vec<String>, bool) {
        let service = self.server.run(|| UdpSocket::bind(("::", port))).unwrap();
        service.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let client = |address: &str| {
            let unspecified: IpAddr = if address.contains(':') {
                [0; 16].into()
            } else {
                [0; 4].into()
            };
            let socket = UdpSocket::bind((unspecified, 0)).unwrap();
            socket.connect((address, port)).unwrap();
            socket
        };
        let attacker = self.attacker.run(|| client(seen_by_attacker));
        let phone = self.phone.run(|| client(seen_by_phone));
        attacker.send(b"attacker").unwrap();
        phone.send(b"phone").unwrap();
        let mut heard = Vec::new();
        let mut datagram = [0; 100];
        while heard.last().is_none_or(|last| last != "phone") {
            let length = service.recv(&mut datagram).unwrap();
            heard.push(String::from_utf8_lossy(datagram.get(..length).unwrap()).into_owned());
        }
        attacker.set_read_timeout(Some(PATIENCE)).unwrap();
        let is_told = attacker
            .recv(&mut datagram)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        (heard, is_told)
    }
}

fn ban(firewall: &mut Nftables, target: &Target, net: &str) {
    let net = net
        .parse::<IpAddr>()
        .map_or_else(|_| net.parse::<IpNet>().unwrap(), IpNet::from);
    firewall.apply(target, &[Change::Add(net, Some(600))]).unwrap();
}

#[test]
fn rejected_the_banned_are_told_so_and_others_are_served() {
    let Some(site) = Site::new() else { return };
    let (mut firewall, target) = site.firewall(Some((5060, 5061)), &[TCP, UDP], Block::Reject);
    for addresses in [V4, V6] {
        assert_eq!(
            site.tcp(addresses, 5060),
            (Outcome::Answered, Outcome::Answered),
            "before the ban"
        );
        ban(&mut firewall, &target, addresses.2);
        assert_eq!(site.tcp(addresses, 5060), (Outcome::Refused, Outcome::Answered));
        assert_eq!(site.udp(addresses, 5061), (vec!["phone".to_owned()], true));
        assert_eq!(
            site.tcp(addresses, 8080),
            (Outcome::Answered, Outcome::Answered),
            "other ports stay open"
        );
        let lifted = Change::Remove(addresses.2.parse::<IpAddr>().unwrap().into());
        firewall.apply(&target, &[lifted]).unwrap();
        assert_eq!(
            site.udp(addresses, 5060),
            (vec!["attacker".to_owned(), "phone".to_owned()], false),
            "after the ban"
        );
    }
}

#[test]
fn what_a_ban_blocks_is_counted_for_each_of_the_banned() {
    let Some(site) = Site::new() else { return };
    let (mut firewall, target) = site.firewall(Some((5060, 5061)), &[UDP], Block::Drop);
    let blocked = |firewall: &mut Nftables, who: &str| {
        let elements = firewall.list(&target).unwrap();
        let element = elements.iter().find(|element| element.net == who.parse().unwrap());
        let traffic = element.unwrap().blocked.unwrap();
        (traffic.packets, traffic.bytes)
    };
    // An address, and a network, and somebody who stays away.
    for who in [V4.2, "2001:db8:a::/64", "203.0.113.1"] {
        ban(&mut firewall, &target, who);
    }
    for round in 1..=2 {
        for addresses in [V4, V6] {
            assert_eq!(site.udp(addresses, 5060), (vec!["phone".to_owned()], false));
        }
        // Eight bytes of text behind headers of 28 and 48.
        assert_eq!(blocked(&mut firewall, "192.0.2.66/32"), (round, round * 36));
        assert_eq!(blocked(&mut firewall, "2001:db8:a::/64"), (round, round * 56));
        assert_eq!(blocked(&mut firewall, "203.0.113.1/32"), (0, 0));
        // A ban that is only made sure of goes on counting.
        let kept = Change::Keep("192.0.2.66/32".parse().unwrap(), Some(500));
        firewall.apply(&target, &[kept]).unwrap();
    }
    ban(&mut firewall, &target, V4.2);
    assert_eq!(
        blocked(&mut firewall, "192.0.2.66/32"),
        (0, 0),
        "one that is made anew begins again"
    );
}

#[test]
fn dropped_the_banned_hear_nothing_on_any_port() {
    let Some(site) = Site::new() else { return };
    let (mut firewall, target) = site.firewall(None, &[], Block::Drop);
    for addresses in [V4, V6] {
        ban(&mut firewall, &target, addresses.2);
        assert_eq!(site.tcp(addresses, 8080), (Outcome::Silence, Outcome::Answered));
        assert_eq!(site.udp(addresses, 5060), (vec!["phone".to_owned()], false));
    }
}

#[test]
fn a_banned_network_is_blocked_also_after_one_around_it_is_lifted() {
    let Some(site) = Site::new() else { return };
    let (mut firewall, target) = site.firewall(Some((1, 65_535)), &[], Block::Reject);
    for (addresses, small, large) in [
        (V4, "192.0.2.64/27", "192.0.0.0/16"),
        (V6, "2001:db8:a::/64", "2001:db8:a::/48"),
    ] {
        ban(&mut firewall, &target, small);
        ban(&mut firewall, &target, large);
        assert_eq!(site.udp(addresses, 5060), (vec!["phone".to_owned()], true), "both");
        let lifted = |net: &str| Change::Remove(net.parse().unwrap());
        firewall.apply(&target, &[lifted(large)]).unwrap();
        assert_eq!(
            site.udp(addresses, 5060),
            (vec!["phone".to_owned()], true),
            "the small one"
        );
        firewall.apply(&target, &[lifted(small)]).unwrap();
        assert_eq!(site.udp(addresses, 5060).0, ["attacker", "phone"], "none");
    }
}

#[test]
fn one_protocol_can_be_blocked_alone() {
    let Some(site) = Site::new() else { return };
    let (mut firewall, target) = site.firewall(None, &[TCP], Block::Reject);
    ban(&mut firewall, &target, V4.2);
    assert_eq!(site.tcp(V4, 5060), (Outcome::Refused, Outcome::Answered));
    assert_eq!(site.udp(V4, 5060).0, ["attacker", "phone"]);
}
