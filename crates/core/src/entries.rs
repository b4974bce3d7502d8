//! What is remembered of ids, in as little memory as that takes: most of them are addresses that fail once and never again.
//!
//! Entries lie one behind the other in buckets of some hundred bytes, and the hash of an id says in which. For every few entries there
//! is one bucket more, made by dividing the next one in line (linear hashing): nothing is ever doubled, and no room is held for what may come.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use crate::packed::{Reader, number};
use crate::{FailureId, Timestamp};

/// Entries in a bucket, on average. More of them take less memory and more time.
const IN_BUCKET: usize = 8;

/// What is kept of an id that has not failed often enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) retry: u32,
    pub(crate) failures: u32,
    /// Lines and fields, which mean something to [`crate::packed`] and [`crate::phrases`] only.
    pub(crate) text: Box<[u8]>,
}

/// Entries by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entries {
    buckets: Vec<Box<[u8]>>,
    count: usize,
    bytes: usize,
    text_bytes: usize,
    hasher: RandomState,
}

impl Entries {
    pub(crate) fn get(&self, id: &FailureId) -> Option<Entry> {
        let key = key(id);
        let bucket = self.buckets.get(self.place(&key))?;
        records(bucket).find_map(|record| Entry::read(record.strip_prefix(key.as_slice())?))
    }

    /// Keeps an entry in the place of the one that is there, if there is one.
    pub(crate) fn put(&mut self, id: &FailureId, entry: &Entry) {
        let key = key(id);
        self.take_out(&key);
        let mut record = key;
        entry.write(&mut record);
        self.count += 1;
        self.bytes += record.len();
        self.text_bytes += entry.text.len();
        if self.count > self.buckets.len() * IN_BUCKET {
            self.divide();
        }
        self.add(&record);
    }

    pub(crate) fn remove(&mut self, id: &FailureId) -> Option<Entry> {
        self.take_out(&key(id))
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// How many bytes lines and fields take.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// How many bytes all of it takes, ids too.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The times of the latest failures.
    pub(crate) fn latest(&self) -> impl Iterator<Item = Timestamp> {
        self.buckets
            .iter()
            .flat_map(|bucket| records(bucket))
            .filter_map(last_of)
    }

    /// Forgets what failed last at `limit` or before.
    pub(crate) fn forget_until(&mut self, limit: Timestamp) {
        let is_over = |record: &[u8]| last_of(record).is_none_or(|last| last <= limit);
        for bucket in &mut self.buckets {
            let mut over = 0;
            for record in records(bucket).filter(|record| is_over(record)) {
                over += 1;
                self.bytes -= record.len();
                self.text_bytes -= text_of(record);
            }
            if over > 0 {
                self.count -= over;
                *bucket = bucket_of(records(bucket).filter(|record| !is_over(record)));
            }
        }
        // With far too many buckets each takes more than what is in it.
        if self.count < self.buckets.len() * IN_BUCKET / 8 {
            let before = std::mem::take(&mut self.buckets);
            self.buckets.resize_with(self.count.div_ceil(IN_BUCKET), Box::default);
            for bucket in before {
                records(&bucket).for_each(|record| self.add(record));
            }
        }
    }

    /// The bucket of a key, if there is any. Those up to the next power of two are not all there yet: what belongs to one that is not
    /// is in the one that will be divided for it.
    fn place(&self, key: &[u8]) -> usize {
        let all = self.buckets.len().next_power_of_two();
        let place = self.hasher.hash_one(key) % u64::try_from(all).unwrap_or(1);
        let place = usize::try_from(place).unwrap_or(0);
        if place < self.buckets.len() {
            place
        } else {
            place - all / 2
        }
    }

    /// Puts a record into the bucket of its key.
    fn add(&mut self, record: &[u8]) {
        let place = self.place(key_of(record));
        if let Some(bucket) = self.buckets.get_mut(place) {
            let mut bytes = Vec::with_capacity(bucket.len() + record.len() + 4);
            bytes.extend_from_slice(bucket);
            number(&mut bytes, record.len());
            bytes.extend_from_slice(record);
            *bucket = bytes.as_slice().into();
        }
    }

    fn take_out(&mut self, key: &[u8]) -> Option<Entry> {
        let place = self.place(key);
        let bucket = self.buckets.get_mut(place)?;
        let record = records(bucket).find(|record| key_of(record) == key)?;
        let entry = Entry::read(record.get(key.len()..)?)?;
        self.bytes -= record.len();
        *bucket = bucket_of(records(bucket).filter(|record| key_of(record) != key));
        self.count -= 1;
        self.text_bytes -= entry.text.len();
        Some(entry)
    }

    /// One more bucket, that takes over a part of another one.
    fn divide(&mut self) {
        let new = self.buckets.len();
        self.buckets.push(Box::default());
        let Some(power) = new.checked_ilog2() else { return };
        let from = new - (1 << power);
        let bucket = self.buckets.get_mut(from).map(std::mem::take).unwrap_or_default();
        let (go, stay): (Vec<&[u8]>, Vec<&[u8]>) =
            records(&bucket).partition(|record| self.place(key_of(record)) == new);
        for (place, records) in [(new, go), (from, stay)] {
            if let Some(bucket) = self.buckets.get_mut(place) {
                *bucket = bucket_of(records.into_iter());
            }
        }
    }
}

impl Entry {
    fn write(&self, record: &mut Vec<u8>) {
        record.extend(self.last.micros().to_le_bytes());
        record.push(u8::from(self.first != self.last));
        if self.first != self.last {
            record.extend(self.first.micros().to_le_bytes());
        }
        for count in [self.retry, self.failures] {
            number(record, usize::try_from(count).unwrap_or(usize::MAX));
        }
        record.extend_from_slice(&self.text);
    }

    /// From what is behind the key.
    fn read(record: &[u8]) -> Option<Self> {
        let mut reader = Reader(record);
        let last = reader.time()?;
        let first = match reader.number()? {
            0 => last,
            _ => reader.time()?,
        };
        Some(Self {
            first,
            last,
            retry: u32::try_from(reader.number()?).ok()?,
            failures: u32::try_from(reader.number()?).ok()?,
            text: reader.0.into(),
        })
    }
}

/// An id as bytes, none of which is the beginning of another's.
fn key(id: &FailureId) -> Vec<u8> {
    let mut key = Vec::with_capacity(128);
    match id {
        FailureId::Addr(address) => push_address(&mut key, ADDRESS, *address),
        FailureId::Net(net) => {
            push_address(&mut key, NETWORK, net.addr());
            key.push(net.prefix_len());
        }
        FailureId::Text(text) => {
            key.push(TEXT);
            number(&mut key, text.len());
            key.extend_from_slice(text.as_bytes());
        }
    }
    key
}

fn push_address(key: &mut Vec<u8>, kind: u8, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            key.push(kind);
            key.extend(address.octets());
        }
        IpAddr::V6(address) => {
            key.push(kind + 1);
            key.extend(address.octets());
        }
    }
}

/// The kinds of keys; of IPv6 one more.
const ADDRESS: u8 = 0;
const NETWORK: u8 = 2;
const TEXT: u8 = 4;

/// The key at the beginning of a record.
fn key_of(record: &[u8]) -> &[u8] {
    let length = match record.split_first() {
        Some((&ADDRESS, _)) => 1 + 4,
        Some((&NETWORK, _)) => 1 + 4 + 1,
        Some((&TEXT, text)) => {
            let mut reader = Reader(text);
            let length = reader.number().unwrap_or(0);
            record.len() - reader.0.len() + length
        }
        Some((kind, _)) => 1 + 16 + usize::from(*kind == NETWORK + 1),
        None => 0,
    };
    record.get(..length).unwrap_or_default()
}

/// How many bytes the lines and fields of a record take.
fn text_of(record: &[u8]) -> usize {
    let entry = record.get(key_of(record).len()..).and_then(Entry::read);
    entry.map_or(0, |entry| entry.text.len())
}

/// When an id failed last.
fn last_of(record: &[u8]) -> Option<Timestamp> {
    Reader(record.get(key_of(record).len()..)?).time()
}

/// What lies in a bucket: keys with their entries.
fn records(bucket: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Reader(bucket);
    std::iter::from_fn(move || {
        let length = rest.number()?;
        rest.bytes(length)
    })
}

fn bucket_of<'a>(records: impl Iterator<Item = &'a [u8]>) -> Box<[u8]> {
    let mut bytes = Vec::with_capacity(1024);
    for record in records {
        number(&mut bytes, record.len());
        bytes.extend_from_slice(record);
    }
    bytes.as_slice().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn id(number: u32) -> FailureId {
        FailureId::parse(&match number % 7 {
            0 | 1 => format!("10.0.{}.{}", number / 256 % 256, number % 256),
            2 => format!("2001:db8::{number:x}"),
            3 => format!("10.{}.0.0/16", number % 256),
            4 => format!("2001:db8:{number:x}::/48"),
            5 => format!("user {number}"),
            _ => "x".repeat(usize::try_from(number % 300).unwrap()),
        })
    }

    #[test]
    fn entries_are_what_a_map_of_them_is() {
        let mut seed = 11_u32;
        let mut next = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 8
        };
        let mut entries = Entries::default();
        let mut map: HashMap<FailureId, Entry> = HashMap::new();
        let mut largest = 0;
        for step in 0..60_000_u32 {
            // It grows, shrinks and grows again.
            let growing = step / 10_000 % 2 == 0;
            let one = id(next() % 6000);
            assert_eq!(entries.get(&one), map.get(&one).cloned());
            if growing || next() % 4 == 0 {
                let last = Timestamp::from_micros(i64::from(next()) - 1000);
                let entry = Entry {
                    first: if next() % 2 == 0 {
                        last
                    } else {
                        Timestamp::from_micros(i64::from(next()))
                    },
                    last,
                    retry: next() % 300,
                    failures: u32::MAX - next() % 2,
                    text: (0..next() % 200).map(|byte| byte.to_le_bytes()[0]).collect(),
                };
                entries.put(&one, &entry);
                map.insert(one, entry);
            } else {
                assert_eq!(entries.remove(&one), map.remove(&one));
            }
            if step % 4000 == 3999 {
                let limit = Timestamp::from_micros(i64::from(next() % 3_000_000));
                entries.forget_until(limit);
                map.retain(|_, entry| entry.last > limit);
            }
            largest = largest.max(map.len());
            if step % 500 == 0 {
                assert_eq!(entries.len(), map.len());
                assert_eq!(
                    entries.text_bytes(),
                    map.values().map(|entry| entry.text.len()).sum::<usize>()
                );
                let mut times: Vec<_> = entries.latest().collect();
                let mut expected: Vec<_> = map.values().map(|entry| entry.last).collect();
                times.sort_unstable();
                expected.sort_unstable();
                assert_eq!(times, expected);
                assert!(entries.buckets.iter().all(|bucket| records(bucket).count() < 100));
            }
        }
        assert!(largest > 2000, "{largest}");
        entries.forget_until(Timestamp::from_micros(i64::MAX));
        assert_eq!((entries.len(), entries.bytes(), entries.text_bytes()), (0, 0, 0));
        assert!(entries.buckets.is_empty());
    }
}
