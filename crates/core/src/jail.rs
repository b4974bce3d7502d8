//! A jail: it is told of failures and of time, and says what is to be done.
//!
//! The clock, the log and the actions belong to the server, which carries out the [`Effect`]s in their order.

use crate::ban::Added;
use crate::failure::Fields;
use crate::formula::Number;
use crate::growth;
use crate::ledger::Ticket;
use crate::{
    Again, Ban, BanList, Effect, Effects, Event, Failure, FailureId, FailureLedger, IgnoreList, IgnoreRule,
    JailCounters, JailName, JailSettings, JailStatus, Level, LineText, LogLine, Offenders, Timestamp, Until,
};

/// One jail's settings, counts and bans.
#[derive(Clone, Debug)]
pub struct Jail {
    name: JailName,
    settings: JailSettings,
    ignore: IgnoreList,
    ledger: FailureLedger,
    bans: BanList,
    /// Where numbers by chance come from.
    chance: u64,
}

impl Jail {
    /// A jail in which nothing has happened.
    pub fn new(name: JailName, settings: JailSettings) -> Self {
        Self {
            name,
            settings,
            ignore: IgnoreList::default(),
            ledger: FailureLedger::default(),
            bans: BanList::default(),
            chance: 0,
        }
    }

    /// Sets where the numbers of `bantime.rndtime` begin. Whoever does not know it cannot tell when a ban ends.
    pub fn seed(&mut self, seed: u64) {
        self.chance = seed;
    }

    /// Its name.
    pub fn name(&self) -> &JailName {
        &self.name
    }

    /// Its settings.
    pub fn settings(&self) -> &JailSettings {
        &self.settings
    }

    /// Changes its settings; bans that hold keep their end.
    pub fn set_settings(&mut self, settings: JailSettings) {
        self.settings = settings;
    }

    /// Whom it never bans.
    pub fn ignore(&self) -> &IgnoreList {
        &self.ignore
    }

    /// Whom it never bans, to be changed. An id that is banned stays so until it is unbanned.
    pub fn ignore_mut(&mut self) -> &mut IgnoreList {
        &mut self.ignore
    }

    /// Counts a failure and bans when there are enough.
    ///
    /// A time in the future counts as `now`; what else becomes of a line's date is said by [`crate::Arrival`].
    /// Upstream: behaviour spec 4.1, 4.2, 4.4, 4.7.
    pub fn on_failure(&mut self, mut failure: Failure, offenders: &mut Offenders, now: Timestamp, out: &mut Effects) {
        failure.at = failure.at.min(now);
        if let Some(rule) = self.ignore.check(&failure.id, self.settings.ignoreself) {
            self.log_ignored(failure.id, rule, out);
            return;
        }
        self.log(Event::Found(failure.id.clone(), failure.at), out);
        self.count(failure, offenders, now, out);
    }

    /// Tells that an id is ignored because `ignorecommand` said so.
    pub fn ignore_by_command(&self, id: FailureId, out: &mut Effects) {
        self.log(Event::Ignore(id, "command"), out);
    }

    /// Counts failures that an operator reports, one for each line and at least one; 0 if the id is ignored, else 1.
    pub fn attempt(
        &mut self,
        id: FailureId,
        lines: Vec<LineText>,
        offenders: &mut Offenders,
        now: Timestamp,
        out: &mut Effects,
    ) -> u32 {
        if let Some(rule) = self.ignore.check(&id, self.settings.ignoreself) {
            self.log_ignored(id, rule, out);
            return 0;
        }
        self.log(Event::Attempt(id.clone(), now), out);
        let attempts = u32::try_from(lines.len()).unwrap_or(u32::MAX).max(1);
        self.count(
            Failure {
                id,
                at: now,
                attempts,
                lines,
                fields: Fields::default(),
            },
            offenders,
            now,
            out,
        );
        1
    }

    /// Bans an id because an operator wants it, even one that is ignored; false if it was banned already.
    ///
    /// Its failures stay counted and are no part of the ban, which has 0. Seen on 1.0.2.
    pub fn ban_manually(
        &mut self,
        id: FailureId,
        offenders: &mut Offenders,
        now: Timestamp,
        out: &mut Effects,
    ) -> bool {
        if self.ignore.check(&id, self.settings.ignoreself).is_some() {
            self.log(Event::BanOfIgnored(id.clone()), out);
        }
        let ticket = Ticket {
            last: now,
            ..Ticket::default()
        };
        self.ban(id, ticket, offenders, now, out)
    }

    /// Takes up a ban of an earlier run: the end it had, but no longer than the jail bans now, unless it increments.
    ///
    /// False if it is over, ignored or known. Upstream: behaviour spec 4.5.
    pub fn restore(&mut self, mut ban: Ban, now: Timestamp, out: &mut Effects) -> bool {
        if let Some(rule) = self.ignore.check(&ban.id, self.settings.ignoreself) {
            self.log_ignored(ban.id, rule, out);
            return false;
        }
        let longest = Until::after(ban.since, self.settings.bantime);
        if longest < ban.until && !self.settings.increment {
            ban.until = longest;
            ban.bantime = self.settings.bantime;
        }
        ban.restored = true;
        if ban.until < Until::At(now) || self.bans.add(&ban) != Added::New {
            return false;
        }
        self.log(Event::RestoreBan(ban.id.clone()), out);
        out.push(Effect::Ban(ban));
        true
    }

    /// Lifts the ban of an id; false if it is not banned. Failures since the ban stay counted. Seen on 1.0.2.
    pub fn unban(&mut self, id: &FailureId, _now: Timestamp, out: &mut Effects) -> bool {
        match self.bans.remove(id) {
            Some(ban) => {
                self.lift(ban, out);
                true
            }
            None => false,
        }
    }

    /// Lifts all bans; how many there were.
    pub fn unban_all(&mut self, _now: Timestamp, out: &mut Effects) -> usize {
        self.lift_all(Event::Unban, out)
    }

    /// Lifts bans that are over and forgets failures that are too old; says when to be called next, if at all.
    pub fn on_tick(&mut self, now: Timestamp, out: &mut Effects) -> Option<Timestamp> {
        while let Some(ban) = self.bans.pop_expired(now) {
            self.lift(ban, out);
        }
        let clean_up = self.ledger.clean_up(now, self.settings.findtime);
        clean_up.into_iter().chain(self.bans.next_expiry()).min()
    }

    /// Lifts all bans because the jail stops.
    pub fn shutdown(&mut self, out: &mut Effects) {
        self.lift_all(Event::RepealBan, out);
    }

    /// Its counters.
    pub fn counters(&self) -> JailCounters {
        JailCounters {
            currently_failed: self.ledger.len(),
            total_failed: self.ledger.total(),
            currently_banned: self.bans.len(),
            total_banned: self.bans.total(),
        }
    }

    /// Failures that have not led to a ban.
    pub fn ledger(&self) -> &FailureLedger {
        &self.ledger
    }

    /// Its counters and bans.
    pub fn status(&self) -> JailStatus {
        JailStatus {
            currently_failed: self.ledger.len(),
            total_failed: self.ledger.total(),
            currently_banned: self.bans.len(),
            total_banned: self.bans.total(),
            banned: self
                .bans
                .iter()
                .map(|ban| (ban.id.clone(), ban.since, ban.until))
                .collect(),
        }
    }

    /// Its bans, ordered by end.
    pub fn bans(&self) -> impl Iterator<Item = &Ban> {
        self.bans.iter()
    }

    /// Its bans in the order in which they were made, as `status` and `banned` list them; `get JAIL banip` orders by end.
    pub fn bans_as_made(&self) -> Vec<&Ban> {
        self.bans.as_made()
    }

    /// The ban of an id.
    pub fn ban_of(&self, id: &FailureId) -> Option<&Ban> {
        self.bans.get(id)
    }

    /// Whether an id is banned.
    pub fn is_banned(&self, id: &FailureId) -> bool {
        self.bans.get(id).is_some()
    }

    fn count(&mut self, failure: Failure, offenders: &mut Offenders, now: Timestamp, out: &mut Effects) {
        let JailSettings {
            maxretry,
            findtime,
            maxmatches,
            increment,
            ..
        } = self.settings;
        // If one failure is enough anyway, nothing is to be weighed.
        let before = (increment && maxretry > 1)
            .then(|| offenders.in_jail(&self.name, &failure.id))
            .flatten();
        let Some(before) = before else {
            if let Some((id, ticket)) = self.ledger.add(failure, maxretry, findtime, maxmatches) {
                self.ban(id, ticket, offenders, now, out);
            }
            return;
        };
        let weight = growth::weight(before.count, maxretry);
        let bad = Event::FoundBad {
            id: failure.id.clone(),
            at: failure.at,
            count: before.count,
            weight,
            enough: weight.times >= maxretry,
        };
        self.log(bad, out);
        let id = failure.id.clone();
        let enough = self
            .ledger
            .add(failure, maxretry, findtime, maxmatches)
            .or_else(|| self.ledger.weigh(&id, weight.times.saturating_sub(1), maxretry));
        if let Some((id, ticket)) = enough {
            self.ban(id, ticket, offenders, now, out);
        }
    }

    fn ban(
        &mut self,
        id: FailureId,
        ticket: Ticket,
        offenders: &mut Offenders,
        now: Timestamp,
        out: &mut Effects,
    ) -> bool {
        let bantime = self.settings.bantime;
        let ban = Ban {
            id,
            since: ticket.last,
            until: Until::after(ticket.last, bantime),
            bantime,
            failures: ticket.failures,
            matches: ticket.matches,
            fields: ticket.fields,
            count: 1,
            restored: false,
        };
        if ban.until < Until::At(now) {
            self.log(Event::Expired(ban.id), out);
            return false;
        }
        if self.bans.get(&ban.id).is_none() {
            self.ban_anew(ban, offenders, now, out);
            return true;
        }
        let (since, longer) = match self.bans.add(&ban) {
            Added::New => return true,
            Added::Known(since) => (since, false),
            Added::Prolonged(since) => (since, true),
        };
        let age = ban.since.since(since) / 1_000_000;
        let level = match age {
            ..3 => Level::Debug,
            3..60 => Level::Notice,
            _ => Level::Warning,
        };
        self.log(Event::AlreadyBanned(ban.id.clone(), level), out);
        // What comes within three seconds are the rest of a burst and connections that were open already.
        let recheck = age >= 3;
        if longer || recheck {
            let id = ban.id;
            out.push(Effect::Again(Again { id, longer, recheck }));
        }
        false
    }

    /// Bans somebody who is not banned; who was before is banned for longer.
    ///
    /// Upstream bans for `bantime` first and then prolongs the ban, and so do the actions here: with a time limit of their own they must be
    /// told. Behaviour spec 4.6.
    fn ban_anew(&mut self, mut ban: Ban, offenders: &mut Offenders, now: Timestamp, out: &mut Effects) {
        let base = self.settings.bantime;
        let before = (self.settings.increment && base.0 >= 0)
            .then(|| {
                if self.settings.growth.overalljails {
                    offenders.anywhere(&ban.id)
                } else {
                    offenders.in_jail(&self.name, &ban.id)
                }
            })
            .flatten();
        let mut told = Vec::new();
        let mut whole = ban.clone();
        if let Some(before) = before {
            let time = self.grown(&ban.id, before.count, &mut told);
            whole.count = before.count.saturating_add(1);
            whole.bantime = growth::seconds(time);
            whole.until = Until::after(whole.since, whole.bantime);
            let forever = whole.until == Until::Forever;
            if before.last < ban.since {
                let spans = (growth::span(Number::Int(base.0.into())), growth::span(time));
                told.push(Event::KnownOffender {
                    id: ban.id.clone(),
                    before,
                    spans: (spans.0.into(), spans.1.into()),
                });
            }
            let differs = (time.float() - Number::Int(base.0.into()).float()).abs() > 0.0;
            if differs && whole.until > Until::At(now) {
                told.push(Event::Increase {
                    id: ban.id.clone(),
                    count: whole.count,
                    span: if forever {
                        "permanent".into()
                    } else {
                        growth::span(time).into()
                    },
                    until: whole.until,
                });
            }
            ban.count = whole.count;
            if whole.until < ban.until {
                (ban.until, ban.bantime) = (whole.until, whole.bantime);
            }
        }
        self.bans.add(&whole);
        if whole.bantime.0 != 0 {
            offenders.note(&self.name, &whole);
            out.push(Effect::Store(whole.clone()));
        }
        self.log(Event::Ban(ban.id.clone()), out);
        let longer = ban.until < whole.until;
        out.push(Effect::Ban(ban));
        for event in told {
            self.log(event, out);
        }
        if longer {
            out.push(Effect::Prolong(whole));
        }
    }

    /// How long to ban somebody who was banned so often before.
    fn grown(&mut self, id: &FailureId, count: u32, told: &mut Vec<Event>) -> Number {
        let base = self.settings.bantime;
        let chance = self.chance();
        self.settings
            .growth
            .bantime(base, count, chance)
            .unwrap_or_else(|error| {
                told.push(Event::NoGrowth(id.clone(), error));
                Number::Int(base.0.into())
            })
    }

    /// The next number by chance in 0..1 (splitmix64, by Sebastiano Vigna).
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a fraction holds")]
    fn chance(&mut self) -> f64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.chance ^ (self.chance >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn lift(&self, ban: Ban, out: &mut Effects) {
        self.log(Event::Unban(ban.id.clone()), out);
        out.push(Effect::Unban(ban));
    }

    fn lift_all(&mut self, event: fn(FailureId) -> Event, out: &mut Effects) -> usize {
        let bans = self.bans.drain();
        let count = bans.len();
        for ban in &bans {
            self.log(event(ban.id.clone()), out);
        }
        // Also without bans: what an action keeps in the firewall may differ from what is known here.
        out.push(Effect::UnbanAll(bans));
        count
    }

    fn log_ignored(&self, id: FailureId, rule: IgnoreRule, out: &mut Effects) {
        let event = match rule {
            IgnoreRule::Own => Event::Ignore(id, "ignoreself rule"),
            IgnoreRule::Ip => Event::Ignore(id, "ip"),
            IgnoreRule::Dns => Event::Ignore(id, "dns"),
            IgnoreRule::File(path) => Event::IgnoreFile(id, path),
        };
        self.log(event, out);
    }

    fn log(&self, event: Event, out: &mut Effects) {
        out.push(Effect::Log(LogLine {
            jail: self.name.clone(),
            event,
        }));
    }
}
