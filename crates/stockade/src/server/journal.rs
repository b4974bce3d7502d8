//! The thread that reads the systemd journal and hands entries to the workers.
//!
//! Every entry is read once, whoever wants it: jails that read the same journal form a group with one reader. A jail that comes later
//! reads what it missed in a group of its own, which joins the other once both have come to the same place.

use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use stockade_core::logline::Level;
use stockade_core::{JailName, Timestamp};
use stockade_source::journal::{Cursor, Entry, From, Matches, Options, Reader, Step};

use super::log::Log;
use super::matching::{Block, Dated, Rules, Work, Workers};
use super::now;

/// Entries handed over at once.
const BATCH: usize = 256;

/// journald tells of what it has written after up to a quarter of a second. While entries come that somebody wants, and for this long
/// after, it is looked at more often.
const HOT: Duration = Duration::from_secs(5);
const HOT_INTERVAL: Duration = Duration::from_millis(25);

/// Numbers of what is read; those of log files begin at 1 and do not come so far.
const FIRST_NUMBER: u64 = 1 << 32;

/// What a jail reads of which journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) options: Options,
    pub(crate) matches: Matches,
}

/// What the thread is told.
enum Order {
    Set {
        rules: Arc<Rules>,
        wanted: Wanted,
    },
    /// So far jails had come in an earlier run.
    Known(Vec<(JailName, i64)>),
    Drop(JailName),
}

/// The way to tell the thread what to read.
pub(crate) struct Journal {
    orders: Sender<Order>,
    waker: Arc<OwnedFd>,
    thread: JoinHandle<()>,
    reached: Reached,
}

/// How far each jail has come: when the last entry that it was given was written, in microseconds since 1970.
///
/// A lock and not a message: whoever asks may be the one for whom the workers wait, and this thread for them.
type Reached = Arc<Mutex<HashMap<JailName, i64>>>;

impl Journal {
    /// Starts the thread.
    pub(crate) fn start(workers: Arc<Workers>, log: Arc<Log>) -> Result<Self, String> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| format!("nothing to wake the reader of the journal with: {error}"))?;
        let waker = Arc::new(waker);
        // Orders come from one thread, few and small: no limit is needed.
        let (orders, inbox) = channel();
        let reached = Reached::default();
        let mut state = State {
            reached: Arc::clone(&reached),
            groups: Vec::new(),
            left: HashMap::new(),
            known: HashMap::new(),
            next_number: FIRST_NUMBER,
            hot_until: Instant::now(),
            path: Arc::from(Path::new("systemd-journal")),
            zone: log.zone().clone(),
            log,
        };
        let woken = Arc::clone(&waker);
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || {
                state.run(&workers, &inbox, &woken);
                // The last thread that gives them work ends them.
                if let Some(workers) = Arc::into_inner(workers) {
                    workers.stop();
                }
            })
            .map_err(|error| format!("the thread that reads the journal cannot be started: {error}"))?;
        Ok(Self {
            orders,
            waker,
            thread,
            reached,
        })
    }

    /// How far each jail has come: when the last entry was written that it was given. To be kept over a restart.
    #[expect(dead_code, reason = "what keeps it, the database, is being made")]
    pub(crate) fn reached(&self) -> Vec<(JailName, Timestamp)> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs = reached.iter();
        pairs
            .map(|(jail, micros)| (jail.clone(), Timestamp::from_micros(*micros)))
            .collect()
    }

    /// Lets a jail, when it comes, begin behind the entries written up to then.
    #[expect(dead_code, reason = "what keeps it, the database, is being made")]
    pub(crate) fn resume(&self, jail: &JailName, at: Timestamp) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.insert(jail.clone(), at.micros());
    }

    /// Lets a jail read this, and only this.
    pub(crate) fn set(&self, rules: &Arc<Rules>, wanted: Wanted) {
        let rules = Arc::clone(rules);
        self.order(Order::Set { rules, wanted });
    }

    /// Tells where jails go on that have not read yet: after the entry of this time.
    pub(crate) fn known(&self, places: Vec<(JailName, i64)>) {
        self.order(Order::Known(places));
    }

    /// Ends a jail's reading; should it come again, it goes on where it was.
    pub(crate) fn drop_jail(&self, jail: &JailName) {
        self.order(Order::Drop(jail.clone()));
    }

    fn order(&self, order: Order) {
        // The thread ends only after this handle is gone.
        let _ = self.orders.send(order);
        wake(&self.waker);
    }

    /// Ends reading and waits for it.
    pub(crate) fn stop(self) {
        drop(self.orders);
        wake(&self.waker);
        let _ = self.thread.join();
    }
}

fn wake(waker: &OwnedFd) {
    // The only error is a full counter: then a wake-up is pending already.
    let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
}

struct State {
    reached: Reached,
    groups: Vec<Group>,
    /// Where jails were that do not read now.
    left: HashMap<JailName, Cursor>,
    /// The time of the last entry that a jail read in an earlier run.
    known: HashMap<JailName, i64>,
    next_number: u64,
    hot_until: Instant,
    path: Arc<Path>,
    zone: TimeZone,
    log: Arc<Log>,
}

/// Jails that read the same journal and are at the same place in it.
struct Group {
    options: Options,
    from: From,
    /// Opened at the first reading: until then more jails may come.
    reader: Option<Reader>,
    members: Vec<Member>,
    /// All there is was read.
    ended: bool,
    /// That there is no journal was told.
    told_empty: bool,
}

struct Member {
    rules: Arc<Rules>,
    matches: Matches,
    /// Older entries are not for this jail; microseconds since 1970.
    from: i64,
    /// Entries that say to be of this time or older were read in an earlier run.
    read_to: i64,
    number: u64,
    in_operation: bool,
    /// When the last entry was written that it was given.
    reached: Option<i64>,
    jails: Arc<[Arc<Rules>]>,
    entries: Vec<Dated>,
}

impl State {
    fn run(&mut self, workers: &Workers, inbox: &Receiver<Order>, waker: &OwnedFd) {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(order) => self.obey(order, workers),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            for group in &mut self.groups {
                if group.read(&self.zone, &self.path, workers, &self.log) {
                    let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
                    for member in &mut group.members {
                        if let Some(micros) = member.reached.take() {
                            reached.insert(member.rules.jail.clone(), micros);
                        }
                    }
                    self.hot_until = Instant::now() + HOT;
                }
            }
            self.join_groups();
            if self.groups.iter().all(|group| group.ended) {
                self.wait(waker);
            }
        }
    }

    fn wait(&mut self, waker: &OwnedFd) {
        let readers = || self.groups.iter().filter_map(|group| group.reader.as_ref());
        let timeout = readers().map(Reader::timeout).min();
        let hot = (Instant::now() < self.hot_until).then_some(HOT_INTERVAL);
        let timeout = timeout.into_iter().chain(hot).min();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout.max(Duration::from_millis(10))).ok());
        let mut descriptors = vec![waker.as_fd()];
        descriptors.extend(readers().filter_map(Reader::descriptor));
        let mut polled: Vec<PollFd<'_>> = descriptors
            .iter()
            .map(|descriptor| PollFd::new(descriptor, PollFlags::IN))
            .collect();
        if let Err(error) = poll(&mut polled, timeout.as_ref())
            && error != rustix::io::Errno::INTR
        {
            self.log.write(
                Level::Error,
                "fail2ban.filtersystemd",
                &format!("waiting for the journal is not possible: {error}"),
            );
            std::thread::sleep(Duration::from_secs(1));
        }
        let _ = rustix::io::read(waker, &mut [0; 8]);
        for group in &mut self.groups {
            if let Some(reader) = &mut group.reader {
                reader.refresh();
                group.ended = false;
            }
        }
    }

    fn obey(&mut self, order: Order, workers: &Workers) {
        match order {
            Order::Drop(jail) => self.drop_jail(&jail, workers),
            Order::Known(places) => self.known = places.into_iter().collect(),
            Order::Set { rules, wanted } => {
                let known = self.groups.iter_mut().find_map(|group| {
                    let place = group
                        .members
                        .iter()
                        .position(|member| member.rules.jail == rules.jail)?;
                    Some((group, place))
                });
                if let Some((group, place)) = known
                    && group.options == wanted.options
                {
                    if let Some(member) = group.members.get_mut(place) {
                        member.jails = Arc::from([Arc::clone(&rules)]);
                        member.rules = rules;
                        member.matches = wanted.matches;
                    }
                    group.set_matches();
                    return;
                }
                self.drop_jail(&rules.jail, workers);
                self.join(rules, wanted);
            }
        }
    }

    fn join(&mut self, rules: Arc<Rules>, wanted: Wanted) {
        let findtime = rules.findtime.load(std::sync::atomic::Ordering::Relaxed);
        let read_to = self.known.remove(&rules.jail).unwrap_or(i64::MIN);
        let oldest = now()
            .micros()
            .saturating_sub(findtime.saturating_mul(1_000_000))
            .max(read_to);
        let left = self.left.remove(&rules.jail);
        // Another server, or this one before it was started again, has read so far.
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = reached.get(&rules.jail).filter(|_| left.is_none());
        let oldest = resumed.map_or(oldest, |reached| oldest.max(reached.saturating_add(1)));
        drop(reached);
        let cursor = left.filter(|cursor| cursor.realtime() >= oldest);
        let number = self.next_number;
        self.next_number = self.next_number.wrapping_add(1);
        let member = Member {
            jails: Arc::from([Arc::clone(&rules)]),
            rules,
            matches: wanted.matches,
            from: oldest,
            read_to,
            number,
            in_operation: false,
            reached: None,
            entries: Vec::new(),
        };
        let from = cursor.map_or(From::Time(oldest), |cursor| From::Cursor(Box::new(cursor)));
        let fresh = self
            .groups
            .iter_mut()
            .find(|group| group.reader.is_none() && group.options == wanted.options);
        match (fresh, &from) {
            (
                Some(Group {
                    from: From::Time(earliest),
                    members,
                    ..
                }),
                From::Time(time),
            ) => {
                *earliest = (*earliest).min(*time);
                members.push(member);
            }
            _ => self.groups.push(Group {
                options: wanted.options,
                from,
                reader: None,
                members: vec![member],
                ended: false,
                told_empty: false,
            }),
        }
    }

    fn drop_jail(&mut self, jail: &JailName, workers: &Workers) {
        for group in &mut self.groups {
            let Some(place) = group.members.iter().position(|member| member.rules.jail == *jail) else {
                continue;
            };
            let member = group.members.remove(place);
            workers.give(member.number, Work::Forget(member.number));
            if let Some(cursor) = group.reader.as_ref().and_then(Reader::cursor) {
                self.left.insert(jail.clone(), cursor.clone());
            }
            group.set_matches();
        }
        self.groups.retain(|group| !group.members.is_empty());
    }

    /// Makes one group of those that have come to the same place.
    fn join_groups(&mut self) {
        let mut place = 0;
        while place < self.groups.len() {
            let twin = self.groups.get(place).and_then(|group| {
                let before = self.groups.get(..place).unwrap_or(&[]);
                before.iter().position(|other| other.is_where(group))
            });
            let Some(twin) = twin else {
                place += 1;
                continue;
            };
            let group = self.groups.remove(place);
            if let Some(older) = self.groups.get_mut(twin) {
                older.members.extend(group.members);
                older.set_matches();
            }
        }
    }
}

impl Group {
    fn set_matches(&mut self) {
        if let Some(reader) = &mut self.reader {
            let matches: Vec<Matches> = self.members.iter().map(|member| member.matches.clone()).collect();
            reader.set_matches(&matches);
        }
    }

    /// Whether both have read the same journal to its end.
    fn is_where(&self, other: &Self) -> bool {
        self.options == other.options
            && self.ended
            && other.ended
            && self.reader.as_ref().map(Reader::places) == other.reader.as_ref().map(Reader::places)
    }

    /// Reads a batch and hands it over; `true` if there were entries that somebody wants.
    fn read(&mut self, zone: &TimeZone, path: &Arc<Path>, workers: &Workers, log: &Log) -> bool {
        if self.ended {
            return false;
        }
        let mut wanted = false;
        if self.reader.is_none() {
            self.reader = Some(Reader::open(&self.options, self.from.clone()));
            self.set_matches();
        }
        let Some(reader) = &mut self.reader else { return false };
        for _ in 0..BATCH {
            match reader.step() {
                Step::Entry(entry) => {
                    wanted = true;
                    deal(&mut self.members, &entry, zone);
                }
                Step::More => break,
                Step::End => {
                    self.ended = true;
                    break;
                }
            }
        }
        for problem in reader.take_problems() {
            log.write(Level::Warning, "fail2ban.filtersystemd", &problem.to_string());
        }
        for member in &mut self.members {
            if !member.entries.is_empty() {
                let block = Block {
                    file: member.number,
                    path: Arc::clone(path),
                    bytes: Vec::new(),
                    end: 0,
                    left: 0,
                    first_line: None,
                    entries: std::mem::take(&mut member.entries),
                    in_operation: member.in_operation,
                    jails: Arc::clone(&member.jails),
                };
                workers.give(block.file, Work::Block(block));
            }
            if self.ended && !member.in_operation {
                member.in_operation = true;
                let text = "Jail is in operation now (process new journal entries)";
                let jail = &member.rules.jail;
                log.write(Level::Info, "fail2ban.filtersystemd", &format!("[{jail}] {text}"));
            }
        }
        if self.ended && !self.told_empty && reader.is_empty() {
            self.told_empty = true;
            let jails: Vec<&str> = self.members.iter().map(|member| member.rules.jail.as_str()).collect();
            let text = format!(
                "[{}] there is no journal to be read yet; why: {} no journal file that can be opened; mend: none needed if journald creates it \
                 later, it is read from then on; else correct `backend = systemd[journalpath=…]`",
                jails.join(", "),
                reader.searched()
            );
            log.write(Level::Warning, "fail2ban.filtersystemd", &text);
        }
        wanted
    }
}

/// Gives an entry to those who want it.
fn deal(members: &mut [Member], entry: &Entry, zone: &TimeZone) {
    let mut shared: Option<(Arc<[u8]>, usize)> = None;
    for &number in &entry.wanted_by {
        let Some(member) = members
            .get_mut(number)
            .filter(|member| entry.realtime >= member.from && entry.time > member.read_to)
        else {
            continue;
        };
        let (line, date) = shared.get_or_insert_with(|| {
            let mut line = date(entry.time, zone).into_bytes();
            line.push(b' ');
            let date = line.len();
            line.extend_from_slice(&entry.line);
            (Arc::from(line), date)
        });
        member.reached = Some(entry.realtime);
        member.entries.push(Dated {
            at: Timestamp::from_micros(entry.time),
            line: Arc::clone(line),
            date: *date,
        });
    }
}

/// A time as it stands before the line: local, with its offset, and its fraction if it has one.
pub(crate) fn date(micros: i64, zone: &TimeZone) -> String {
    let Ok(time) = jiff::Timestamp::from_microsecond(micros) else {
        return micros.to_string();
    };
    let format = if micros % 1_000_000 == 0 {
        "%Y-%m-%dT%H:%M:%S%:z"
    } else {
        "%Y-%m-%dT%H:%M:%S.%6f%:z"
    };
    time.to_zoned(zone.clone()).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stands_as_python_writes_it() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // datetime.fromtimestamp(1795370001.000003, ZoneInfo('Europe/Berlin')).isoformat()
        for (micros, expected) in [
            (1_795_370_001_000_003, "2026-11-22T18:53:21.000003+01:00"),
            (1_795_370_500_000_000, "2026-11-22T19:01:40+01:00"),
            (1_780_000_000_500_000, "2026-05-28T22:26:40.500000+02:00"),
        ] {
            assert_eq!(date(micros, &zone), expected);
        }
    }
}
