//! All files of a journal as one: entries in order, each read once whoever wants it, and what is written later.
//!
//! Files are known by their header and opened when their time comes; those that are read to their end and archived are closed again.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::cursor::Cursor;
use super::file::{EntryHead, JournalFile};
use super::header::{Fault, Header, Id};
use super::line::{Field, Identity, Values};
use super::matches::{Compiled, Matches};
use super::places::Options;
use crate::LINE_LIMIT_BYTES;

/// Folders are looked at again this often whatever inotify says: they may have appeared.
const RESCAN: Duration = Duration::from_secs(10);
/// Entries looked at in one call; then the caller gets a word in.
const STEP: usize = 4096;
/// Places for what is known of fields that many entries share.
const KNOWN: usize = 4096;
/// So many entries that were given out are remembered, to tell copies of them.
const GIVEN_LIMIT: usize = 1024;
/// The beginning of a field that tells what it is.
const PEEK: usize = 128;

const CHANGES: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ONLYDIR);

/// Where reading begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum From {
    /// At the oldest entry.
    #[default]
    Head,
    /// Behind the last one.
    Tail,
    /// At a time, in microseconds since 1970.
    Time(i64),
    /// Behind the entry where reading ended before.
    Cursor(Box<Cursor>),
}

/// An entry that somebody wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened, in microseconds since 1970.
    pub time: i64,
    /// The line that filters expect, `host ident[pid]: message`, without a date; any bytes but line ends.
    pub line: Vec<u8>,
    /// When journald wrote it, in microseconds since 1970.
    pub realtime: i64,
    /// Numbers of the [`Matches`] it fits, in the order given to [`Reader::set_matches`].
    pub wanted_by: Vec<usize>,
}

/// What one step of reading has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An entry.
    Entry(Entry),
    /// Nothing so far; there is more to read.
    More,
    /// All there is has been read.
    End,
}

/// Something wrong with a journal; told once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file or folder.
    pub path: PathBuf,
    /// What is wrong, in words.
    pub why: String,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "journal `{}` is not read to its end; why: {}; mend: journalctl --verify; journald begins a new file by itself",
            self.path.display(),
            self.why
        )
    }
}

/// Reads a journal. Lives on one thread.
#[derive(Debug)]
pub struct Reader {
    options: Options,
    from: From,
    files: Vec<Source>,
    /// Files that were read to their end, or cannot be read.
    done: HashSet<Id>,
    /// Paths that are told as unreadable.
    told: HashSet<PathBuf>,
    compiled: Compiled,
    watched: HashMap<i32, PathBuf>,
    notify: Option<OwnedFd>,
    rescan_at: Instant,
    given: VecDeque<Identity>,
    given_set: HashSet<Identity>,
    last: Option<Cursor>,
    problems: Vec<Problem>,
    /// A file was found whose header was not written yet.
    unfinished: bool,
    damaged: u64,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    items: Vec<u64>,
    field: Vec<u8>,
    present: Vec<u32>,
    values: Values,
}

/// A file of the journal.
#[derive(Debug)]
struct Source {
    path: PathBuf,
    header: Header,
    /// `None` until its time has come.
    open: Option<Box<Open>>,
    /// Began to exist while we were reading: all of it is new.
    new: bool,
    /// Nobody will find it again.
    deleted: bool,
}

#[derive(Debug)]
struct Open {
    file: JournalFile,
    head: Option<EntryHead>,
    /// What fields at these offsets are: a field is written once and referred to by all entries that have it. Each offset has one
    /// place, which it may have to leave to another.
    known: Vec<(u64, Known)>,
}

/// What a field is, so that it need not be read again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    field: Option<Field>,
    word: Option<u32>,
}

impl Source {
    /// Whether nothing will be written to it any more: journald says so, or has given it the name of a file put aside.
    fn is_complete(&self) -> bool {
        let name = self.path.file_name().unwrap_or_default().as_encoded_bytes();
        self.header.archived || name.contains(&b'@') || name.ends_with(b"~")
    }
}

impl Reader {
    /// Opens a journal. That nothing is there yet is no error: it is read when it comes.
    pub fn open(options: &Options, from: From) -> Self {
        let mut reader = Self {
            options: options.clone(),
            from,
            files: Vec::new(),
            done: HashSet::new(),
            told: HashSet::new(),
            compiled: Compiled::new(&[Matches::default()]),
            watched: HashMap::new(),
            // Without inotify everything is looked at in intervals.
            notify: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).ok(),
            rescan_at: Instant::now(),
            given: VecDeque::new(),
            given_set: HashSet::new(),
            last: None,
            problems: Vec::new(),
            unfinished: false,
            damaged: 0,
            scratch: Scratch::default(),
        };
        reader.scan(false);
        reader
    }

    /// Sets who wants which entries; one who wants all, until it is set.
    pub fn set_matches(&mut self, matches: &[Matches]) {
        self.compiled = Compiled::new(matches);
        for open in self.files.iter_mut().filter_map(|source| source.open.as_mut()) {
            open.known.fill((0, Known::default()));
        }
    }

    /// The place reached: behind the last entry looked at, wanted or not. `None` before the first.
    pub fn cursor(&self) -> Option<&Cursor> {
        self.last.as_ref()
    }

    /// What has gone wrong since the last call.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// Entries and fields that were passed over because they are damaged.
    pub fn damaged(&self) -> u64 {
        let open = self.files.iter().filter_map(|source| source.open.as_ref());
        self.damaged + open.map(|open| open.file.damaged).sum::<u64>()
    }

    /// The next wanted entry; `None` at the end.
    pub fn next_entry(&mut self) -> Option<Entry> {
        loop {
            match self.step() {
                Step::Entry(entry) => return Some(entry),
                Step::More => {}
                Step::End => return None,
            }
        }
    }

    /// Reads on, to the next wanted entry or for a while.
    pub fn step(&mut self) -> Step {
        for _ in 0..STEP {
            let Some(place) = self.first() else {
                self.settle();
                return Step::End;
            };
            if let Some(entry) = self.take(place) {
                return Step::Entry(entry);
            }
        }
        Step::More
    }

    /// Looks at what has changed; then [`Reader::step`] may bring more.
    pub fn refresh(&mut self) {
        let notices = self.notices();
        if notices.folders || self.unfinished || Instant::now() >= self.rescan_at {
            self.scan(true);
        }
        let mut gone = Vec::new();
        for (place, source) in self.files.iter_mut().enumerate() {
            let Some(open) = &mut source.open else { continue };
            // Asked first: nothing is written to a deleted file, so that what is read of it now is all.
            source.deleted = open.file.is_deleted();
            let outcome = open.file.refresh().and_then(|_| {
                if open.head.is_none() {
                    open.head = open.file.next_entry()?;
                }
                Ok(())
            });
            source.header = open.file.header.clone();
            match outcome {
                Ok(()) => {}
                // journald frees the blocks of what it deletes, whoever still reads it.
                Err(_) if source.deleted => gone.push((place, Some(Fault::Damaged("journald deleted it meanwhile")))),
                Err(fault) => gone.push((place, Some(fault))),
            }
        }
        self.close(gone);
    }

    /// What becomes readable when [`Reader::refresh`] has something to do, if the kernel gives it.
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.notify.as_ref().map(AsFd::as_fd)
    }

    /// How long to wait at most before [`Reader::refresh`].
    pub fn timeout(&self) -> Duration {
        let limit = if self.notify.is_some() {
            RESCAN
        } else {
            Duration::from_millis(500)
        };
        self.rescan_at.saturating_duration_since(Instant::now()).min(limit)
    }

    /// Whether no file that can be read was ever found.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.done.is_empty()
    }

    /// Where files are looked for, in words.
    pub fn searched(&self) -> String {
        let folders = self.options.folders();
        let names: Vec<String> = folders.iter().map(|folder| folder.display().to_string()).collect();
        format!("{} has", names.join(", "))
    }

    /// How far each file is read, to compare two readers that have come to the end.
    pub fn places(&self) -> Vec<([u8; 16], u64)> {
        let open = self.files.iter().filter_map(|source| source.open.as_ref());
        let mut places: Vec<_> = open
            .map(|open| (open.file.header.file_id, open.file.next_number()))
            .collect();
        places.sort_unstable();
        places
    }

    /// The file whose next entry is the oldest; files are opened as their time comes.
    fn first(&mut self) -> Option<usize> {
        loop {
            let mut first: Option<(usize, Order)> = None;
            for (place, source) in self.files.iter().enumerate() {
                let order = match &source.open {
                    Some(open) => match &open.head {
                        Some(head) => Order::of_entry(&source.header, head),
                        None => continue,
                    },
                    None => Order::of_file(&source.header),
                };
                if first.as_ref().is_none_or(|(_, other)| order.is_before(other)) {
                    first = Some((place, order));
                }
            }
            let (place, _) = first?;
            if self.files.get(place).is_some_and(|source| source.open.is_some()) {
                return Some(place);
            }
            self.begin(place);
        }
    }

    /// Opens a file and goes where reading begins in it.
    fn begin(&mut self, place: usize) {
        let Some(source) = self.files.get_mut(place) else {
            return;
        };
        let opened = open_file(&source.path)
            .and_then(JournalFile::open)
            // It was renamed meanwhile, and another one stands there.
            .and_then(|file| {
                if file.header.file_id == source.header.file_id {
                    Ok(file)
                } else {
                    Err(Fault::Damaged("another journal stands there now"))
                }
            });
        match opened {
            Ok(mut file) => {
                match &self.from {
                    From::Head => {}
                    From::Tail if source.new => {}
                    From::Tail => file.seek_end(),
                    From::Time(time) => file.seek(u64::try_from(*time).unwrap_or(0)),
                    // A little earlier: files are not in perfect order, and what was read already is passed over.
                    From::Cursor(cursor) => file.seek(cursor.realtime.saturating_sub(2_000_000)),
                }
                source.header = file.header.clone();
                source.open = Some(Box::new(Open {
                    file,
                    head: None,
                    known: vec![(0, Known::default()); KNOWN],
                }));
                self.advance(place);
            }
            Err(fault) => self.close(vec![(place, Some(fault))]),
        }
    }

    /// Reads the head of a file's next entry.
    fn advance(&mut self, place: usize) {
        let Some(open) = self.files.get_mut(place).and_then(|source| source.open.as_mut()) else {
            return;
        };
        match open.file.next_entry() {
            Ok(head) => open.head = head,
            Err(fault) => self.close(vec![(place, Some(fault))]),
        }
    }

    /// Takes the next entry of a file; gives it if somebody wants it.
    fn take(&mut self, place: usize) -> Option<Entry> {
        let source = self.files.get_mut(place)?;
        let open = source.open.as_mut()?;
        let head = open.head.take()?;
        let seqnum_id = source.header.seqnum_id;
        let passed = match &self.from {
            From::Cursor(cursor) if !source.new => {
                if cursor.seqnum_id == seqnum_id {
                    head.seqnum <= cursor.seqnum
                } else {
                    head.realtime <= cursor.realtime
                }
            }
            From::Time(time) => i64::try_from(head.realtime).is_ok_and(|realtime| realtime < *time),
            _ => false,
        };
        let entry = if passed {
            None
        } else {
            let last = self.last.as_ref();
            // Files come a little out of order while they are followed; the cursor does not go back.
            if last.is_none_or(|last| last.seqnum_id != seqnum_id || last.seqnum < head.seqnum) {
                self.last = Some(Cursor {
                    seqnum_id,
                    seqnum: head.seqnum,
                    boot: head.boot,
                    monotonic: head.monotonic,
                    realtime: head.realtime,
                    xor_hash: head.xor_hash,
                });
            }
            open.entry(&head, &self.compiled, &mut self.scratch)
        };
        self.advance(place);
        let entry = entry?;
        let identity = Identity {
            boot: head.boot,
            monotonic: head.monotonic,
            realtime: head.realtime,
            xor_hash: head.xor_hash,
        };
        if !self.given_set.insert(identity) {
            return None;
        }
        if self.given.len() >= GIVEN_LIMIT
            && let Some(oldest) = self.given.pop_front()
        {
            self.given_set.remove(&oldest);
        }
        self.given.push_back(identity);
        Some(entry)
    }

    /// At the end: files to which nothing will come are closed, the others use no memory until they are written.
    fn settle(&mut self) {
        let mut gone = Vec::new();
        for (place, source) in self.files.iter_mut().enumerate() {
            let Some(open) = &mut source.open else { continue };
            open.file.rest();
            if source.is_complete() || source.deleted {
                gone.push((place, None));
            }
        }
        self.close(gone);
    }

    fn close(&mut self, mut places: Vec<(usize, Option<Fault>)>) {
        places.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
        for (place, fault) in places {
            if place >= self.files.len() {
                continue;
            }
            let source = self.files.remove(place);
            self.damaged += source.open.map_or(0, |open| open.file.damaged);
            match fault {
                // It was moved: the next look at the folder finds it again.
                Some(Fault::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Some(fault) => {
                    self.done.insert(source.header.file_id);
                    self.tell(&source.path, &fault);
                }
                None => {
                    self.done.insert(source.header.file_id);
                }
            }
        }
    }

    fn tell(&mut self, path: &Path, fault: &Fault) {
        if self.told.insert(path.to_owned()) {
            let why = match fault {
                Fault::Read(error) => error.to_string(),
                Fault::Damaged(why) => (*why).to_owned(),
                Fault::Unfinished => "its header was never written".to_owned(),
            };
            self.problems.push(Problem {
                path: path.to_owned(),
                why,
            });
        }
    }

    /// Looks which files there are. `new`: those not seen before have come since reading began.
    fn scan(&mut self, new: bool) {
        self.rescan_at = Instant::now() + RESCAN;
        self.unfinished = false;
        // Watched first, so that what comes meanwhile is told.
        if let Some(notify) = &self.notify {
            for folder in self.options.folders() {
                if let Ok(watch) = inotify::add_watch(notify, &folder, CHANGES) {
                    self.watched.insert(watch, folder);
                }
            }
        }
        for path in self.options.files() {
            let header = open_file(&path).and_then(|file| Header::read(&file));
            match header {
                Ok(header) => self.found(path, header, new),
                Err(Fault::Read(error)) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(Fault::Unfinished) => self.unfinished = true,
                Err(fault) => self.tell(&path, &fault),
            }
        }
    }

    fn found(&mut self, path: PathBuf, header: Header, new: bool) {
        if self.done.contains(&header.file_id) {
            return;
        }
        if let Some(source) = self
            .files
            .iter_mut()
            .find(|source| source.header.file_id == header.file_id)
        {
            // Renamed.
            source.path = path;
            return;
        }
        let source = Source {
            path,
            header,
            open: None,
            new,
            deleted: false,
        };
        if source.is_complete() && !new && self.is_over(&source.header) {
            self.done.insert(source.header.file_id);
            return;
        }
        self.files.push(source);
        if new {
            // Held open at once: journald may delete it before its time comes.
            self.begin(self.files.len() - 1);
        }
    }

    /// Whether everything in an archived file is older than what is asked for.
    fn is_over(&self, header: &Header) -> bool {
        match &self.from {
            From::Head => false,
            From::Tail => true,
            From::Time(time) => i64::try_from(header.tail_realtime).is_ok_and(|tail| tail < *time),
            From::Cursor(cursor) if cursor.seqnum_id == header.seqnum_id => header.tail_seqnum <= cursor.seqnum,
            From::Cursor(cursor) => header.tail_realtime < cursor.realtime,
        }
    }

    fn notices(&mut self) -> Notices {
        let mut notices = Notices::default();
        let Some(notify) = &self.notify else { return notices };
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut events = inotify::Reader::new(notify, &mut buffer);
        loop {
            match events.next() {
                Ok(event) => {
                    notices.folders |= event.events() != ReadFlags::MODIFY;
                    if event.events().contains(ReadFlags::IGNORED) {
                        self.watched.remove(&event.wd());
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return notices,
            }
        }
    }
}

#[derive(Debug, Default)]
struct Notices {
    /// Files came or went.
    folders: bool,
}

impl Open {
    /// Reads an entry if somebody wants it.
    fn entry(&mut self, head: &EntryHead, compiled: &Compiled, scratch: &mut Scratch) -> Option<Entry> {
        let Scratch {
            items,
            field,
            present,
            values,
        } = scratch;
        if self.file.items(head, items).is_err() {
            self.file.damaged += 1;
            return None;
        }
        present.clear();
        let peek = PEEK.max(compiled.longest + 1);
        // The fields that make the line, to be read if the entry is wanted.
        let mut wanted: [(u64, Field); 32] = [(0, Field::Message); 32];
        let mut count = 0;
        for &offset in items.iter() {
            let known = match self.known.get(slot(offset)) {
                Some((other, known)) if *other == offset => *known,
                _ => self.look(offset, compiled, peek, field),
            };
            present.extend(known.word);
            if let Some(kind) = known.field
                && let Some(slot) = wanted.get_mut(count)
            {
                *slot = (offset, kind);
                count += 1;
            }
        }
        let mut wanted_by = Vec::new();
        compiled.wanting(present, &mut wanted_by);
        if wanted_by.is_empty() {
            return None;
        }
        values.clear();
        for (offset, _) in wanted.iter().take(count) {
            match self.file.field(*offset, LINE_LIMIT_BYTES, field) {
                Ok(_) => {
                    if let Some((kind, value)) = Field::of(field) {
                        values.add(kind, value);
                    }
                }
                Err(_) => self.file.damaged += 1,
            }
        }
        Some(Entry {
            time: values.time(head.realtime),
            line: values.line(head.monotonic, LINE_LIMIT_BYTES),
            realtime: i64::try_from(head.realtime).unwrap_or(i64::MAX),
            wanted_by,
        })
    }

    /// Finds out what a field is.
    fn look(&mut self, offset: u64, compiled: &Compiled, peek: usize, field: &mut Vec<u8>) -> Known {
        let Ok(entries) = self.file.field(offset, peek, field) else {
            self.file.damaged += 1;
            return Known::default();
        };
        let known = Known {
            field: Field::of(field).map(|(kind, _)| kind),
            word: compiled.word(field),
        };
        // Most fields that one entry has are never seen again.
        if entries > 1
            && let Some(place) = self.known.get_mut(slot(offset))
        {
            *place = (offset, known);
        }
        known
    }
}

/// Opens a regular file; anything else that has its name is left alone, and nothing is waited for.
fn open_file(path: &Path) -> Result<File, Fault> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(std::io::Error::from)?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(Fault::Damaged("it is no regular file"))
    }
}

/// The place for what is known of a field; no field stands at 0. Objects are aligned to 8 bytes.
fn slot(offset: u64) -> usize {
    usize::try_from(offset / 8 % KNOWN as u64).unwrap_or(0)
}

/// What decides which of two entries of different files is the older.
struct Order {
    seqnum_id: Id,
    seqnum: u64,
    boot: Option<Id>,
    monotonic: u64,
    realtime: u64,
}

impl Order {
    fn of_entry(header: &Header, head: &EntryHead) -> Self {
        Self {
            seqnum_id: header.seqnum_id,
            seqnum: head.seqnum,
            boot: Some(head.boot),
            monotonic: head.monotonic,
            realtime: head.realtime,
        }
    }

    /// Of a file's first entry, as far as the header tells.
    fn of_file(header: &Header) -> Self {
        Self {
            seqnum_id: header.seqnum_id,
            seqnum: header.head_seqnum,
            boot: None,
            monotonic: 0,
            realtime: header.head_realtime,
        }
    }

    /// As `sd_journal_next`: by number if one journald wrote both, by the boot's clock within one boot, else by the time of day.
    fn is_before(&self, other: &Self) -> bool {
        if self.seqnum_id == other.seqnum_id {
            self.seqnum < other.seqnum
        } else if self.boot.is_some() && self.boot == other.boot {
            self.monotonic < other.monotonic
        } else {
            self.realtime < other.realtime
        }
    }
}
