//! nfnetlink bytes to structs and back. No I/O here, no panics, and no trust: what the kernel sends is parsed as if
//! anybody could have sent it.
//!
//! Layout: `linux/netlink.h`, `linux/netfilter/nfnetlink.h`, `linux/netfilter/nf_tables.h` of the kernel's user API. Headers are
//! in host byte order, numbers in attributes in network byte order; everything is padded to four bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Traffic;

/// Messages of the nf_tables subsystem.
pub(crate) mod kind {
    const SUBSYSTEM: u16 = 10 << 8;
    pub(crate) const NEW_TABLE: u16 = SUBSYSTEM;
    pub(crate) const GET_TABLE: u16 = SUBSYSTEM + 1;
    pub(crate) const DEL_TABLE: u16 = SUBSYSTEM + 2;
    pub(crate) const NEW_CHAIN: u16 = SUBSYSTEM + 3;
    pub(crate) const GET_CHAIN: u16 = SUBSYSTEM + 4;
    pub(crate) const DEL_CHAIN: u16 = SUBSYSTEM + 5;
    pub(crate) const NEW_RULE: u16 = SUBSYSTEM + 6;
    pub(crate) const GET_RULE: u16 = SUBSYSTEM + 7;
    pub(crate) const DEL_RULE: u16 = SUBSYSTEM + 8;
    pub(crate) const NEW_SET: u16 = SUBSYSTEM + 9;
    pub(crate) const GET_SET: u16 = SUBSYSTEM + 10;
    pub(crate) const DEL_SET: u16 = SUBSYSTEM + 11;
    pub(crate) const NEW_ELEMENTS: u16 = SUBSYSTEM + 12;
    pub(crate) const GET_ELEMENTS: u16 = SUBSYSTEM + 13;
    pub(crate) const DEL_ELEMENTS: u16 = SUBSYSTEM + 14;
    /// A transaction is through.
    pub(crate) const NEW_GENERATION: u16 = SUBSYSTEM + 15;
    /// Brackets of a transaction.
    pub(crate) const BATCH_BEGIN: u16 = 16;
    pub(crate) const BATCH_END: u16 = 17;
    /// Answers of any subsystem.
    pub(crate) const ERROR: u16 = 2;
    pub(crate) const DONE: u16 = 3;
}

/// Flags of a message.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const ACK: u16 = 4;
    /// The ruleset changed while it was listed: ask again.
    pub(crate) const INTERRUPTED: u16 = 0x10;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const EXCLUSIVE: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

/// The protocol family `inet`: IPv4 and IPv6 together.
pub(crate) const INET: u8 = 1;
/// Subsystem of connection tracking.
pub(crate) const CONNTRACK: u16 = 1 << 8;
/// Subsystem of ipset.
pub(crate) const IPSET: u16 = 6 << 8;
/// Resource id in the brackets of a transaction: the subsystem it is for.
pub(crate) const NFTABLES: u16 = 10;

const NESTED: u16 = 0x8000;
const KIND_MASK: u16 = 0x3fff;
const HEADER: usize = 16;
/// After the header: family, version, resource id.
const FAMILY_HEADER: usize = 4;

/// Bytes of one or more messages being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Writes one message; `body` writes its attributes.
    pub(crate) fn message(
        &mut self,
        kind: u16,
        flags: u16,
        sequence: u32,
        (family, resource): (u8, u16),
        body: impl FnOnce(&mut Self),
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(&flags.to_ne_bytes());
        self.bytes.extend_from_slice(&sequence.to_ne_bytes());
        self.bytes.extend_from_slice(&[0; 4]);
        self.bytes.extend_from_slice(&[family, 0]);
        self.bytes.extend_from_slice(&resource.to_be_bytes());
        body(self);
        // A message too long for its length field cannot be written whole; the kernel refuses the wrong length.
        let length = u32::try_from(self.bytes.len() - start).unwrap_or(u32::MAX);
        self.patch(start, &length.to_ne_bytes());
    }

    pub(crate) fn attribute(&mut self, kind: u16, value: &[u8]) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value);
        self.close(start);
    }

    pub(crate) fn nested(&mut self, kind: u16, body: impl FnOnce(&mut Self)) {
        let start = self.open(kind | NESTED);
        body(self);
        self.close(start);
    }

    pub(crate) fn text(&mut self, kind: u16, value: &str) {
        let start = self.open(kind);
        self.bytes.extend_from_slice(value.as_bytes());
        self.bytes.push(0);
        self.close(start);
    }

    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    pub(crate) fn long_number(&mut self, kind: u16, value: u64) {
        self.attribute(kind, &value.to_be_bytes());
    }

    fn open(&mut self, kind: u16) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0]);
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        start
    }

    fn close(&mut self, start: usize) {
        // Saturated as above; our longest attribute, a thousand elements, is 44,000 bytes.
        let length = u16::try_from(self.bytes.len() - start).unwrap_or(u16::MAX);
        self.patch(start, &length.to_ne_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn patch(&mut self, at: usize, value: &[u8]) {
        if let Some(slot) = self.bytes.get_mut(at..at + value.len()) {
            slot.copy_from_slice(value);
        }
    }
}

/// Bytes that are no netlink message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// One message from the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    /// The socket whose request it is about.
    pub(crate) port: u32,
    /// What follows the header.
    payload: &'a [u8],
}

impl<'a> Received<'a> {
    /// The error number of an answer of kind [`kind::ERROR`]; 0 is success.
    pub(crate) fn errno(&self) -> Result<i32, Malformed> {
        let number = i32::from_ne_bytes(*self.payload.first_chunk().ok_or(Malformed)?);
        number.checked_neg().ok_or(Malformed)
    }

    /// The attributes of a message of nf_tables.
    pub(crate) fn attributes(&self) -> Attributes<'a> {
        Attributes {
            rest: self.payload.get(FAMILY_HEADER..).unwrap_or_default(),
        }
    }

    /// The protocol family of a message of nf_tables.
    pub(crate) fn family(&self) -> Option<u8> {
        self.payload.first().copied()
    }
}

/// Splits a datagram into messages; ends after the first malformed one.
pub(crate) struct Messages<'a> {
    rest: &'a [u8],
}

/// The messages of a datagram.
pub(crate) fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Received<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = self.split();
        if message.is_none() {
            self.rest = &[];
        }
        Some(message.ok_or(Malformed))
    }
}

impl<'a> Messages<'a> {
    fn split(&mut self) -> Option<Received<'a>> {
        let (header, _) = self.rest.split_at_checked(HEADER)?;
        let length = usize::try_from(u32::from_ne_bytes(*header.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*header.get(4..)?.first_chunk()?);
        let flags = u16::from_ne_bytes(*header.get(6..)?.first_chunk()?);
        let sequence = u32::from_ne_bytes(*header.get(8..)?.first_chunk()?);
        let port = u32::from_ne_bytes(*header.get(12..)?.first_chunk()?);
        // An error repeats the whole request behind its number. It may be longer than what we care to receive.
        let length = if kind == kind::ERROR {
            length.min(self.rest.len())
        } else {
            length
        };
        let payload = self.rest.get(HEADER..length)?;
        self.rest = self.rest.get(length.checked_next_multiple_of(4)?..).unwrap_or_default();
        Some(Received {
            kind,
            flags,
            sequence,
            port,
            payload,
        })
    }
}

/// Attributes one after the other; ends after the first malformed one.
#[derive(Clone)]
pub(crate) struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(u16, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let attribute = self.split();
        if attribute.is_none() {
            self.rest = &[];
        }
        Some(attribute.ok_or(Malformed))
    }
}

impl<'a> Attributes<'a> {
    pub(crate) fn inside(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn split(&mut self) -> Option<(u16, &'a [u8])> {
        let length = usize::from(u16::from_ne_bytes(*self.rest.first_chunk()?));
        let kind = u16::from_ne_bytes(*self.rest.get(2..)?.first_chunk()?) & KIND_MASK;
        let value = self.rest.get(4..length)?;
        self.rest = self.rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    }

    /// The value of the first attribute of a kind.
    pub(crate) fn find(&self, wanted: u16) -> Option<&'a [u8]> {
        self.clone()
            .filter_map(Result::ok)
            .find_map(|(kind, value)| (kind == wanted).then_some(value))
    }

    pub(crate) fn text(&self, wanted: u16) -> Option<&'a str> {
        let value = self.find(wanted)?;
        str::from_utf8(value.strip_suffix(&[0]).unwrap_or(value)).ok()
    }

    pub(crate) fn number(&self, wanted: u16) -> Option<u32> {
        self.find(wanted)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(crate) fn long_number(&self, wanted: u16) -> Option<u64> {
        self.find(wanted)?.try_into().ok().map(u64::from_be_bytes)
    }

    pub(crate) fn nested(&self, wanted: u16) -> Option<Self> {
        self.find(wanted).map(Self::inside)
    }
}

/// Attributes of tables, chains, sets, rules and lists of elements that we read.
pub(crate) mod attribute {
    /// In tables the name of the table, in all others the table they are in.
    pub(crate) const TABLE: u16 = 1;
    pub(crate) const TABLE_FLAGS: u16 = 2;
    pub(crate) const TABLE_USE: u16 = 3;
    pub(crate) const CHAIN_NAME: u16 = 3;
    pub(crate) const CHAIN_HOOK: u16 = 4;
    pub(crate) const CHAIN_POLICY: u16 = 5;
    pub(crate) const CHAIN_USE: u16 = 6;
    pub(crate) const CHAIN_TYPE: u16 = 7;
    pub(crate) const HOOK_NUMBER: u16 = 1;
    pub(crate) const HOOK_PRIORITY: u16 = 2;
    pub(crate) const HOOK_DEVICE: u16 = 3;
    pub(crate) const GENERATION_PROCESS: u16 = 3;
    pub(crate) const RULE_CHAIN: u16 = 2;
    pub(crate) const RULE_HANDLE: u16 = 3;
    pub(crate) const RULE_EXPRESSIONS: u16 = 4;
    pub(crate) const SET_NAME: u16 = 2;
    pub(crate) const SET_FLAGS: u16 = 3;
    pub(crate) const SET_KEY_TYPE: u16 = 4;
    pub(crate) const SET_KEY_LENGTH: u16 = 5;
    pub(crate) const SET_DESCRIPTION: u16 = 9;
    pub(crate) const SET_ID: u16 = 10;
    pub(crate) const SET_TIMEOUT: u16 = 11;
    pub(crate) const SET_USER_DATA: u16 = 13;
    /// What each element of the set has: a counter.
    pub(crate) const SET_EXPRESSION: u16 = 17;
    pub(crate) const DESCRIPTION_SIZE: u16 = 1;
    pub(crate) const ELEMENTS_SET: u16 = 2;
    pub(crate) const ELEMENTS_LIST: u16 = 3;
    pub(crate) const ELEMENTS_SET_ID: u16 = 4;
    pub(crate) const ELEMENT_KEY: u16 = 1;
    pub(crate) const ELEMENT_FLAGS: u16 = 3;
    pub(crate) const ELEMENT_TIMEOUT: u16 = 4;
    pub(crate) const ELEMENT_EXPIRATION: u16 = 5;
    pub(crate) const ELEMENT_EXPRESSION: u16 = 7;
    pub(crate) const COUNTER_BYTES: u16 = 1;
    pub(crate) const COUNTER_PACKETS: u16 = 2;
    /// A list holds its items under this kind, a piece of data its value.
    pub(crate) const ITEM: u16 = 1;
    pub(crate) const EXPRESSION_NAME: u16 = 1;
    pub(crate) const EXPRESSION_DATA: u16 = 2;
    pub(crate) const LOOKUP_SET: u16 = 1;
}

/// A set as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetRecord {
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) flags: u32,
    pub(crate) key_type: u32,
    /// The program nft joins neighbours in it.
    pub(crate) is_merged: bool,
    /// Packets that meet an element are counted there.
    pub(crate) has_counters: bool,
    /// It holds as many elements as there is memory for, and for ever those that have no time of their own.
    pub(crate) is_unlimited: bool,
}

/// Reads a message about a set.
pub(crate) fn read_set(message: &Received<'_>) -> Option<SetRecord> {
    let attributes = message.attributes();
    Some(SetRecord {
        table: attributes.text(attribute::TABLE)?.to_owned(),
        name: attributes.text(attribute::SET_NAME)?.to_owned(),
        // The kernel leaves out flags that are zero.
        flags: attributes.number(attribute::SET_FLAGS).unwrap_or(0),
        key_type: attributes.number(attribute::SET_KEY_TYPE)?,
        is_merged: attributes.find(attribute::SET_USER_DATA).is_some_and(says_merge),
        has_counters: attributes
            .nested(attribute::SET_EXPRESSION)
            .is_some_and(|expression| expression.text(attribute::EXPRESSION_NAME) == Some("counter")),
        is_unlimited: attributes
            .nested(attribute::SET_DESCRIPTION)
            .is_none_or(|description| description.find(attribute::DESCRIPTION_SIZE).is_none())
            && attributes.find(attribute::SET_TIMEOUT).is_none(),
    })
}

/// Whether the notes of the program nft on a set, in the form kind, length, value, say that neighbours are joined.
fn says_merge(mut notes: &[u8]) -> bool {
    const MERGE_ELEMENTS: u8 = 2;
    while let [kind, length, rest @ ..] = notes {
        let Some((value, rest)) = rest.split_at_checked(usize::from(*length)) else {
            return false;
        };
        if *kind == MERGE_ELEMENTS {
            return value.iter().any(|byte| *byte != 0);
        }
        notes = rest;
    }
    false
}

/// A rule as far as we care: which sets it looks into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleRecord {
    pub(crate) table: String,
    pub(crate) chain: String,
    pub(crate) handle: u64,
    pub(crate) sets: Vec<String>,
}

/// Reads a message about a rule.
pub(crate) fn read_rule(message: &Received<'_>) -> Option<RuleRecord> {
    let attributes = message.attributes();
    let expressions = attributes.nested(attribute::RULE_EXPRESSIONS);
    let sets = expressions
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|(_, value)| {
            let expression = Attributes::inside(value);
            (expression.text(attribute::EXPRESSION_NAME)? == "lookup").then_some(())?;
            Some(
                expression
                    .nested(attribute::EXPRESSION_DATA)?
                    .text(attribute::LOOKUP_SET)?
                    .to_owned(),
            )
        });
    Some(RuleRecord {
        table: attributes.text(attribute::TABLE)?.to_owned(),
        chain: attributes.text(attribute::RULE_CHAIN)?.to_owned(),
        handle: attributes.long_number(attribute::RULE_HANDLE)?,
        sets: sets.collect(),
    })
}

/// An element of a set of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ElementRecord {
    pub(crate) address: IpAddr,
    /// Milliseconds until the kernel removes it; `None` is never.
    pub(crate) expires: Option<u64>,
    /// What met it; `None` if that is not counted.
    pub(crate) traffic: Option<Traffic>,
}

/// Elements of one set: an answer to a listing, or an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ElementsRecord {
    pub(crate) table: String,
    pub(crate) set: String,
    pub(crate) elements: Vec<ElementRecord>,
}

/// Reads a message about elements. Elements that are no addresses are left out.
pub(crate) fn read_elements(message: &Received<'_>) -> Option<ElementsRecord> {
    let attributes = message.attributes();
    let list = attributes.nested(attribute::ELEMENTS_LIST);
    let elements = list
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .filter_map(|(_, value)| {
            let element = Attributes::inside(value);
            // The end of an interval is no member of it.
            if element
                .number(attribute::ELEMENT_FLAGS)
                .is_some_and(|flags| flags & 1 != 0)
            {
                return None;
            }
            let key = element.nested(attribute::ELEMENT_KEY)?.find(attribute::ITEM)?;
            let address = match *key {
                [a, b, c, d] => Ipv4Addr::new(a, b, c, d).into(),
                _ => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(key).ok()?)),
            };
            let timeout = element.long_number(attribute::ELEMENT_TIMEOUT);
            let expires = element.long_number(attribute::ELEMENT_EXPIRATION).or(timeout);
            let traffic = element
                .nested(attribute::ELEMENT_EXPRESSION)
                .filter(|expression| expression.text(attribute::EXPRESSION_NAME) == Some("counter"))
                .and_then(|expression| {
                    let counter = expression.nested(attribute::EXPRESSION_DATA)?;
                    Some(Traffic {
                        packets: counter.long_number(attribute::COUNTER_PACKETS)?,
                        bytes: counter.long_number(attribute::COUNTER_BYTES)?,
                    })
                });
            Some(ElementRecord {
                address,
                expires,
                traffic,
            })
        });
    Some(ElementsRecord {
        table: attributes.text(attribute::TABLE)?.to_owned(),
        set: attributes.text(attribute::ELEMENTS_SET)?.to_owned(),
        elements: elements.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listing of one element as the encoder writes it.
    fn listing() -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.message(kind::NEW_ELEMENTS, 2, 7, (INET, 0), |message| {
            message.text(attribute::TABLE, "f2b-table");
            message.text(attribute::ELEMENTS_SET, "addr-set-sshd");
            message.nested(attribute::ELEMENTS_LIST, |list| {
                list.nested(attribute::ITEM, |element| {
                    element.nested(attribute::ELEMENT_KEY, |key| {
                        key.attribute(attribute::ITEM, &[192, 0, 2, 1]);
                    });
                    element.long_number(attribute::ELEMENT_TIMEOUT, 600_000);
                    element.long_number(attribute::ELEMENT_EXPIRATION, 599_500);
                    element.nested(attribute::ELEMENT_EXPRESSION, |expression| {
                        expression.text(attribute::EXPRESSION_NAME, "counter");
                        expression.nested(attribute::EXPRESSION_DATA, |counter| {
                            counter.long_number(attribute::COUNTER_BYTES, 720);
                            counter.long_number(attribute::COUNTER_PACKETS, 12);
                        });
                    });
                });
            });
        });
        encoder.bytes().to_vec()
    }

    #[test]
    fn reads_what_it_writes() {
        let bytes = listing();
        let message = messages(&bytes).next().unwrap().unwrap();
        assert_eq!(
            (message.kind, message.flags, message.sequence),
            (kind::NEW_ELEMENTS, 2, 7)
        );
        let elements = read_elements(&message).unwrap();
        assert_eq!(
            (elements.table.as_str(), elements.set.as_str()),
            ("f2b-table", "addr-set-sshd")
        );
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(
            elements.elements,
            [ElementRecord {
                address,
                expires: Some(599_500),
                traffic: Some(Traffic {
                    packets: 12,
                    bytes: 720
                })
            }]
        );
    }

    fn read_everything(bytes: &[u8]) {
        for message in messages(bytes) {
            let Ok(message) = message else { return };
            let _ = (
                message.errno(),
                message.family(),
                read_set(&message),
                read_rule(&message),
                read_elements(&message),
            );
        }
    }

    #[test]
    fn survives_every_prefix_of_a_message() {
        let bytes = listing();
        for length in 0..bytes.len() {
            read_everything(&bytes[..length]);
            assert!(
                messages(&bytes[..length]).all(|message| message.is_err()),
                "{length} bytes are not a whole message"
            );
        }
    }

    #[test]
    fn survives_every_byte_of_a_message_being_anything() {
        let bytes = listing();
        for position in 0..bytes.len() {
            for value in 0..=255 {
                let mut changed = bytes.clone();
                changed[position] = value;
                read_everything(&changed);
            }
        }
    }

    #[test]
    fn survives_noise() {
        // A linear congruential generator: the same noise in each run.
        let mut state = 20_261_122_u64;
        for length in (0..4000).map(|round| round % 300) {
            let noise: Vec<u8> = (0..length)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1_442_695_040_888_963_407);
                    // Mostly small numbers: they pass for lengths and kinds.
                    if state >> 63 == 0 {
                        state.to_le_bytes()[7] & 15
                    } else {
                        state.to_le_bytes()[6]
                    }
                })
                .collect();
            read_everything(&noise);
        }
    }

    #[test]
    fn an_error_whose_repeated_request_is_cut_off_is_still_an_error() {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&60_000_u32.to_ne_bytes());
        bytes.extend_from_slice(&kind::ERROR.to_ne_bytes());
        bytes.extend_from_slice(&[0; 10]);
        bytes.extend_from_slice(&(-17_i32).to_ne_bytes());
        bytes.extend_from_slice(&[1; 100]);
        assert_eq!(messages(&bytes).next().unwrap().unwrap().errno(), Ok(17));
    }

    #[test]
    fn refuses_lengths_that_cannot_be() {
        for length in [0, 1, 15, 17, u32::MAX] {
            let mut bytes = vec![0; HEADER];
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            assert_eq!(messages(&bytes).next(), Some(Err(Malformed)), "length {length}");
        }
    }
}
