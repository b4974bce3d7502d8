//! What each command of a client does, and what it answers (behaviour spec 7.3).

use std::collections::BTreeSet;

use stockade_action::Action;
use stockade_config::duration;
use stockade_core::logline::Level;
use stockade_core::{FailureId, JailName, LineText, Seconds, Until};
use stockade_protocol::{
    ErrorClass, Flavor, JailGet, JailSet, RemoteError, Reply, Request, ServerKey, ServerSetting, Value,
};
use stockade_store::Place;

use super::calling::METHODS;
use super::jails::{Jails, Running};
use super::log::local;
use super::logtarget::Target;
use super::python;
use super::setup::{JailSetup, answer_of, no_action, seconds, strings};
use super::store::{Database, Order};

impl Jails {
    /// Does what a client asks.
    pub(crate) fn command(&mut self, request: Request) -> Reply {
        match request {
            Request::Ping => Ok(Value::from("pong")),
            Request::Version => Ok(Value::from(crate::FAIL2BAN_VERSION)),
            Request::Echo(words) => Ok(Value::List(words)),
            // Slept by the client's own thread before it comes here: it would hold up all jails.
            Request::Sleep(_) => Ok(Value::None),
            Request::ServerStatus => Ok(Value::from("Server ready")),
            Request::Status => Ok(self.status()),
            Request::StatusJail(jail, flavor) => {
                self.explain_cymru(flavor);
                let running = self.running(&jail)?;
                Ok(status_of(running, &self.watch.behind(&jail), flavor))
            }
            Request::StatusAll(flavor) => Ok(self.status_all(flavor)),
            Request::Stats => Ok(self.stats()),
            Request::Add { jail, backend } => self.add(&jail, &backend),
            Request::Start(jail) => {
                let place = self.place(&jail)?;
                self.start_jail(place).map_err(|faults| exception(faults.join("\n")))?;
                Ok(Value::None)
            }
            // Taken by the thread's loop, which answers when everything is done.
            Request::Stop => Ok(Value::None),
            // Taken by the thread's loop too, unless the jail is not there.
            Request::StopAll => Ok(Value::None),
            Request::StopJail(jail) => self.place(&jail).map(|_| Value::None),
            Request::Reload { jail, options, stream } => self.reload(jail.as_ref(), options, &stream),
            Request::ServerStream(stream) => self.stream(&stream, None).map(|()| Value::None),
            Request::ConfigError(text) => {
                self.say(Level::Error, "fail2ban.transmitter", &text);
                Ok(Value::None)
            }
            Request::FlushLogs => match self.log.reopen() {
                Ok(true) => {
                    self.say(
                        Level::Info,
                        "fail2ban.server",
                        &format!("rollover performed on {}", self.log.target().shown()),
                    );
                    Ok(Value::from("rolled over"))
                }
                Ok(false) => Ok(Value::from("flushed")),
                Err(fault) => Err(exception(fault)),
            },
            Request::UnbanAll => {
                let count = (0..self.jails.len()).map(|place| self.unban_all(place)).sum();
                Ok(count_value(count))
            }
            Request::Unban(ids) => {
                let mut count = 0;
                for id in &ids {
                    for place in 0..self.jails.len() {
                        count += usize::from(self.unban(place, id));
                    }
                }
                Ok(count_value(count))
            }
            Request::Banned => Ok(Value::List(
                self.jails
                    .iter()
                    .map(|running| Value::Dict(vec![(Value::from(running.setup.name.as_str()), banned(running))]))
                    .collect(),
            )),
            Request::BannedIds(ids) => Ok(Value::List(
                ids.iter()
                    .map(|id| {
                        let jails = self.jails.iter().filter(|running| running.jail.is_banned(id));
                        strings(jails.map(|running| running.setup.name.as_str()))
                    })
                    .collect(),
            )),
            Request::GetServer(key) => Ok(self.get_server(key)),
            Request::SetServer(setting) => self.set_server(setting),
            Request::GetJail(jail, get) => self
                .running(&jail)
                .and_then(|running| get_jail(running, &get, &self.log)),
            Request::SetJail(jail, set) => self.set_jail(&jail, set),
            Request::MultiSet(jail, set) => self.set_jail(&jail, set).map(|_| Value::Bool(true)),
        }
    }

    fn status(&self) -> Value {
        let mut names: Vec<&str> = self.jails.iter().map(|running| running.setup.name.as_str()).collect();
        names.sort_unstable();
        Value::List(vec![
            pair("Number of jail", count_value(names.len())),
            pair("Jail list", Value::from(names.join(", "))),
        ])
    }

    /// What Fail2Ban does there too, if it cannot ask.
    fn explain_cymru(&self, flavor: Flavor) {
        if flavor == Flavor::Cymru {
            self.say(
                Level::Error,
                "fail2ban.banmanager",
                "`status JAIL cymru`: whose the banned addresses are is not looked up; why: the process that runs as root asks no strangers about \
                 those it bans; mend: whois -h whois.cymru.com ADDRESS",
            );
        }
    }

    fn status_all(&self, flavor: Flavor) -> Value {
        self.explain_cymru(flavor);
        let mut jails = Vec::new();
        for running in &self.jails {
            let name = &running.setup.name;
            let status = status_of(running, &self.watch.behind(name), flavor);
            jails.push((Value::from(name.as_str()), status));
        }
        let Value::List(mut status) = self.status() else {
            return Value::None;
        };
        let jails = Value::Dict(jails);
        if flavor == Flavor::Stats {
            return jails;
        }
        status.push(jails);
        Value::List(status)
    }

    fn stats(&self) -> Value {
        Value::Dict(
            self.jails
                .iter()
                .map(|running| (Value::from(running.setup.name.as_str()), stats_of(running)))
                .collect(),
        )
    }

    fn add(&mut self, jail: &JailName, backend: &str) -> Reply {
        if self.position(jail).is_some() {
            return Err(RemoteError::new(ErrorClass::DuplicateJail, jail.as_str()));
        }
        // Without rules nothing can be wrong with them yet, so a jail that is being made by hand always comes to be.
        let prepared = self
            .prepare(JailSetup::new(jail.clone(), backend))
            .map_err(|faults| exception(faults.join("\n")))?;
        self.commit(prepared);
        Ok(Value::from(jail.as_str()))
    }

    fn get_server(&self, key: ServerKey) -> Value {
        let database = |get: &dyn Fn(&Database) -> Value| self.database.as_ref().map_or(Value::None, get);
        match key {
            ServerKey::LogLevel => Value::from(self.log.level()),
            ServerKey::LogTarget => Value::from(self.log.target().shown()),
            ServerKey::SyslogSocket => Value::from(self.log.syslog_socket()),
            ServerKey::DbFile => database(&|database| Value::from(database.place().to_string())),
            ServerKey::DbMaxMatches => database(&|database| Value::Int(database.max_matches)),
            ServerKey::DbPurgeAge => database(&|database| Value::Int(database.purge_age)),
            ServerKey::Thread => Value::Dict(vec![(Value::from("stacksize"), Value::Int(0))]),
        }
    }

    pub(crate) fn set_server(&mut self, setting: ServerSetting) -> Reply {
        match setting {
            ServerSetting::LogLevel(level) => {
                let level = level.to_uppercase();
                if !self.log.set_level(&level) {
                    let text = format!("Invalid log level '{level}'");
                    return Err(RemoteError::new(ErrorClass::ValueError, text));
                }
                Ok(Value::from(level))
            }
            ServerSetting::LogTarget(target) => {
                let target = Target::parse(&target).map_err(|fault| RemoteError::new(ErrorClass::ValueError, fault))?;
                if target != self.log.target() {
                    if let Err(fault) = self.log.set_target(target.clone()) {
                        return Err(self.no_such_log(&fault));
                    }
                    let version = crate::FAIL2BAN_VERSION;
                    self.say(Level::Info, "fail2ban.server", &format!("Start Fail2ban v{version}"));
                    let described = self.log.described();
                    let text = format!("Changed logging target to {described} for Fail2ban v{version}");
                    self.say(Level::Info, "fail2ban.server", &text);
                }
                Ok(Value::from(target.shown()))
            }
            ServerSetting::SyslogSocket(socket) => match self.log.set_syslog_socket(socket.clone()) {
                Ok(()) => Ok(Value::from(socket)),
                Err(fault) => Err(self.no_such_log(&fault)),
            },
            ServerSetting::AllowIpv6(word) => Ok(Value::from(word)),
            ServerSetting::DbFile(file) => {
                self.set_database(file.as_deref().and_then(Place::parse))?;
                Ok(self.get_server(ServerKey::DbFile))
            }
            ServerSetting::DbMaxMatches(number) => {
                if let Some(database) = &mut self.database {
                    database.max_matches = number;
                    database.tell(Order::MaxMatches(usize::try_from(number).unwrap_or(0)));
                }
                Ok(self.get_server(ServerKey::DbMaxMatches))
            }
            ServerSetting::DbPurgeAge(span) => {
                let age = seconds("dbpurgeage", &span)?;
                if let Some(database) = &mut self.database {
                    database.purge_age = age.0;
                    database.tell(Order::PurgeAge(age));
                }
                Ok(self.get_server(ServerKey::DbPurgeAge))
            }
            ServerSetting::Thread(values) => Ok(Value::Dict(
                values
                    .into_iter()
                    .map(|(key, value)| (Value::from(key), Value::Int(value)))
                    .collect(),
            )),
        }
    }

    /// Why a log cannot be had goes into the one there is; the answer is Fail2Ban's.
    fn no_such_log(&self, fault: &str) -> RemoteError {
        self.say(Level::Error, "fail2ban.server", fault);
        exception("Failed to change log target")
    }

    /// Opens another database, or none. While there are jails it cannot be changed, as upstream has it.
    ///
    /// One that cannot be opened is told; the server goes on without.
    fn set_database(&mut self, wanted: Option<Place>) -> Result<(), RemoteError> {
        if wanted == self.dbfile {
            return Ok(());
        }
        if !self.jails.is_empty() {
            return Err(RemoteError::new(
                ErrorClass::RuntimeError,
                "Cannot change database when there are jails present",
            ));
        }
        if let Some(old) = self.database.take() {
            old.close();
            self.acting.set_archive(None);
        }
        self.dbfile.clone_from(&wanted);
        let Some(place) = wanted else { return Ok(()) };
        match Database::open(place, &self.log) {
            Ok((database, rows)) => {
                self.watch.known(rows);
                self.acting.set_archive(Some(database.archive()));
                self.database = Some(database);
                Ok(())
            }
            Err(fault) => {
                self.say(
                    Level::Error,
                    "fail2ban.database",
                    &format!("{fault}; bans and places in logs will not outlive the server"),
                );
                Ok(())
            }
        }
    }

    /// Lifts a ban, and forgets that it ever was; false if there is none now.
    fn unban(&mut self, place: usize, id: &FailureId) -> bool {
        self.forget(place, Some(id));
        self.decide(place, |jail, _, now, out| jail.unban(id, now, out)) == Some(true)
    }

    /// Lifts all bans of a jail, and forgets that they ever were; how many held.
    pub(crate) fn unban_all(&mut self, place: usize) -> usize {
        self.forget(place, None);
        self.decide(place, |jail, _, now, out| jail.unban_all(now, out))
            .unwrap_or(0)
    }

    fn forget(&mut self, place: usize, id: Option<&FailureId>) {
        if let Some(running) = self.jails.get(place) {
            self.offenders.forget(&running.setup.name, id);
        }
        if let Some((database, running)) = self.database.as_ref().zip(self.jails.get(place)) {
            database.tell(Order::Forget(running.setup.name.clone(), id.cloned()));
        }
    }

    fn set_jail(&mut self, name: &JailName, set: JailSet) -> Reply {
        let place = self.place(name)?;
        match set {
            JailSet::Attempt { id, lines } => {
                let lines = lines
                    .into_iter()
                    .map(|text| LineText {
                        text: text.into(),
                        date: 0..0,
                    })
                    .collect();
                Ok(Value::Int(i64::from(
                    self.decide(place, |jail, offenders, now, out| {
                        jail.attempt(id, lines, offenders, now, out)
                    })
                    .unwrap_or(0),
                )))
            }
            JailSet::BanIp(ids) => {
                let mut count = 0;
                // All at one time, so that they end in the order in which they were named.
                let now = super::now();
                for id in ids {
                    check_banable(&id)?;
                    count += usize::from(
                        self.decide(place, |jail, offenders, _, out| {
                            jail.ban_manually(id, offenders, now, out)
                        }) == Some(true),
                    );
                }
                Ok(count_value(count))
            }
            JailSet::UnbanIp { ids, report_absent } => {
                let mut absent = Vec::new();
                let mut count = 0;
                for id in ids {
                    if self.unban(place, &id) {
                        count += 1;
                    } else {
                        absent.push(Value::from(id.to_string()));
                    }
                }
                if report_absent && !absent.is_empty() {
                    let list = stockade_protocol::repr(&Value::List(absent));
                    return Err(RemoteError::new(ErrorClass::ValueError, format!("not banned: {list}")));
                }
                Ok(count_value(count))
            }
            // Taken by the thread's loop; only as a part of something else it comes here.
            JailSet::ActionMethod { method, .. } => Err(exception(format!(
                "the method `{method}` of an action can be called by `set` alone"
            ))),
            set => {
                let Some(running) = self.jails.get(place) else {
                    return Err(unknown(name));
                };
                let mut setup = running.setup.clone();
                setup.set(&set)?;
                let prepared = self.prepare(setup).map_err(|faults| refusal(&set, &faults))?;
                self.commit(prepared);
                match &set {
                    JailSet::AddJournalMatch(words) => self.say_journal_match(place, words, true),
                    JailSet::DelJournalMatch(words) => self.say_journal_match(place, words, false),
                    set => {
                        if let Some(get) = answer_of(set) {
                            self.announce_one(place, &get);
                        }
                    }
                }
                self.answer(name, &set)
            }
        }
    }

    fn answer(&self, name: &JailName, set: &JailSet) -> Reply {
        let running = self.running(name)?;
        match (set, answer_of(set)) {
            (_, Some(get)) => get_jail(running, &get, &self.log),
            (JailSet::Idle(idle), _) => Ok(Value::Bool(*idle)),
            (JailSet::AddAction { action, .. }, _) => Ok(Value::from(action.as_str())),
            (JailSet::Action { properties, .. }, _) => {
                let last = properties.last();
                Ok(last.map_or(Value::None, |(property, value)| match value {
                    Value::Str(text) => property_value(property, text),
                    other => other.clone(),
                }))
            }
            _ => Ok(Value::None),
        }
    }

    /// The actions of a jail that run.
    pub(crate) fn actions_of(&self, jail: &JailName) -> Vec<String> {
        let lanes = self.running(jail).map(|running| running.lanes.iter());
        lanes.into_iter().flatten().map(|lane| lane.name().to_owned()).collect()
    }

    fn place(&self, jail: &JailName) -> Result<usize, RemoteError> {
        self.position(jail).ok_or_else(|| unknown(jail))
    }

    pub(crate) fn running(&self, jail: &JailName) -> Result<&Running, RemoteError> {
        self.place(jail)
            .and_then(|place| self.jails.get(place).ok_or_else(|| unknown(jail)))
    }
}

fn status_of(running: &Running, behind: &[String], flavor: Flavor) -> Value {
    let counters = running.jail.counters();
    if flavor == Flavor::Stats {
        return stats_of(running);
    }
    let mut filter = vec![
        pair("Currently failed", count_value(counters.currently_failed)),
        pair("Total failed", number(counters.total_failed)),
        if running.setup.reads_journal() {
            pair(
                "Journal matches",
                strings([&*running.setup.journal_matches()].into_iter()),
            )
        } else {
            pair(
                "File list",
                strings(running.setup.logs.iter().map(|log| log.pattern.as_str())),
            )
        },
    ];
    // Only if there is something to say: tools read these lines by their places.
    let overran: Vec<String> = running
        .rules
        .iter()
        .flat_map(|rules| rules.filter.overruns())
        .map(|rule| format!("{} [{}]: {}", rule.option, rule.index, rule.times))
        .collect();
    if !overran.is_empty() {
        filter.push(pair("Rules out of steps", strings(overran.iter().map(String::as_str))));
    }
    if !behind.is_empty() {
        filter.push(pair("Behind", strings(behind.iter().map(String::as_str))));
    }
    let mut actions = vec![
        pair("Currently banned", count_value(counters.currently_banned)),
        pair("Total banned", number(counters.total_banned)),
    ];
    if flavor != Flavor::Short {
        actions.push(pair("Banned IP list", banned(running)));
    }
    if flavor == Flavor::Cymru {
        for list in ["Banned ASN list", "Banned Country list", "Banned RIR list"] {
            actions.push(pair(list, strings(["error"].into_iter())));
        }
    }
    // Only if there is something to say, as above, and last.
    for lane in &running.lanes {
        if let Some((in_kernel, should_be)) = lane.amiss_in_kernel() {
            let text = format!("{in_kernel} of {should_be} by {}", lane.name());
            actions.push(pair("In the kernel", Value::from(text.as_str())));
        }
    }
    Value::List(vec![
        pair("Filter", Value::List(filter)),
        pair("Actions", Value::List(actions)),
    ])
}

fn stats_of(running: &Running) -> Value {
    let counters = running.jail.counters();
    Value::List(vec![
        Value::from(running.setup.backend_in_use().0),
        Value::Tuple(vec![
            count_value(counters.currently_failed),
            number(counters.total_failed),
        ]),
        Value::Tuple(vec![
            count_value(counters.currently_banned),
            number(counters.total_banned),
        ]),
    ])
}

fn get_jail(running: &Running, get: &JailGet, log: &super::log::Log) -> Reply {
    if let Some(value) = running.setup.get(get) {
        return Ok(value);
    }
    let filter = running.rules.as_ref().map(|rules| &rules.filter);
    let own = |list: &[String]| strings(list.iter().map(String::as_str));
    Ok(match get {
        JailGet::Failregex => filter.map_or(Value::List(Vec::new()), |filter| own(filter.failregex())),
        JailGet::Ignoreregex => filter.map_or(Value::List(Vec::new()), |filter| own(filter.ignoreregex())),
        JailGet::Prefregex => Value::from(filter.and_then(|filter| filter.prefregex()).unwrap_or_default()),
        JailGet::DatePattern => datepattern(running),
        JailGet::Banned => banned(running),
        // Networks and names first, then addresses, as upstream lists them.
        JailGet::IgnoreIp => Value::List(
            running
                .jail
                .ignore()
                .entries()
                .map(|entry| Value::Addr(entry.to_string()))
                .collect(),
        ),
        JailGet::BannedIds(ids) => {
            let mut flags: Vec<Value> = ids
                .iter()
                .map(|id| Value::Int(i64::from(running.jail.is_banned(id))))
                .collect();
            match flags.len() {
                1 => flags.pop().unwrap_or(Value::None),
                _ => Value::List(flags),
            }
        }
        JailGet::BanIp { with_time: false } => {
            Value::List(running.jail.bans().map(|ban| Value::from(ban.id.to_string())).collect())
        }
        JailGet::BanIp { with_time: true } => Value::List(
            running
                .jail
                .bans()
                .map(|ban| Value::from(with_time(ban, log)))
                .collect(),
        ),
        JailGet::Action { action, property } => {
            let built = build(running, action)?;
            if built.is_mail() {
                return mail_property(&built, property);
            }
            let unset = ALWAYS_SET.iter().find(|(name, _)| name == property);
            let value = built.property(property).or(unset.map(|(_, value)| *value));
            let value = value.ok_or_else(|| {
                RemoteError::new(
                    ErrorClass::AttributeError,
                    format!("'CommandAction' object has no attribute '{property}'"),
                )
            })?;
            property_value(property, value)
        }
        JailGet::ActionProperties(action) => {
            let built = build(running, action)?;
            if built.is_mail() {
                return Ok(strings(python::DEFAULTS.iter().map(|(name, _)| *name)));
            }
            let names: BTreeSet<&str> = built
                .properties()
                .map(|(key, _)| key)
                .chain(ALWAYS_SET.iter().map(|(name, _)| *name))
                .collect();
            strings(names.into_iter())
        }
        JailGet::ActionMethods(action) => {
            if build(running, action)?.is_mail() {
                return Ok(strings(python::METHODS.iter().copied()));
            }
            strings(METHODS.iter().copied())
        }
        _ => Value::None,
    })
}

/// A property of what Fail2Ban does in `smtp.py`.
fn mail_property(action: &Action, property: &str) -> Result<Value, RemoteError> {
    let Some((_, default)) = python::DEFAULTS.iter().find(|(name, _)| *name == property) else {
        return Err(RemoteError::new(
            ErrorClass::AttributeError,
            format!("'SMTPAction' object has no attribute '{property}'"),
        ));
    };
    let value = action.property(property).or(*default);
    Ok(value.map_or(Value::None, Value::from))
}

/// A property as Fail2Ban keeps it: the time limit is a number.
fn property_value(property: &str, value: &str) -> Value {
    let seconds = (property == "timeout").then(|| duration::parse(value).ok()).flatten();
    seconds.map_or_else(|| Value::from(value), |Seconds(number)| Value::Int(number))
}

/// Properties that every action has, with what they are if nobody sets them.
const ALWAYS_SET: &[(&str, &str)] = &[
    ("actionban", ""),
    ("actioncheck", ""),
    ("actionflush", ""),
    ("actionreban", ""),
    ("actionreload", ""),
    ("actionrepair", ""),
    ("actionstart", ""),
    ("actionstop", ""),
    ("actionunban", ""),
    ("timeout", "60"),
];

/// The pattern and its name, if it stands for one template.
fn datepattern(running: &Running) -> Value {
    let templates = running.rules.as_ref().map(|rules| rules.filter.date_templates());
    let mut templates = templates.into_iter().flatten();
    let pattern = running.setup.filter.datepattern.as_deref();
    match (pattern, templates.next(), templates.next()) {
        (Some(pattern), Some(name), None) => {
            // `EPOCH` and its like are no patterns.
            let pattern = if pattern.contains('%') {
                Value::from(pattern)
            } else {
                Value::None
            };
            Value::Tuple(vec![pattern, Value::from(name)])
        }
        _ => Value::Tuple(vec![Value::None, Value::from("Default Detectors")]),
    }
}

fn build(running: &Running, action: &str) -> Result<Action, RemoteError> {
    let setup = running.setup.action(action).ok_or_else(|| no_action(action))?;
    Action::new(&running.setup.name, &setup.name, &setup.properties)
        .map_err(|error| RemoteError::new(ErrorClass::ValueError, error.to_string()))
}

/// `192.0.2.7 \t2026-11-22 14:07:54 + 600 = 2026-11-22 14:17:54`
fn with_time(ban: &stockade_core::effect::Ban, log: &super::log::Log) -> String {
    let since = local(ban.since, log.zone());
    match ban.until {
        Until::At(end) => {
            let span = end.secs().saturating_sub(ban.since.secs());
            format!("{} \t{since} + {span} = {}", ban.id, local(end, log.zone()))
        }
        Until::Forever => format!("{} \t{since} + -1 = 9999-12-31 23:59:59", ban.id),
    }
}

/// What can be banned by hand: an address or a network, or any text that a rule with `<F-ID>` could have found.
fn check_banable(id: &FailureId) -> Result<(), RemoteError> {
    match id {
        FailureId::Net(network) if network.prefix_len() == 0 => Err(RemoteError::new(
            ErrorClass::ValueError,
            format!("{network} is everybody, this host's users and administrators too; mend: ban a smaller network"),
        )),
        FailureId::Text(text) if text.is_empty() || text.chars().any(char::is_control) => Err(RemoteError::new(
            ErrorClass::ValueError,
            "an id to ban must be text without control characters",
        )),
        _ => Ok(()),
    }
}

fn refusal(set: &JailSet, faults: &[String]) -> RemoteError {
    let class = match set {
        JailSet::AddFailregex(_) | JailSet::AddIgnoreregex(_) | JailSet::Prefregex(_) => ErrorClass::Regex,
        _ => ErrorClass::ValueError,
    };
    RemoteError::new(class, faults.join("\n"))
}

fn banned(running: &Running) -> Value {
    Value::List(
        running
            .jail
            .bans_as_made()
            .iter()
            .map(|ban| Value::from(ban.id.to_string()))
            .collect(),
    )
}

pub(super) fn pair(name: &str, value: Value) -> Value {
    Value::Tuple(vec![Value::from(name), value])
}

fn number(count: u64) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

fn count_value(count: usize) -> Value {
    Value::Int(i64::try_from(count).unwrap_or(i64::MAX))
}

/// The exception for a jail that is not there.
pub(crate) fn unknown(jail: &JailName) -> RemoteError {
    RemoteError::new(ErrorClass::UnknownJail, jail.as_str())
}

/// An exception of no special kind.
pub(crate) fn exception(text: impl Into<String>) -> RemoteError {
    RemoteError::new(ErrorClass::Exception, text)
}
