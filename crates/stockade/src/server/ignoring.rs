//! `ignorecommand` and `ignorecache`: threads that run the command, and what it said before.
//!
//! A failure waits for its answer while others go on. Failures of the same id, or of the same key of the cache, wait in one line, so that
//! their order holds and the command is asked once for what is remembered. At most [`THREADS`] commands run at a time, of all jails.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stockade_action::{Context, Counters, IgnoreCommand};
use stockade_config::{duration, options};
use stockade_core::effect::Ban;
use stockade_core::logline::Level;
use stockade_core::{Failure, JailName, Seconds, Until};
use stockade_protocol::{ErrorClass, RemoteError, Value};

use super::jails::Message;
use super::log::Log;

/// So many commands run at a time.
const THREADS: usize = 4;
/// Failures that wait in each line. When it is full they count without being asked about: an attacker who floods is banned all the same.
const WAITING: usize = 256;
const COMPLAIN: Duration = Duration::from_secs(60);

/// No cache remembers more, whatever `max-count` says.
const MOST_REMEMBERED: usize = 100_000;
/// A key is cut here.
const LONGEST_KEY: usize = 1024;

/// What an `ignorecache` is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheSettings {
    key: String,
    count: i64,
    time: Seconds,
}

impl CacheSettings {
    /// Reads `key="<ip>", max-count=100, max-time=5m`; nothing for an empty text, which turns it off.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, RemoteError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        let refused = |why: String| {
            RemoteError::new(
                ErrorClass::ValueError,
                format!(
                    "ignorecache cannot be `{text}`; why: {why}; mend: ignorecache = key=\"<ip>\", max-count=100, max-time=5m"
                ),
            )
        };
        let given = options::parse(&format!("ignorecache[{text}]")).map_err(|error| refused(error.to_string()))?;
        let option = |name: &str| {
            given
                .options
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.trim())
        };
        let key = option("key").ok_or_else(|| refused("it has no `key`".to_owned()))?;
        let count = option("max-count").map_or(Ok(100), str::parse);
        let time = option("max-time").map_or(Ok(Seconds(300)), duration::parse);
        Ok(Some(Self {
            key: key.to_owned(),
            count: count.map_err(|_| refused("`max-count` is no whole number".to_owned()))?,
            time: time.map_err(|error| refused(format!("`max-time`: {error}")))?,
        }))
    }

    /// `['<ip>', 100, 300]`
    pub(crate) fn answer(&self) -> Value {
        Value::List(vec![
            Value::from(self.key.as_str()),
            Value::Int(self.count),
            Value::Int(self.time.0),
        ])
    }

    /// The key with the values of a failure. `<ip-host>` is the address: nobody waits for the DNS here.
    fn key_of(&self, failure: &Failure) -> String {
        let mut key = String::new();
        let mut rest = self.key.as_str();
        while let Some((before, after)) = rest.split_once('<') {
            key.push_str(before);
            let Some((tag, behind)) = after.split_once('>') else {
                key.push('<');
                rest = after;
                continue;
            };
            if matches!(tag, "ip" | "fid" | "F-ID" | "ip-host") {
                key.push_str(&failure.id.to_string());
            } else if let Some(field) = tag.strip_prefix("F-") {
                key.push_str(failure.fields.get(&field.to_ascii_lowercase()).unwrap_or_default());
            } else {
                key.extend(["<", tag, ">"]);
            }
            rest = behind;
        }
        key.push_str(rest);
        key.truncate(key.floor_char_boundary(LONGEST_KEY));
        key
    }
}

/// What was decided of whom, for some time.
#[derive(Debug)]
struct Cache {
    settings: CacheSettings,
    verdicts: HashMap<String, (bool, Instant)>,
}

impl Cache {
    fn get(&self, key: &str) -> Option<bool> {
        let (verdict, at) = self.verdicts.get(key)?;
        (at.elapsed() <= self.time()).then_some(*verdict)
    }

    fn put(&mut self, key: String, verdict: bool) {
        let most = usize::try_from(self.settings.count).unwrap_or(0).min(MOST_REMEMBERED);
        if most == 0 {
            return;
        }
        if self.verdicts.len() >= most && !self.verdicts.contains_key(&key) {
            let time = self.time();
            self.verdicts.retain(|_, (_, at)| at.elapsed() <= time);
            // Still full: the older half goes, so that the search is rare.
            if self.verdicts.len() >= most {
                let mut times: Vec<Instant> = self.verdicts.values().map(|(_, at)| *at).collect();
                let middle = times.len() / 2;
                let (_, middle, _) = times.select_nth_unstable(middle);
                let middle = *middle;
                self.verdicts.retain(|_, (_, at)| *at > middle);
            }
        }
        self.verdicts.insert(key, (verdict, Instant::now()));
    }

    fn time(&self) -> Duration {
        Duration::from_secs(u64::try_from(self.settings.time.0).unwrap_or(0))
    }
}

/// How a jail decides whom to ignore beyond its lists.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ignoring {
    command: Option<Arc<IgnoreCommand>>,
    /// A lock, since the threads that ask must see what others just heard; it is held for a look-up only.
    cache: Option<Arc<Mutex<Cache>>>,
}

/// What is known of a failure before anybody is asked.
pub(crate) enum Known {
    /// To be ignored, which was told before.
    Ignore,
    /// To be counted.
    Count,
    /// The lists decide, and then the command if there is one.
    Nothing,
}

impl Ignoring {
    /// Whether anything but the lists has a say.
    pub(crate) fn asks_or_remembers(&self) -> bool {
        self.command.is_some() || self.cache.is_some()
    }

    pub(crate) fn new(command: Option<IgnoreCommand>, cache: Option<CacheSettings>) -> Self {
        let cache = cache.map(|settings| {
            Arc::new(Mutex::new(Cache {
                settings,
                verdicts: HashMap::new(),
            }))
        });
        Self {
            command: command.map(Arc::new),
            cache,
        }
    }

    /// Whether there is a command to ask.
    pub(crate) fn has_command(&self) -> bool {
        self.command.is_some()
    }

    /// What the cache says.
    pub(crate) fn known(&self, failure: &Failure) -> Known {
        match self.with(|cache| cache.get(&cache.settings.key_of(failure))).flatten() {
            Some(true) => Known::Ignore,
            Some(false) => Known::Count,
            None => Known::Nothing,
        }
    }

    /// Remembers what was decided.
    pub(crate) fn remember(&self, failure: &Failure, verdict: bool) {
        self.with(|cache| cache.put(cache.settings.key_of(failure), verdict));
    }

    fn with<T>(&self, what: impl FnOnce(&mut Cache) -> T) -> Option<T> {
        let cache = self.cache.as_ref()?;
        Some(what(&mut cache.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

struct Question {
    jail: JailName,
    failure: Box<Failure>,
    command: Arc<IgnoreCommand>,
    ignoring: Ignoring,
}

/// The way to the threads that run commands; they start with the first question.
pub(crate) struct Asking {
    lines: Vec<SyncSender<Question>>,
    hasher: RandomState,
    jails: SyncSender<Message>,
    log: Arc<Log>,
    complained: Option<Instant>,
}

impl Asking {
    pub(crate) fn new(jails: SyncSender<Message>, log: Arc<Log>) -> Self {
        Self {
            lines: Vec::new(),
            hasher: RandomState::new(),
            jails,
            log,
            complained: None,
        }
    }

    /// Asks the command of a jail, if it has one; the answer arrives as a message. Gives the failure back if nobody is asked.
    pub(crate) fn ask(&mut self, jail: &JailName, ignoring: &Ignoring, failure: Failure) -> Option<Failure> {
        let Some(command) = &ignoring.command else {
            return Some(failure);
        };
        if self.lines.is_empty() {
            self.start();
        }
        let mut hash = self.hasher.build_hasher();
        let key = ignoring.with(|cache| cache.settings.key_of(&failure));
        hash.write(key.unwrap_or_else(|| failure.id.to_string()).as_bytes());
        let place = hash.finish().checked_rem(u64::try_from(self.lines.len()).unwrap_or(1));
        let line = place.and_then(|place| self.lines.get(usize::try_from(place).unwrap_or(0)));
        let question = Question {
            jail: jail.clone(),
            failure: Box::new(failure),
            command: Arc::clone(command),
            ignoring: ignoring.clone(),
        };
        let refused = match line {
            Some(line) => line.try_send(question).err().map(|error| match error {
                std::sync::mpsc::TrySendError::Full(question)
                | std::sync::mpsc::TrySendError::Disconnected(question) => question,
            }),
            None => Some(question),
        }?;
        if self.complained.is_none_or(|said| said.elapsed() > COMPLAIN) {
            self.complained = Some(Instant::now());
            self.log.write(
                Level::Warning,
                "fail2ban.filter",
                &format!(
                    "[{jail}] ignorecommand does not keep up: failures count without it; mend: make the command faster, or set ignorecache"
                ),
            );
        }
        Some(*refused.failure)
    }

    fn start(&mut self) {
        for number in 0..THREADS {
            let (line, waiting) = sync_channel(WAITING);
            let (jails, log) = (self.jails.clone(), Arc::clone(&self.log));
            // They end when the server drops the line; nobody waits for them, since a command may hang.
            let spawned = std::thread::Builder::new()
                .name(format!("ignore-{number}"))
                .spawn(move || run(&waiting, &jails, &log));
            match spawned {
                Ok(_) => self.lines.push(line),
                Err(error) => self.log.write(
                    Level::Error,
                    "fail2ban.filter",
                    &format!("no thread for ignorecommand: {error}"),
                ),
            }
        }
    }
}

fn run(waiting: &Receiver<Question>, jails: &SyncSender<Message>, log: &Log) {
    while let Ok(question) = waiting.recv() {
        let Question {
            jail,
            failure,
            command,
            ignoring,
        } = question;
        // Another failure with the same key may have been answered meanwhile; what is heard again is not told.
        let (ignored, told) = match ignoring.known(&failure) {
            Known::Ignore => (true, true),
            Known::Count => (false, true),
            Known::Nothing => {
                let mut report = |report: stockade_action::Report| log.write(report.level, report.logger, &report.text);
                let mut context = Context {
                    now: super::now(),
                    counters: Counters::default(),
                    earlier: &|_, _| None,
                    report: &mut report,
                };
                let verdict = command.says_ignore(&as_ban(&failure), &mut context);
                ignoring.remember(&failure, verdict);
                (verdict, false)
            }
        };
        let judged = Message::Judged {
            jail,
            failure,
            ignored,
            told,
        };
        // Whoever is gone wants no answer.
        if jails.send(judged).is_err() {
            return;
        }
    }
}

/// A failure as tags see it: nothing was counted yet. Seen on 1.0.2.
fn as_ban(failure: &Failure) -> Ban {
    Ban {
        id: failure.id.clone(),
        since: failure.at,
        until: Until::At(failure.at),
        bantime: Seconds(0),
        failures: 0,
        matches: failure.lines.clone(),
        fields: failure.fields.clone(),
        count: 0,
        restored: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockade_core::{FailureId, Fields, Timestamp};

    fn failure(id: &str, user: &str) -> Failure {
        let mut fields = Fields::default();
        fields.set("user", user);
        Failure {
            id: FailureId::parse(id),
            at: Timestamp::from_secs(0),
            attempts: 1,
            lines: Vec::new(),
            fields,
        }
    }

    #[test]
    fn caches_are_read_and_shown_as_fail2ban_does() {
        for (text, shown) in [
            ("key=\"<ip>\"", Some("['<ip>', 100, 300]")),
            ("key=\"<ip>\", max-count=7, max-time=1h", Some("['<ip>', 7, 3600]")),
            ("key=<ip>,foo=1", Some("['<ip>', 100, 300]")),
            ("", None),
        ] {
            let cache = CacheSettings::parse(text).unwrap();
            assert_eq!(
                cache.map(|cache| stockade_protocol::repr(&cache.answer())).as_deref(),
                shown,
                "{text}"
            );
        }
        for text in ["max-count=3", "nonsense", "key=\"<ip>\",max-count=x"] {
            assert!(CacheSettings::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cache_keeps_the_latest_and_never_more_than_it_may() {
        let settings = CacheSettings::parse("key=\"<F-USER>@<ip>\", max-count=10").unwrap();
        let ignoring = Ignoring::new(None, settings);
        for number in 0..1000 {
            ignoring.remember(
                &failure(&format!("192.0.2.{}", number % 256), &number.to_string()),
                number % 2 == 0,
            );
            assert!(ignoring.with(|cache| cache.verdicts.len()).unwrap() <= 10);
        }
        assert!(matches!(ignoring.known(&failure("192.0.2.231", "999")), Known::Count));
        assert!(matches!(ignoring.known(&failure("192.0.2.230", "998")), Known::Ignore));
        assert!(matches!(ignoring.known(&failure("192.0.2.230", "999")), Known::Nothing));
    }
}
