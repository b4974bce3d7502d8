//! What a native action can do beyond its target.

use stockade_core::IpNet;
use stockade_firewall::Target;

/// What a native action is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) target: Target,
    /// Single addresses of IPv6 are banned with all of this prefix length; 128 is only them.
    pub(crate) ipv6_prefix: u8,
    /// So many banned addresses of a network ban it whole; `None` is never.
    pub(crate) crowd: Option<u32>,
    /// The prefix lengths of such networks.
    pub(crate) crowd_prefixes: (u8, u8),
    /// Established flows of the banned are cut.
    pub(crate) cut_flows: bool,
    /// Bans outlast the end of the server, until the kernel ends them.
    pub(crate) keep_at_end: bool,
}

impl Options {
    /// Where a ban takes effect.
    pub(super) fn place(&self, net: IpNet) -> IpNet {
        match net {
            IpNet::V6(single) if single.prefix_len() == 128 && self.ipv6_prefix < 128 => net_of(net, self.ipv6_prefix),
            net => net,
        }
    }

    /// The network that is banned whole if many of its addresses are.
    pub(super) fn crowd_of(&self, net: IpNet) -> Option<IpNet> {
        self.crowd?;
        let (length, prefix) = match net {
            IpNet::V4(_) => (32, self.crowd_prefixes.0),
            IpNet::V6(_) => (128, self.crowd_prefixes.1),
        };
        (net.prefix_len() == length).then(|| net_of(net, prefix))
    }

    /// True if each ban takes effect as it is.
    pub(super) fn is_plain(&self) -> bool {
        self.crowd.is_none() && self.ipv6_prefix == 128
    }
}

/// The network of this prefix length around another one; the same if it is wider.
fn net_of(net: IpNet, prefix: u8) -> IpNet {
    IpNet::new(net.addr(), prefix.min(net.prefix_len())).map_or(net, |wide| wide.trunc())
}
