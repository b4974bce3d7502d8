//! A transaction: messages that the kernel carries out together or not at all, as bytes. Pure.

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use super::message::{Encoder, INET, NFTABLES, SetRecord, attribute, flag, kind};
use super::plan::{Condition, Family, SetId, key};
use crate::{Block, Hook, PortRange};

/// Elements in one message. An attribute holds less than 64 KiB; a thousand elements of IPv6 take 44,000 bytes.
const ELEMENTS_PER_MESSAGE: usize = 1000;

/// What one message of a transaction does, for the operator who reads that it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Transaction,
    AddTable,
    AddChain(String),
    AddSet(String),
    AddRule(String),
    AddElements(String),
    DeleteTable,
    DeleteChain(String),
    DeleteSet(String),
    DeleteRule(u64),
    DeleteElements(String),
    List,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transaction => f.write_str("carry out a transaction"),
            Self::AddTable => f.write_str("add the table"),
            Self::AddChain(chain) => write!(f, "add chain `{chain}`"),
            Self::AddSet(set) => write!(f, "add set `{set}`"),
            Self::AddRule(set) => write!(f, "add a rule for set `{set}`"),
            Self::AddElements(set) => write!(f, "add addresses to set `{set}`"),
            Self::DeleteTable => f.write_str("delete the table"),
            Self::DeleteChain(chain) => write!(f, "delete chain `{chain}`"),
            Self::DeleteSet(set) => write!(f, "delete set `{set}`"),
            Self::DeleteRule(handle) => write!(f, "delete the rule with handle {handle}"),
            Self::DeleteElements(set) => write!(f, "delete addresses from set `{set}`"),
            Self::List => f.write_str("list the ruleset"),
        }
    }
}

/// Data types of keys, as the program nft numbers them: for it alone, the kernel only compares them.
pub(super) mod key_type {
    pub(crate) const IPV4_ADDRESS: u32 = 7;
    pub(crate) const IPV6_ADDRESS: u32 = 8;
    pub(super) const PROTOCOL: u32 = 12;
    pub(super) const PORT: u32 = 13;
}

pub(super) mod set_flag {
    pub(super) const ANONYMOUS: u32 = 1;
    pub(super) const CONSTANT: u32 = 2;
    pub(crate) const INTERVAL: u32 = 4;
    pub(crate) const TIMEOUT: u32 = 0x10;
}

/// Name of a set without a name; the kernel puts a number in.
const ANONYMOUS: &str = "__set%d";
/// Flag of an element: here an interval ends, and this is no longer in it.
const INTERVAL_END: u32 = 1;
const HOOK_INPUT: u32 = 1;
const HOOK_FORWARD: u32 = 2;
/// In tables of family inet.
const HOOK_INGRESS: u32 = 5;
const POLICY_ACCEPT: u32 = 1;

/// Messages that are carried out together or not at all.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    family: u8,
    table: &'a str,
    encoder: Encoder,
    first: u32,
    steps: Vec<Step>,
    anonymous_sets: u32,
}

impl<'a> Transaction<'a> {
    /// An empty transaction on one table of family inet. Its messages are numbered from `first`.
    pub(crate) fn new(table: &'a str, first: u32) -> Self {
        Self::in_family(INET, table, first)
    }

    /// The same on a table of any family.
    pub(crate) fn in_family(family: u8, table: &'a str, first: u32) -> Self {
        let mut encoder = Encoder::default();
        encoder.message(kind::BATCH_BEGIN, flag::REQUEST, first, (0, NFTABLES), |_| {});
        Self {
            family,
            table,
            encoder,
            first,
            steps: Vec::new(),
            anonymous_sets: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The bytes to send, the numbers of the messages that will be answered, and what each of them does.
    pub(crate) fn finish(mut self) -> (Encoder, Range<u32>, Vec<Step>) {
        let end = self.next();
        self.encoder
            .message(kind::BATCH_END, flag::REQUEST, end, (0, NFTABLES), |_| {});
        (self.encoder, self.first.wrapping_add(1)..end, self.steps)
    }

    fn next(&self) -> u32 {
        let number = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        self.first.wrapping_add(number).wrapping_add(1)
    }

    fn message(&mut self, step: Step, kind: u16, flags: u16, body: impl FnOnce(&mut Encoder)) {
        let (family, table, sequence) = (self.family, self.table, self.next());
        self.encoder.message(
            kind,
            flag::REQUEST | flag::ACK | flags,
            sequence,
            (family, 0),
            |message| {
                message.text(attribute::TABLE, table);
                body(message);
            },
        );
        self.steps.push(step);
    }

    pub(crate) fn add_table(&mut self) {
        self.message(Step::AddTable, kind::NEW_TABLE, flag::CREATE, |message| {
            message.number(attribute::TABLE_FLAGS, 0);
        });
    }

    pub(crate) fn add_chain(&mut self, chain: &str, place: &Hook, priority: i32) {
        self.message(
            Step::AddChain(chain.to_owned()),
            kind::NEW_CHAIN,
            flag::CREATE,
            |message| {
                message.text(attribute::CHAIN_NAME, chain);
                message.nested(attribute::CHAIN_HOOK, |hook| {
                    let number = match place {
                        Hook::Input => HOOK_INPUT,
                        Hook::Forward => HOOK_FORWARD,
                        Hook::Ingress(_) => HOOK_INGRESS,
                    };
                    hook.number(attribute::HOOK_NUMBER, number);
                    hook.attribute(attribute::HOOK_PRIORITY, &priority.to_be_bytes());
                    if let Hook::Ingress(device) = place {
                        hook.text(attribute::HOOK_DEVICE, device);
                    }
                });
                message.text(attribute::CHAIN_TYPE, "filter");
                message.number(attribute::CHAIN_POLICY, POLICY_ACCEPT);
            },
        );
    }

    pub(crate) fn add_set(&mut self, id: SetId, name: &str) {
        let (key_type, flags) = set_properties(id);
        self.message(Step::AddSet(name.to_owned()), kind::NEW_SET, flag::CREATE, |message| {
            message.text(attribute::SET_NAME, name);
            message.number(attribute::SET_FLAGS, flags);
            message.number(attribute::SET_KEY_TYPE, key_type);
            message.number(attribute::SET_KEY_LENGTH, id.family.bytes());
            // Must be there; it is the name by which the rest of a transaction may speak of a set without one.
            message.number(attribute::SET_ID, 0);
            // Kernels before 5.7 overlook it.
            message.nested(attribute::SET_EXPRESSION, |expression| {
                expression.text(attribute::EXPRESSION_NAME, "counter");
            });
        });
    }

    pub(crate) fn delete_table(&mut self) {
        self.message(Step::DeleteTable, kind::DEL_TABLE, 0, |_| {});
    }

    pub(crate) fn delete_chain(&mut self, chain: &str) {
        self.message(Step::DeleteChain(chain.to_owned()), kind::DEL_CHAIN, 0, |message| {
            message.text(attribute::CHAIN_NAME, chain);
        });
    }

    pub(crate) fn delete_set(&mut self, name: &str) {
        self.message(Step::DeleteSet(name.to_owned()), kind::DEL_SET, 0, |message| {
            message.text(attribute::SET_NAME, name);
        });
    }

    pub(crate) fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.message(Step::DeleteRule(handle), kind::DEL_RULE, 0, |message| {
            message.text(attribute::RULE_CHAIN, chain);
            message.long_number(attribute::RULE_HANDLE, handle);
        });
    }

    /// Adds elements with their times in milliseconds, 0 for ever. `exclusive` refuses those that are there;
    /// otherwise these stay as they are.
    pub(crate) fn add_elements(&mut self, name: &str, elements: &[(IpAddr, u64)], exclusive: bool) {
        let flags = if exclusive {
            flag::CREATE | flag::EXCLUSIVE
        } else {
            flag::CREATE
        };
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.elements(
                Step::AddElements(name.to_owned()),
                (kind::NEW_ELEMENTS, flags),
                name,
                chunk,
            );
        }
    }

    /// Deletes elements; refuses those that are not there.
    pub(crate) fn delete_elements(&mut self, name: &str, elements: &[(IpAddr, u64)]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.elements(
                Step::DeleteElements(name.to_owned()),
                (kind::DEL_ELEMENTS, 0),
                name,
                chunk,
            );
        }
    }

    /// Adds or deletes single addresses of a set of intervals, each with its beginning and its end. An address that exists stays.
    pub(crate) fn single_intervals(&mut self, name: &str, addresses: &[IpAddr], is_added: bool) {
        let (step, kind, flags) = if is_added {
            (Step::AddElements(name.to_owned()), kind::NEW_ELEMENTS, flag::CREATE)
        } else {
            (Step::DeleteElements(name.to_owned()), kind::DEL_ELEMENTS, 0)
        };
        for chunk in addresses.chunks(ELEMENTS_PER_MESSAGE / 2) {
            self.message(step.clone(), kind, flags, |message| {
                message.text(attribute::ELEMENTS_SET, name);
                message.nested(attribute::ELEMENTS_LIST, |list| {
                    for address in chunk {
                        let ends = [
                            Some((*address, 0)),
                            next_address(*address).map(|end| (end, INTERVAL_END)),
                        ];
                        for (address, flags) in ends.into_iter().flatten() {
                            let (bytes, length) = key(address);
                            list.nested(attribute::ITEM, |element| {
                                if flags != 0 {
                                    element.number(attribute::ELEMENT_FLAGS, flags);
                                }
                                element.nested(attribute::ELEMENT_KEY, |data| {
                                    data.attribute(attribute::ITEM, bytes.get(..length).unwrap_or(&bytes));
                                });
                            });
                        }
                    }
                });
            });
        }
    }

    fn elements(&mut self, step: Step, (kind, flags): (u16, u16), name: &str, elements: &[(IpAddr, u64)]) {
        self.message(step, kind, flags, |message| {
            message.text(attribute::ELEMENTS_SET, name);
            message.nested(attribute::ELEMENTS_LIST, |list| {
                for &(address, milliseconds) in elements {
                    let (bytes, length) = key(address);
                    list.nested(attribute::ITEM, |element| {
                        element.nested(attribute::ELEMENT_KEY, |data| {
                            data.attribute(attribute::ITEM, bytes.get(..length).unwrap_or(&bytes));
                        });
                        if milliseconds > 0 && kind == kind::NEW_ELEMENTS {
                            element.long_number(attribute::ELEMENT_TIMEOUT, milliseconds);
                        }
                    });
                }
            });
        });
    }

    /// Adds the rule that blocks packets of one set's members under one condition, at the end of a chain.
    pub(crate) fn add_rule(&mut self, chain: &str, id: SetId, set: &str, condition: &Condition, verdict: Block) {
        let protocols = match condition.protocols.as_slice() {
            [] => None,
            [only] => Some(Test::Equal(vec![*only])),
            several => {
                let elements: Vec<_> = several.iter().map(|protocol| (vec![*protocol], 0)).collect();
                Some(self.anonymous_set(key_type::PROTOCOL, 1, false, &elements))
            }
        };
        let ports = match condition.ports.as_slice() {
            [] => None,
            [PortRange { first, last }] if first == last => Some(Test::Equal(first.to_be_bytes().to_vec())),
            [PortRange { first, last }] => {
                Some(Test::Between(first.to_be_bytes().to_vec(), last.to_be_bytes().to_vec()))
            }
            several if several.iter().all(|range| range.first == range.last) => {
                let elements: Vec<_> = several
                    .iter()
                    .map(|range| (range.first.to_be_bytes().to_vec(), 0))
                    .collect();
                Some(self.anonymous_set(key_type::PORT, 2, false, &elements))
            }
            several => Some(self.anonymous_set(key_type::PORT, 2, true, &intervals(several))),
        };
        self.message(
            Step::AddRule(set.to_owned()),
            kind::NEW_RULE,
            flag::CREATE | flag::APPEND,
            |message| {
                message.text(attribute::RULE_CHAIN, chain);
                message.nested(attribute::RULE_EXPRESSIONS, |list| {
                    if let Some(test) = &protocols {
                        load_meta(list, META_PROTOCOL);
                        test.write(list);
                    }
                    if let Some(test) = &ports {
                        load_payload(list, TRANSPORT_HEADER, 2, 2);
                        test.write(list);
                    }
                    write_source(list, id, set);
                    write_verdict(list, id.family, verdict);
                });
            },
        );
    }

    /// Makes a set that lives as long as the rule that uses it.
    fn anonymous_set(&mut self, key_type: u32, length: u32, has_intervals: bool, elements: &[(Vec<u8>, u32)]) -> Test {
        self.anonymous_sets += 1;
        let id = self.anonymous_sets;
        let flags = set_flag::ANONYMOUS | set_flag::CONSTANT | if has_intervals { set_flag::INTERVAL } else { 0 };
        self.message(
            Step::AddSet(ANONYMOUS.to_owned()),
            kind::NEW_SET,
            flag::CREATE,
            |message| {
                message.text(attribute::SET_NAME, ANONYMOUS);
                message.number(attribute::SET_FLAGS, flags);
                message.number(attribute::SET_KEY_TYPE, key_type);
                message.number(attribute::SET_KEY_LENGTH, length);
                message.number(attribute::SET_ID, id);
                message.nested(attribute::SET_DESCRIPTION, |description| {
                    description.number(
                        attribute::DESCRIPTION_SIZE,
                        u32::try_from(elements.len()).unwrap_or(u32::MAX),
                    );
                });
            },
        );
        self.message(
            Step::AddElements(ANONYMOUS.to_owned()),
            kind::NEW_ELEMENTS,
            flag::CREATE,
            |message| {
                message.text(attribute::ELEMENTS_SET, ANONYMOUS);
                message.number(attribute::ELEMENTS_SET_ID, id);
                message.nested(attribute::ELEMENTS_LIST, |list| {
                    for (key, flags) in elements {
                        list.nested(attribute::ITEM, |element| {
                            if *flags != 0 {
                                element.number(attribute::ELEMENT_FLAGS, *flags);
                            }
                            element.nested(attribute::ELEMENT_KEY, |data| data.attribute(attribute::ITEM, key));
                        });
                    }
                });
            },
        );
        Test::Anonymous(id)
    }
}

/// The address after one; `None` after the last.
fn next_address(address: IpAddr) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(address) => IpAddr::V4(address.to_bits().checked_add(1)?.into()),
        IpAddr::V6(address) => IpAddr::V6(address.to_bits().checked_add(1)?.into()),
    })
}

/// A question for one element; its answer is an acknowledgement or "no such file".
pub(crate) fn get_element(
    encoder: &mut Encoder,
    sequence: u32,
    (family, table, set): (u8, &str, &str),
    address: IpAddr,
) {
    let (bytes, length) = key(address);
    encoder.message(
        kind::GET_ELEMENTS,
        flag::REQUEST | flag::ACK,
        sequence,
        (family, 0),
        |message| {
            message.text(attribute::TABLE, table);
            message.text(attribute::ELEMENTS_SET, set);
            message.nested(attribute::ELEMENTS_LIST, |list| {
                list.nested(attribute::ITEM, |element| {
                    element.nested(attribute::ELEMENT_KEY, |data| {
                        data.attribute(attribute::ITEM, bytes.get(..length).unwrap_or(&bytes));
                    });
                });
            });
        },
    );
}

/// Whether a set is as we make it, so that it can be used as it is.
pub(crate) fn is_as_ours(id: SetId, set: &SetRecord) -> bool {
    set_properties(id) == (set.key_type, set.flags) && set.has_counters && set.is_unlimited
}

/// Whether the elements of a set can be taken over into one as we make it.
pub(crate) fn has_our_elements(id: SetId, set: &SetRecord) -> bool {
    let (key_type, flags) = set_properties(id);
    set.key_type == key_type && set.flags & !flags == 0
}

/// Key type and flags of a set of ours.
const fn set_properties(id: SetId) -> (u32, u32) {
    match id.family {
        Family::V4 => (key_type::IPV4_ADDRESS, set_flag::TIMEOUT),
        Family::V6 => (key_type::IPV6_ADDRESS, set_flag::TIMEOUT),
    }
}

/// Beginnings and ends of port ranges, with what is below the first.
fn intervals(ranges: &[PortRange]) -> Vec<(Vec<u8>, u32)> {
    let mut elements = Vec::new();
    if ranges.first().is_some_and(|range| range.first > 0) {
        elements.push((vec![0, 0], INTERVAL_END));
    }
    for range in ranges {
        elements.push((range.first.to_be_bytes().to_vec(), 0));
        if let Some(end) = range.last.checked_add(1) {
            elements.push((end.to_be_bytes().to_vec(), INTERVAL_END));
        }
    }
    elements
}

/// What register 1 is compared with.
enum Test {
    Equal(Vec<u8>),
    Between(Vec<u8>, Vec<u8>),
    Anonymous(u32),
}

impl Test {
    fn write(&self, list: &mut Encoder) {
        match self {
            Self::Equal(value) => compare(list, COMPARE_EQUAL, value),
            Self::Between(low, high) => {
                compare(list, COMPARE_AT_LEAST, low);
                compare(list, COMPARE_AT_MOST, high);
            }
            Self::Anonymous(id) => lookup(list, ANONYMOUS, Some(*id)),
        }
    }
}

const REGISTER_VERDICT: u32 = 0;
const REGISTER_1: u32 = 1;
const META_FAMILY: u32 = 15;
const META_PROTOCOL: u32 = 16;
const NETWORK_HEADER: u32 = 1;
const TRANSPORT_HEADER: u32 = 2;
const COMPARE_EQUAL: u32 = 0;
const COMPARE_AT_MOST: u32 = 3;
const COMPARE_AT_LEAST: u32 = 5;
const FAMILY_IPV4: u8 = 2;
const FAMILY_IPV6: u8 = 10;
const REJECT_ICMP: u32 = 0;
const VERDICT_DROP: u32 = 0;

fn expression(list: &mut Encoder, name: &str, body: impl FnOnce(&mut Encoder)) {
    list.nested(attribute::ITEM, |expression| {
        expression.text(attribute::EXPRESSION_NAME, name);
        expression.nested(attribute::EXPRESSION_DATA, body);
    });
}

fn load_meta(list: &mut Encoder, key: u32) {
    expression(list, "meta", |meta| {
        meta.number(2, key);
        meta.number(1, REGISTER_1);
    });
}

fn load_payload(list: &mut Encoder, header: u32, offset: u32, length: u32) {
    expression(list, "payload", |payload| {
        payload.number(1, REGISTER_1);
        payload.number(2, header);
        payload.number(3, offset);
        payload.number(4, length);
    });
}

fn compare(list: &mut Encoder, operator: u32, value: &[u8]) {
    expression(list, "cmp", |cmp| {
        cmp.number(1, REGISTER_1);
        cmp.number(2, operator);
        cmp.nested(3, |data| data.attribute(attribute::ITEM, value));
    });
}

fn lookup(list: &mut Encoder, set: &str, id: Option<u32>) {
    expression(list, "lookup", |lookup| {
        lookup.text(attribute::LOOKUP_SET, set);
        lookup.number(2, REGISTER_1);
        if let Some(id) = id {
            lookup.number(4, id);
        }
    });
}

/// `ip saddr @set`, or `ip saddr & mask @set` for networks.
fn write_source(list: &mut Encoder, id: SetId, set: &str) {
    let (family, offset) = match id.family {
        Family::V4 => (FAMILY_IPV4, 12),
        Family::V6 => (FAMILY_IPV6, 8),
    };
    load_meta(list, META_FAMILY);
    compare(list, COMPARE_EQUAL, &[family]);
    load_payload(list, NETWORK_HEADER, offset, id.family.bytes());
    if let Some(mask) = id.mask() {
        expression(list, "bitwise", |bitwise| {
            bitwise.number(1, REGISTER_1);
            bitwise.number(2, REGISTER_1);
            bitwise.number(3, id.family.bytes());
            bitwise.nested(4, |data| data.attribute(attribute::ITEM, &mask));
            bitwise.nested(5, |data| data.attribute(attribute::ITEM, &vec![0; mask.len()]));
        });
    }
    lookup(list, set, None);
}

fn write_verdict(list: &mut Encoder, family: Family, verdict: Block) {
    match verdict {
        Block::Drop => expression(list, "immediate", |immediate| {
            immediate.number(1, REGISTER_VERDICT);
            immediate.nested(2, |data| data.nested(2, |code| code.number(1, VERDICT_DROP)));
        }),
        Block::Reject => expression(list, "reject", |reject| {
            reject.number(1, REJECT_ICMP);
            // "Port unreachable" in ICMP and ICMPv6: what nft makes of a plain `reject` behind `ip saddr` and `ip6 saddr`.
            reject.attribute(2, &[if family == Family::V4 { 3 } else { 4 }]);
        }),
    }
}
