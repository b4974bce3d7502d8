//! Sets of the kernel's ipset: what `ipset -exist add` and `ipset -exist del` do, for many addresses at once.
//!
//! Layout: `linux/netfilter/ipset/ip_set.h` of the kernel's user API. Protocol 6 is understood by every kernel since 2.6.39.

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::IpAddr;

use rustix::io::Errno;

use crate::netlink::{Failure, Socket};
use crate::nftables::message::{Attributes, Encoder, IPSET, Received, flag};
use crate::nftables::plan::key;

const LIST: u16 = 7;
const ADD: u16 = 9;
const DELETE: u16 = 10;

const PROTOCOL: u16 = 1;
const PROTOCOL_VERSION: u8 = 6;
const SET_NAME: u16 = 2;
const ENTRY: u16 = 7;
const ENTRIES: u16 = 8;
/// Of an entry; in a message also the number of the line of input, which the kernel wants to see.
const LINE_NUMBER: u16 = 9;
const ADDRESS: u16 = 1;
const TIMEOUT: u16 = 6;
const ADDRESS_IPV4: u16 = 1;
const ADDRESS_IPV6: u16 = 2;
/// The number is in network byte order.
const NETWORK_ORDER: u16 = 0x4000;

/// An entry of IPv6 with its time takes 44 bytes, a list less than 64 KiB.
const ENTRIES_PER_MESSAGE: usize = 1000;

/// Longest name the kernel knows, without the zero.
const LONGEST_NAME: usize = 31;

/// An address of a set and the seconds until the kernel lets it go: 0 is never, `None` what the set says.
pub type Entry = (IpAddr, Option<u32>);

/// Why a set of ipset was not changed.
#[derive(Debug)]
pub struct IpsetError {
    set: String,
    cause: io::Error,
}

impl fmt::Display for IpsetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set, cause } = self;
        write!(f, "cannot change ipset `{}`: ", set.escape_debug())?;
        match cause.raw_os_error() {
            // Numbers of ipset itself begin at 4096; those of sets of addresses at 4352.
            Some(4097) => f.write_str("the kernel speaks another protocol; mend: set `native = no` for the action"),
            Some(4352) => f.write_str("the set is full; mend: create it with a larger `maxelem`"),
            Some(number) if number >= 4096 => write!(f, "ipset says no, number {number}"),
            _ if cause.kind() == io::ErrorKind::NotFound => f.write_str("it is not there"),
            _ => write!(f, "{cause}"),
        }
    }
}

impl std::error::Error for IpsetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

/// The kernel's ipset, over netlink, in the network namespace in which it was opened.
#[derive(Debug)]
pub struct Ipset {
    socket: Socket,
}

impl Ipset {
    /// Opens a socket.
    pub fn open() -> Result<Self, IpsetError> {
        let socket = Socket::open(0).map_err(|errno| IpsetError {
            set: String::new(),
            cause: errno.into(),
        })?;
        Ok(Self { socket })
    }

    /// Adds addresses to a set, or takes them out. What is there gets its new time; what is not there is no error.
    ///
    /// Fails at the first entry that the kernel refuses; others may have been changed then.
    pub fn change(&mut self, set: &str, entries: &[Entry], is_added: bool) -> Result<(), IpsetError> {
        let failed = |cause: io::Error| IpsetError {
            set: set.to_owned(),
            cause,
        };
        if set.is_empty() || set.len() > LONGEST_NAME {
            return Err(failed(Errno::NAMETOOLONG.into()));
        }
        for part in entries.chunks(ENTRIES_PER_MESSAGE) {
            let sequence = self.socket.next_sequence().wrapping_add(1);
            let mut encoder = Encoder::default();
            let kind = IPSET | if is_added { ADD } else { DELETE };
            // The family of the message is looked at by nobody; that of an address is in its attribute.
            encoder.message(kind, flag::REQUEST | flag::ACK, sequence, (2, 0), |message| {
                message.attribute(PROTOCOL, &[PROTOCOL_VERSION]);
                message.text(SET_NAME, set);
                message.number(LINE_NUMBER | NETWORK_ORDER, 1);
                message.nested(ENTRIES, |list| {
                    for (line, entry) in (1..).zip(part) {
                        write_entry(list, entry, line, is_added);
                    }
                });
            });
            let answers = sequence..sequence.wrapping_add(1);
            self.socket
                .transact(encoder.bytes(), &answers)
                .map_err(|failure| match failure {
                    Failure::System(errno) | Failure::Refused { errno, .. } => failed(errno.into()),
                    Failure::Special(number) => failed(io::Error::from_raw_os_error(number)),
                    Failure::Lost | Failure::Silent => failed(io::ErrorKind::TimedOut.into()),
                    Failure::Malformed => failed(io::ErrorKind::InvalidData.into()),
                })?;
        }
        Ok(())
    }

    /// The addresses in a set.
    pub fn elements(&mut self, set: &str) -> Result<HashSet<IpAddr>, IpsetError> {
        let request = |sequence| {
            let mut encoder = Encoder::default();
            let flags = flag::REQUEST | flag::ACK | flag::DUMP;
            encoder.message(IPSET | LIST, flags, sequence, (2, 0), |message| {
                message.attribute(PROTOCOL, &[PROTOCOL_VERSION]);
                message.text(SET_NAME, set);
            });
            encoder.bytes().to_vec()
        };
        let listed = self.socket.list(request, addresses);
        let listed = listed.map_err(|failure| IpsetError {
            set: set.to_owned(),
            cause: match failure {
                Failure::System(errno) | Failure::Refused { errno, .. } => errno.into(),
                Failure::Special(number) => io::Error::from_raw_os_error(number),
                Failure::Lost | Failure::Silent => io::ErrorKind::TimedOut.into(),
                Failure::Malformed => io::ErrorKind::InvalidData.into(),
            },
        })?;
        Ok(listed.into_iter().flatten().collect())
    }
}

/// The addresses in one answer to a listing.
fn addresses(message: &Received<'_>) -> Option<Vec<IpAddr>> {
    let entries = message.attributes().nested(ENTRIES)?;
    let addresses = entries.filter_map(|entry| {
        let (_, entry) = entry.ok()?;
        let data = Attributes::inside(entry).nested(ADDRESS)?;
        let four = data
            .find(ADDRESS_IPV4)
            .and_then(|bytes| <[u8; 4]>::try_from(bytes).ok());
        let six = data
            .find(ADDRESS_IPV6)
            .and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
        four.map(IpAddr::from).or_else(|| six.map(IpAddr::from))
    });
    Some(addresses.collect())
}

fn write_entry(list: &mut Encoder, &(address, timeout): &Entry, line: u32, is_added: bool) {
    let (bytes, length) = key(address);
    let family = if address.is_ipv4() { ADDRESS_IPV4 } else { ADDRESS_IPV6 };
    list.nested(ENTRY, |entry| {
        entry.nested(ADDRESS, |data| {
            data.attribute(family | NETWORK_ORDER, bytes.get(..length).unwrap_or(&bytes));
        });
        if let Some(timeout) = timeout.filter(|_| is_added) {
            entry.number(TIMEOUT | NETWORK_ORDER, timeout);
        }
        entry.number(LINE_NUMBER | NETWORK_ORDER, line);
    });
}
