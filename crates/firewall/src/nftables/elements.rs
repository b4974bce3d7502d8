//! Elements of sets that somebody else has made: what `nft add element` and `nft delete element` do, for many addresses at once.

use std::collections::HashSet;
use std::net::IpAddr;

use rustix::io::Errno;

use super::message::{SetRecord, attribute, flag, kind, read_elements, read_set};
use super::transaction::{Step, Transaction, key_type, set_flag};
use super::{Nftables, Place, request_in};
use crate::FirewallError;
use crate::netlink::Failure;

/// The family of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableFamily {
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Both.
    Inet,
    /// ARP.
    Arp,
    /// Bridges.
    Bridge,
    /// Devices.
    Netdev,
}

impl TableFamily {
    /// The family that the program nft calls so.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "ip" => Self::Ip,
            "ip6" => Self::Ip6,
            "inet" => Self::Inet,
            "arp" => Self::Arp,
            "bridge" => Self::Bridge,
            "netdev" => Self::Netdev,
            _ => return None,
        })
    }

    fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Arp => 3,
            Self::Netdev => 5,
            Self::Bridge => 7,
            Self::Ip6 => 10,
        }
    }
}

/// A set by its name, whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedSet {
    /// Family of its table.
    pub family: TableFamily,
    /// Its table.
    pub table: String,
    /// Its name there.
    pub set: String,
}

impl Nftables {
    /// Adds addresses to a set, or takes them out, in one transaction; what is there already, or not there, is no error.
    ///
    /// Fails if the set is not there, if it is not a set of single addresses or of intervals of the addresses' family, and if an interval in it
    /// overlaps with an address in part. Nothing has changed then.
    pub fn change_elements(
        &mut self,
        set: &NamedSet,
        addresses: &[IpAddr],
        is_added: bool,
    ) -> Result<(), FirewallError> {
        let place = Place {
            table: &set.table,
            name: &set.set,
        };
        let has_intervals = self.has_intervals(set, addresses)?;
        let first = self.try_elements(set, addresses, is_added, has_intervals, false);
        let outcome = match first {
            Err((
                Failure::Refused {
                    errno: Errno::NOENT, ..
                },
                _,
            )) if !is_added => self.try_elements(set, addresses, false, has_intervals, true),
            outcome => outcome,
        };
        match outcome {
            Ok(()) => Ok(()),
            Err((
                Failure::Refused {
                    errno: Errno::NOENT, ..
                },
                _,
            )) => Err(place.missing()),
            Err((Failure::System(Errno::MSGSIZE), _)) if addresses.len() > 1 => {
                let (first, second) = addresses.split_at(addresses.len() / 2);
                self.change_elements(set, first, is_added)?;
                self.change_elements(set, second, is_added)
            }
            Err((failure, step)) => Err(place.failure(&failure, &step)),
        }
    }

    /// The addresses in a set; of intervals the first of each. Fails for a set whose elements may end by themselves.
    pub fn elements(&mut self, set: &NamedSet) -> Result<HashSet<IpAddr>, FirewallError> {
        let record = self.record(set)?;
        if record.flags & set_flag::TIMEOUT != 0 {
            return Err(FirewallError::refused(&Step::List, &set.table, Errno::OPNOTSUPP));
        }
        let place = Place {
            table: &set.table,
            name: &set.set,
        };
        let names = [
            (attribute::TABLE, set.table.as_str()),
            (attribute::ELEMENTS_SET, set.set.as_str()),
        ];
        let family = set.family.number();
        let listed = self.socket.list(
            |sequence| request_in(family, kind::GET_ELEMENTS, flag::DUMP, sequence, &names),
            read_elements,
        );
        let records = super::none_if_absent(listed, place)?.ok_or_else(|| place.missing())?;
        let elements = records.into_iter().flat_map(|record| record.elements);
        Ok(elements.map(|element| element.address).collect())
    }

    /// Whether each of these addresses is an element of a set, also where [`Nftables::elements`] misses some (see [`crate::Firewall::list`]).
    pub fn holds_elements(&mut self, set: &NamedSet, addresses: &[IpAddr]) -> Result<Vec<bool>, FirewallError> {
        let place = Place {
            table: &set.table,
            name: &set.set,
        };
        let elements: Vec<_> = addresses.iter().map(|address| (set.set.clone(), *address)).collect();
        self.which_are_there((set.family.number(), &set.table), &elements)
            .map_err(|failure| place.failure(&failure, &Step::List))
    }

    fn try_elements(
        &mut self,
        set: &NamedSet,
        addresses: &[IpAddr],
        is_added: bool,
        has_intervals: bool,
        has_placeholders: bool,
    ) -> Result<(), (Failure, Step)> {
        let mut transaction = Transaction::in_family(set.family.number(), &set.table, self.socket.next_sequence());
        let mut change = |is_added| {
            if has_intervals {
                transaction.single_intervals(&set.set, addresses, is_added);
                return;
            }
            let elements: Vec<_> = addresses.iter().map(|address| (*address, 0)).collect();
            if is_added {
                transaction.add_elements(&set.set, &elements, false);
            } else {
                transaction.delete_elements(&set.set, &elements);
            }
        };
        if has_placeholders {
            change(true);
        }
        change(is_added);
        self.send(transaction)
    }

    fn record(&mut self, set: &NamedSet) -> Result<SetRecord, FirewallError> {
        let place = Place {
            table: &set.table,
            name: &set.set,
        };
        let names = [
            (attribute::TABLE, set.table.as_str()),
            (attribute::SET_NAME, set.set.as_str()),
        ];
        let sets = self.socket.list(
            |sequence| request_in(set.family.number(), kind::GET_SET, flag::ACK, sequence, &names),
            read_set,
        );
        let record = super::none_if_absent(sets, place)?.and_then(|sets| sets.into_iter().next());
        record.ok_or_else(|| place.missing())
    }

    /// Whether the set is one of intervals. Fails if it is not one of these addresses, or has properties the program nft alone knows how to treat.
    fn has_intervals(&mut self, set: &NamedSet, addresses: &[IpAddr]) -> Result<bool, FirewallError> {
        let record = self.record(set)?;
        let wanted = |address: &IpAddr| match address {
            IpAddr::V4(_) => key_type::IPV4_ADDRESS,
            IpAddr::V6(_) => key_type::IPV6_ADDRESS,
        };
        let is_plain = record.flags & !(set_flag::INTERVAL | set_flag::TIMEOUT) == 0 && !record.is_merged;
        if !is_plain || !addresses.iter().all(|address| wanted(address) == record.key_type) {
            let cause = std::io::Error::from(Errno::OPNOTSUPP);
            return Err(FirewallError::Refused {
                what: Step::AddElements(set.set.clone()).to_string(),
                table: set.table.clone(),
                cause,
            });
        }
        Ok(record.flags & set_flag::INTERVAL != 0)
    }
}
