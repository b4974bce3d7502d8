//! Who is banned, and in which jail.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

/// The name of a jail, as its section in `jail.conf` gives it. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JailName(Arc<str>);

impl JailName {
    /// Any non-empty text without control characters is a jail name.
    pub fn new(name: &str) -> Option<Self> {
        let fine = !name.is_empty() && !name.chars().any(char::is_control);
        fine.then(|| Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JailName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What failures are counted by and bans are made for: nearly always an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureId {
    /// One address; IPv4-mapped IPv6 addresses are held as IPv4.
    Addr(IpAddr),
    /// A network; never one of a single address (that is `Addr`).
    Net(IpNet),
    /// Any other text, captured by `<F-ID>`.
    Text(Box<str>),
}

impl FailureId {
    /// Reads an address or a network; the text of anything else is kept as it is.
    ///
    /// `10.1.2.3/16` and `10.1.2.3/255.255.0.0` become `10.1.0.0/16`, `192.0.2.1/32` and `192.0.2.1/33` the address,
    /// `::ffff:192.0.2.1` its IPv4 address.
    pub fn parse(text: &str) -> Self {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Self::Addr(address.to_canonical());
        }
        if let Some((address, prefix)) = text.split_once('/')
            && let Ok(address) = address.parse()
            && let Some(length) = prefix_length(address, prefix)
            && let Ok(net) = IpNet::new(address, length)
        {
            return Self::from_net(net);
        }
        Self::Text(text.into())
    }

    /// A network, or the address if the network holds just one.
    ///
    /// A network of IPv4-mapped addresses is the one of IPv4: its packets are those of IPv4, so the rules of whom not to ban must see it
    /// as such too.
    pub fn from_net(net: IpNet) -> Self {
        let net = canonical(net.trunc());
        if net.prefix_len() == net.max_prefix_len() {
            Self::Addr(net.addr().to_canonical())
        } else {
            Self::Net(net)
        }
    }

    /// The network this id stands for; an address is a network of one. `None` for text.
    pub fn as_net(&self) -> Option<IpNet> {
        match self {
            Self::Addr(address) => Some(IpNet::from(*address)),
            Self::Net(net) => Some(*net),
            Self::Text(_) => None,
        }
    }
}

/// `::ffff:192.0.2.0/120` is `192.0.2.0/24`.
fn canonical(net: IpNet) -> IpNet {
    let IpNet::V6(mapped) = net else { return net };
    mapped
        .addr()
        .to_ipv4_mapped()
        .zip(mapped.prefix_len().checked_sub(96))
        .and_then(|(address, length)| IpNet::new(address.into(), length).ok())
        .unwrap_or(net)
}

/// The prefix length that `/24` or `/255.255.255.0` means for an address; one that is too long means the whole address.
fn prefix_length(address: IpAddr, text: &str) -> Option<u8> {
    let max = if address.is_ipv4() { 32 } else { 128 };
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return u8::try_from(text.parse().unwrap_or(max).min(max)).ok();
    }
    match (address, text.parse().ok()?) {
        (IpAddr::V4(_), IpAddr::V4(mask)) => ipnet::ipv4_mask_to_prefix(mask).ok(),
        (IpAddr::V6(_), IpAddr::V6(mask)) => ipnet::ipv6_mask_to_prefix(mask).ok(),
        _ => None,
    }
}

impl fmt::Display for FailureId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addr(address) => address.fmt(f),
            Self::Net(net) => net.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_addresses_and_networks_and_keeps_other_text() {
        for (text, shown) in [
            ("192.0.2.7", "192.0.2.7"),
            ("2001:DB8::A", "2001:db8::a"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("10.1.2.3/16", "10.1.0.0/16"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("192.0.2.7/33", "192.0.2.7"),
            ("192.0.2.7/255.255.255.0", "192.0.2.0/24"),
            ("2001:db8::1/ffff:ffff::", "2001:db8::/32"),
            ("::ffff:192.0.2.9/120", "192.0.2.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.9/128", "192.0.2.9"),
            ("::/1", "::/1"),
            ("192.0.2.7/", "192.0.2.7/"),
            ("192.0.2.7/+4", "192.0.2.7/+4"),
            ("10.0.0.0/255.0.255.0", "10.0.0.0/255.0.255.0"),
            ("999.1.1.1", "999.1.1.1"),
            ("01.02.03.04", "01.02.03.04"),
        ] {
            assert_eq!(FailureId::parse(text).to_string(), shown, "{text}");
        }
        assert!(matches!(FailureId::parse("999.1.1.1"), FailureId::Text(_)));
        assert!(matches!(FailureId::parse("192.0.2.7/32"), FailureId::Addr(_)));
    }
}
