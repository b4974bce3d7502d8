//! What may be asked of the server.
//!
//! A [`Request`] is well-formed: words are there and numbers are numbers. Whether the jail exists and whether the thing can
//! be done is for the server to say.

use stockade_core::{FailureId, JailName};

use crate::Value;

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// `ping`: `'pong'`.
    Ping,
    /// `version`: the version as text.
    Version,
    /// `echo …`: the words.
    Echo(Vec<Value>),
    /// `sleep N`: wait so many seconds.
    Sleep(f64),
    /// `server-status`: `'Server ready'`.
    ServerStatus,
    /// `status`
    Status,
    /// `status --all [FLAVOR]`
    StatusAll(Flavor),
    /// `status JAIL [FLAVOR]`
    StatusJail(JailName, Flavor),
    /// `stats`, `statistic`, `statistics`
    Stats,
    /// `add JAIL [BACKEND]`: the jail's name.
    Add {
        /// Its name.
        jail: JailName,
        /// As written, options included; `auto` if not given.
        backend: String,
    },
    /// `start JAIL`
    Start(JailName),
    /// `stop`: the whole server.
    Stop,
    /// `stop --all`: all jails, and not the server.
    StopAll,
    /// `stop JAIL`
    StopJail(JailName),
    /// `reload JAIL|--all OPTIONS STREAM`: `'OK'`.
    Reload {
        /// One jail, or `None` for all.
        jail: Option<JailName>,
        /// How.
        options: ReloadOptions,
        /// The commands that make up the new configuration; each to be read with [`crate::parse()`].
        stream: Vec<Value>,
    },
    /// `server-stream [COMMANDS]`: carried out in order up to the first that fails; each to be read with [`crate::parse()`].
    ServerStream(Vec<Value>),
    /// `config-error TEXT`: to be logged as an error.
    ConfigError(String),
    /// `flushlogs`: `'rolled over'` or `'flushed'`.
    FlushLogs,
    /// `unban --all`: how many bans there were.
    UnbanAll,
    /// `unban ID…`: how many bans there were.
    Unban(Vec<FailureId>),
    /// `banned`: a dict of one jail each, in a list.
    Banned,
    /// `banned ID…`: for each id the jails that ban it.
    BannedIds(Vec<FailureId>),
    /// `get KEY`
    GetServer(ServerKey),
    /// `set KEY VALUE`: the new value.
    SetServer(ServerSetting),
    /// `get JAIL …`
    GetJail(JailName, JailGet),
    /// `set JAIL …`: the new value of what was set.
    SetJail(JailName, JailSet),
    /// `multi-set JAIL …`: several values at once; the answer is `True`.
    MultiSet(JailName, JailSet),
}

/// How much `status` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Flavor {
    /// Counters and addresses; also what an unknown word means.
    #[default]
    Basic,
    /// Without addresses.
    Short,
    /// Only numbers.
    Stats,
    /// What the kernel holds of the bans, and what they have blocked; of one jail only.
    Kernel,
    /// With networks and countries of the addresses.
    Cymru,
}

/// Words after `reload`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ReloadOptions {
    /// Stop and start jails rather than change them.
    pub restart: bool,
    /// Lift all bans first.
    pub unban: bool,
    /// A jail that does not run is no error.
    pub if_exists: bool,
}

/// Settings of the server as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKey {
    /// `loglevel`
    LogLevel,
    /// `logtarget`
    LogTarget,
    /// `syslogsocket`
    SyslogSocket,
    /// `dbfile`
    DbFile,
    /// `dbmaxmatches`
    DbMaxMatches,
    /// `dbpurgeage`
    DbPurgeAge,
    /// `thread`
    Thread,
}

/// `set KEY VALUE` without a jail.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerSetting {
    /// `loglevel`, as written: a name in any case, or a number.
    LogLevel(String),
    /// `logtarget`, options included.
    LogTarget(String),
    /// `syslogsocket`
    SyslogSocket(String),
    /// `allowipv6`: `auto`, `yes` or `no`.
    AllowIpv6(String),
    /// `dbfile`; `None` turns the database off.
    DbFile(Option<String>),
    /// `dbmaxmatches`
    DbMaxMatches(i64),
    /// `dbpurgeage`
    DbPurgeAge(TimeSpan),
    /// `thread`: names and values.
    Thread(Vec<(String, i64)>),
}

/// A span of time as it was asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeSpan {
    /// A number of seconds.
    Seconds(i64),
    /// Words to be read by the configuration's rules (`1d 12h`).
    Written(String),
}

/// `get JAIL …`
#[derive(Clone, Debug, PartialEq)]
pub enum JailGet {
    /// `banned`: the ids, in the order in which they were banned.
    Banned,
    /// `banned ID`: 1 or 0; of several a list.
    BannedIds(Vec<FailureId>),
    /// `banip [--with-time]`: the ids ordered by end, or lines with times.
    BanIp {
        /// With times.
        with_time: bool,
    },
    /// `logpath`
    LogPath,
    /// `logencoding`
    LogEncoding,
    /// `journalmatch`
    JournalMatch,
    /// `ignoreself`
    IgnoreSelf,
    /// `ignoreip`
    IgnoreIp,
    /// `ignorecommand`
    IgnoreCommand,
    /// `ignorecache`
    IgnoreCache,
    /// `prefregex`
    Prefregex,
    /// `failregex`
    Failregex,
    /// `ignoreregex`
    Ignoreregex,
    /// `usedns`
    UseDns,
    /// `findtime`
    FindTime,
    /// `bantime`
    BanTime,
    /// `bantime.OPTION`; the option's name without `bantime.`.
    BanTimeOption(String),
    /// `datepattern`
    DatePattern,
    /// `logtimezone`
    LogTimeZone,
    /// `maxmatches`
    MaxMatches,
    /// `maxretry`
    MaxRetry,
    /// `maxlines`
    MaxLines,
    /// `actions`
    Actions,
    /// `action ACTION PROPERTY`
    Action {
        /// Its name.
        action: String,
        /// The property.
        property: String,
    },
    /// `actionproperties ACTION`
    ActionProperties(String),
    /// `actionmethods ACTION`
    ActionMethods(String),
}

/// `set JAIL …`
#[derive(Clone, Debug, PartialEq)]
pub enum JailSet {
    /// `idle on|off`
    Idle(bool),
    /// `ignoreself`
    IgnoreSelf(bool),
    /// `addignoreip ENTRY…`
    AddIgnoreIp(Vec<String>),
    /// `delignoreip ENTRY`
    DelIgnoreIp(String),
    /// `ignorecommand`
    IgnoreCommand(String),
    /// `ignorecache`; empty turns it off.
    IgnoreCache(String),
    /// `addlogpath PATH [head|tail]`
    AddLogPath {
        /// The file.
        path: String,
        /// Begin at its end rather than at what is recent.
        tail: bool,
    },
    /// `dellogpath PATH`
    DelLogPath(String),
    /// `logencoding`
    LogEncoding(String),
    /// `addjournalmatch WORD…`
    AddJournalMatch(Vec<String>),
    /// `deljournalmatch WORD…`
    DelJournalMatch(Vec<String>),
    /// `prefregex`; empty for none.
    Prefregex(String),
    /// `addfailregex`
    AddFailregex(Vec<String>),
    /// `delfailregex INDEX`
    DelFailregex(i64),
    /// `addignoreregex`
    AddIgnoreregex(Vec<String>),
    /// `delignoreregex INDEX`
    DelIgnoreregex(i64),
    /// `usedns`, as written; an unknown word means `no`.
    UseDns(String),
    /// `findtime`
    FindTime(TimeSpan),
    /// `bantime`
    BanTime(TimeSpan),
    /// `bantime.OPTION VALUE`; the option's name without `bantime.`.
    BanTimeOption(String, Value),
    /// `datepattern`; empty for the default ones.
    DatePattern(String),
    /// `logtimezone`
    LogTimeZone(Option<String>),
    /// `maxmatches`
    MaxMatches(i64),
    /// `maxretry`
    MaxRetry(i64),
    /// `maxlines`, at least 1.
    MaxLines(i64),
    /// `attempt ID [LINE…]`: 1, or 0 if ignored.
    Attempt {
        /// Who.
        id: FailureId,
        /// Log lines, if any.
        lines: Vec<String>,
    },
    /// `banip ID…`: how many were not banned yet.
    BanIp(Vec<FailureId>),
    /// `unbanip [--report-absent] ID…`: how many were banned.
    UnbanIp {
        /// Who.
        ids: Vec<FailureId>,
        /// Fail with `ValueError("not banned: […]")` if some are not.
        report_absent: bool,
    },
    /// `addaction NAME [FILE JSON]`: the name.
    AddAction {
        /// Its name.
        action: String,
        /// A Python file and its arguments.
        python: Option<(String, String)>,
    },
    /// `delaction NAME`
    DelAction(String),
    /// `action NAME PROPERTY VALUE`: the value; from `multi-set` several properties.
    Action {
        /// Its name.
        action: String,
        /// Properties and values.
        properties: Vec<(String, Value)>,
    },
    /// `action NAME METHOD [JSON]`: a call of one of the methods that Fail2Ban's actions have.
    ActionMethod {
        /// Its name.
        action: String,
        /// The method.
        method: String,
        /// Its arguments, empty if there are none.
        json: String,
    },
}
