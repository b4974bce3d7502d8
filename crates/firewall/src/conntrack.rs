//! Established flows: what connection tracking knows of an address is forgotten, so that the next packet is looked at like a first one.
//!
//! The flows are listed and those that are meant are deleted one by one. Kernels from 5.9 on can be told to delete by source address; but
//! at least 6.18 takes that the other way round for IPv6, and deletes the flows of all others.
//!
//! Layout: `linux/netfilter/nfnetlink_conntrack.h` of the kernel's user API.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use crate::netlink::{Failure, Socket};
use crate::nftables::message::{CONNTRACK, Encoder, Received, flag};

const GET: u16 = 1;
const DELETE: u16 = 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_ADDRESS: u16 = 1;
const SOURCE_IPV4: u16 = 1;
const SOURCE_IPV6: u16 = 3;
const ID: u16 = 12;
const ZONE: u16 = 18;
const NESTED: u16 = 0x8000;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;

/// What names a flow to the kernel, as it came from there.
struct Flow {
    tuple: Vec<u8>,
    id: Option<Vec<u8>>,
    zone: Option<Vec<u8>>,
}

/// Why flows were not cut.
#[derive(Debug)]
pub struct ConntrackError {
    cause: io::Error,
}

impl fmt::Display for ConntrackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cause = &self.cause;
        write!(f, "cannot cut established flows: {cause}; ")?;
        match Errno::from_io_error(cause) {
            Some(Errno::PERM | Errno::ACCESS) => f.write_str("mend: run as root, or with the capability CAP_NET_ADMIN"),
            _ => f.write_str("mend: load the kernel module nf_conntrack_netlink, or set `cut_flows = no`"),
        }
    }
}

impl std::error::Error for ConntrackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// The kernel's connection tracking, in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Conntrack {
    socket: Socket,
}

impl Conntrack {
    /// Opens a socket.
    pub fn open() -> Result<Self, ConntrackError> {
        let socket = Socket::open(0).map_err(|errno| ConntrackError { cause: errno.into() })?;
        Ok(Self { socket })
    }

    /// Forgets all flows that these addresses began. That there are none is no error.
    ///
    /// Takes as long as the kernel needs to list all flows of a family, about a second for a million.
    pub fn cut(&mut self, addresses: &[IpAddr]) -> Result<(), ConntrackError> {
        let wanted: HashSet<IpAddr> = addresses.iter().copied().collect();
        for (family, is_wanted) in [
            (FAMILY_IPV4, wanted.iter().any(IpAddr::is_ipv4)),
            (FAMILY_IPV6, wanted.iter().any(IpAddr::is_ipv6)),
        ] {
            if is_wanted {
                for flow in self.flows(family, &wanted)? {
                    self.delete(family, &flow)?;
                }
            }
        }
        Ok(())
    }

    fn flows(&mut self, family: u8, wanted: &HashSet<IpAddr>) -> Result<Vec<Flow>, ConntrackError> {
        let request = |sequence| {
            let mut encoder = Encoder::default();
            let kind = CONNTRACK | GET;
            encoder.message(kind, flag::REQUEST | flag::DUMP, sequence, (family, 0), |_| {});
            encoder.bytes().to_vec()
        };
        self.socket
            .list(request, |message| flow_of(message, wanted))
            .map_err(|failure| error_of(&failure))
    }

    fn delete(&mut self, family: u8, flow: &Flow) -> Result<(), ConntrackError> {
        let sequence = self.socket.next_sequence().wrapping_add(1);
        let mut encoder = Encoder::default();
        let flags = flag::REQUEST | flag::ACK;
        encoder.message(CONNTRACK | DELETE, flags, sequence, (family, 0), |message| {
            message.attribute(TUPLE_ORIGINAL | NESTED, &flow.tuple);
            for (kind, value) in [(ZONE, &flow.zone), (ID, &flow.id)] {
                if let Some(value) = value {
                    message.attribute(kind, value);
                }
            }
        });
        match self
            .socket
            .transact(encoder.bytes(), &(sequence..sequence.wrapping_add(1)))
        {
            // It has ended by itself.
            Err(Failure::Refused {
                errno: Errno::NOENT, ..
            }) => Ok(()),
            outcome => outcome.map_err(|failure| error_of(&failure)),
        }
    }
}

/// A flow that one of these addresses began.
fn flow_of(message: &Received<'_>, wanted: &HashSet<IpAddr>) -> Option<Flow> {
    let attributes = message.attributes();
    let address = attributes.nested(TUPLE_ORIGINAL)?.nested(TUPLE_ADDRESS)?;
    let source = match address.find(SOURCE_IPV4) {
        Some(bytes) => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        None => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(address.find(SOURCE_IPV6)?).ok()?)),
    };
    wanted.contains(&source).then_some(())?;
    Some(Flow {
        tuple: attributes.find(TUPLE_ORIGINAL)?.to_vec(),
        id: attributes.find(ID).map(<[u8]>::to_vec),
        zone: attributes.find(ZONE).map(<[u8]>::to_vec),
    })
}

fn error_of(failure: &Failure) -> ConntrackError {
    let cause = match failure {
        Failure::System(errno) | Failure::Refused { errno, .. } => (*errno).into(),
        Failure::Lost | Failure::Silent => io::ErrorKind::TimedOut.into(),
        Failure::Malformed | Failure::Special(_) => io::ErrorKind::InvalidData.into(),
    };
    ConntrackError { cause }
}
