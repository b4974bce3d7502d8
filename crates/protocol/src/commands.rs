//! Every command: its words, its arguments, what it does.
//!
//! The client's help, the man page and completions derive from this table.

/// One command as help shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Where it belongs.
    pub section: Section,
    /// The words; `<JAIL>` is to be replaced, `[…]` may be left out.
    pub usage: &'static str,
    /// What it does, in one sentence without full stop.
    pub help: &'static str,
}

/// Parts of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The server and all jails.
    Basic,
    /// What is logged, and where.
    Logging,
    /// The database.
    Database,
    /// Jails as a whole.
    JailControl,
    /// Settings of a jail.
    JailSet,
    /// Questions about a jail.
    JailGet,
}

impl Section {
    /// Its heading.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Basic => "BASIC",
            Self::Logging => "LOGGING",
            Self::Database => "DATABASE",
            Self::JailControl => "JAIL CONTROL",
            Self::JailSet => "JAIL CONFIGURATION",
            Self::JailGet => "JAIL INFORMATION",
        }
    }
}

const fn row(section: Section, usage: &'static str, help: &'static str) -> Command {
    Command { section, usage, help }
}

use Section::{Basic, Database, JailControl, JailGet, JailSet, Logging};

/// All commands, in the order of the help.
pub const COMMANDS: &[Command] = &[
    row(Basic, "start", "starts the server and its jails"),
    row(Basic, "restart", "stops the server and starts it anew"),
    row(
        Basic,
        "restart [--unban] [--if-exists] <JAIL>",
        "restarts one jail; like 'reload --restart … <JAIL>'",
    ),
    row(
        Basic,
        "reload [--restart] [--unban] [--all]",
        "reads the configuration anew; --restart restarts jails that run, --unban lifts all bans",
    ),
    row(
        Basic,
        "reload [--restart] [--unban] [--if-exists] <JAIL>",
        "reads the configuration of one jail anew",
    ),
    row(Basic, "stop", "stops all jails and the server"),
    row(Basic, "unban --all", "lifts all bans, in all jails"),
    row(
        Basic,
        "unban <IP> ... <IP>",
        "lifts the bans of these addresses, in all jails",
    ),
    row(Basic, "banned", "lists the jails with the addresses they ban"),
    row(
        Basic,
        "banned <IP> ... <IP>",
        "lists for each address the jails that ban it",
    ),
    row(Basic, "status", "lists the jails"),
    row(Basic, "status --all [FLAVOR]", "shows the state of all jails"),
    row(Basic, "stats", "shows the counters of all jails as a table"),
    row(Basic, "ping", "asks whether the server lives"),
    row(Basic, "echo", "answers with the words given"),
    row(Basic, "help", "prints this help"),
    row(Basic, "version", "prints the version of the server"),
    row(
        Logging,
        "set loglevel <LEVEL>",
        "sets what is logged: CRITICAL, ERROR, WARNING, NOTICE, INFO, DEBUG, TRACEDEBUG, HEAVYDEBUG or a number",
    ),
    row(Logging, "get loglevel", "shows what is logged"),
    row(
        Logging,
        "set logtarget <TARGET>",
        "sets where the log goes: a file, STDOUT, STDERR, SYSLOG, SYSOUT or SYSTEMD-JOURNAL",
    ),
    row(Logging, "get logtarget", "shows where the log goes"),
    row(
        Logging,
        "set syslogsocket auto|<SOCKET>",
        "sets the socket by which syslog is reached",
    ),
    row(
        Logging,
        "get syslogsocket",
        "shows the socket by which syslog is reached",
    ),
    row(
        Logging,
        "flushlogs",
        "opens the log file anew, for programs that rotate logs",
    ),
    row(
        Database,
        "set dbfile <FILE>",
        "sets the database file; None turns the database off",
    ),
    row(Database, "get dbfile", "shows the database file"),
    row(
        Database,
        "set dbmaxmatches <INT>",
        "sets how many log lines the database keeps for a ban",
    ),
    row(
        Database,
        "get dbmaxmatches",
        "shows how many log lines the database keeps for a ban",
    ),
    row(
        Database,
        "set dbpurgeage <TIME>",
        "sets how long the database keeps bans that are over",
    ),
    row(
        Database,
        "get dbpurgeage",
        "shows how long the database keeps bans that are over",
    ),
    row(
        JailControl,
        "add <JAIL> <BACKEND>",
        "makes a jail that reads its log by BACKEND",
    ),
    row(JailControl, "start <JAIL>", "starts a jail"),
    row(JailControl, "stop <JAIL>", "stops a jail and removes it"),
    row(
        JailControl,
        "status <JAIL> [FLAVOR]",
        "shows the state of a jail; FLAVOR is basic, short, stats, cymru or kernel (what the kernel holds, and what it has blocked)",
    ),
    row(JailSet, "set <JAIL> idle on|off", "sets whether the jail rests"),
    row(
        JailSet,
        "set <JAIL> ignoreself true|false",
        "sets whether the host's own addresses are ignored",
    ),
    row(
        JailSet,
        "set <JAIL> addignoreip <IP> ... <IP>",
        "adds addresses, networks or names to be ignored",
    ),
    row(
        JailSet,
        "set <JAIL> delignoreip <IP>",
        "removes an entry of those to be ignored",
    ),
    row(
        JailSet,
        "set <JAIL> ignorecommand <VALUE>",
        "sets a command that says whether to ignore an address",
    ),
    row(
        JailSet,
        "set <JAIL> ignorecache <VALUE>",
        "sets how answers of the ignore checks are remembered",
    ),
    row(
        JailSet,
        "set <JAIL> addlogpath <FILE> [head|tail]",
        "adds a log file, read from where it is recent or from its end",
    ),
    row(JailSet, "set <JAIL> dellogpath <FILE>", "removes a log file"),
    row(
        JailSet,
        "set <JAIL> logencoding <ENCODING>",
        "sets the encoding of the log files",
    ),
    row(
        JailSet,
        "set <JAIL> addjournalmatch <MATCH>",
        "adds a match of the journal",
    ),
    row(
        JailSet,
        "set <JAIL> deljournalmatch <MATCH>",
        "removes a match of the journal",
    ),
    row(
        JailSet,
        "set <JAIL> addfailregex <REGEX>",
        "adds a rule by which a line is a failure",
    ),
    row(JailSet, "set <JAIL> delfailregex <INDEX>", "removes the rule at INDEX"),
    row(
        JailSet,
        "set <JAIL> addignoreregex <REGEX>",
        "adds a rule by which a line is not looked at",
    ),
    row(
        JailSet,
        "set <JAIL> delignoreregex <INDEX>",
        "removes the rule at INDEX",
    ),
    row(
        JailSet,
        "set <JAIL> prefregex <REGEX>",
        "sets the rule that takes the part to be looked at out of a line",
    ),
    row(
        JailSet,
        "set <JAIL> findtime <TIME>",
        "sets how long failures are remembered",
    ),
    row(
        JailSet,
        "set <JAIL> bantime <TIME>",
        "sets how long a ban lasts; -1 is for ever",
    ),
    row(
        JailSet,
        "set <JAIL> datepattern <PATTERN>",
        "sets the form of the log's dates",
    ),
    row(
        JailSet,
        "set <JAIL> logtimezone <ZONE>",
        "sets the zone of dates without one",
    ),
    row(
        JailSet,
        "set <JAIL> usedns <VALUE>",
        "sets what is done with names: yes, warn, no or raw",
    ),
    row(
        JailSet,
        "set <JAIL> attempt <IP> [<LINE> ... <LINE>]",
        "counts failures of an address",
    ),
    row(JailSet, "set <JAIL> banip <IP> ... <IP>", "bans addresses"),
    row(
        JailSet,
        "set <JAIL> unbanip [--report-absent] <IP> ... <IP>",
        "lifts bans of addresses",
    ),
    row(
        JailSet,
        "set <JAIL> maxretry <RETRY>",
        "sets how many failures lead to a ban",
    ),
    row(
        JailSet,
        "set <JAIL> maxmatches <INT>",
        "sets how many log lines are kept for an address",
    ),
    row(
        JailSet,
        "set <JAIL> maxlines <LINES>",
        "sets how many lines a rule may span",
    ),
    row(
        JailSet,
        "set <JAIL> addaction <ACT> [<PYTHONFILE> <JSONKWARGS>]",
        "adds an action",
    ),
    row(JailSet, "set <JAIL> delaction <ACT>", "removes an action"),
    row(
        JailSet,
        "set <JAIL> action <ACT> <PROPERTY> <VALUE>",
        "sets a property of an action",
    ),
    row(
        JailSet,
        "set <JAIL> action <ACT> <METHOD> [<JSONKWARGS>]",
        "calls a method of an action",
    ),
    row(JailGet, "get <JAIL> banned", "lists the banned addresses"),
    row(
        JailGet,
        "get <JAIL> banned <IP> ... <IP>",
        "tells for each address whether it is banned: 1 or 0",
    ),
    row(JailGet, "get <JAIL> logpath", "lists the log files"),
    row(JailGet, "get <JAIL> logencoding", "shows the encoding of the log files"),
    row(JailGet, "get <JAIL> journalmatch", "shows the matches of the journal"),
    row(
        JailGet,
        "get <JAIL> ignoreself",
        "shows whether the host's own addresses are ignored",
    ),
    row(JailGet, "get <JAIL> ignoreip", "lists who is ignored"),
    row(
        JailGet,
        "get <JAIL> ignorecommand",
        "shows the command that says whether to ignore an address",
    ),
    row(
        JailGet,
        "get <JAIL> prefregex",
        "shows the rule that takes the part to be looked at out of a line",
    ),
    row(
        JailGet,
        "get <JAIL> failregex",
        "lists the rules by which a line is a failure",
    ),
    row(
        JailGet,
        "get <JAIL> ignoreregex",
        "lists the rules by which a line is not looked at",
    ),
    row(
        JailGet,
        "get <JAIL> findtime",
        "shows how long failures are remembered, in seconds",
    ),
    row(JailGet, "get <JAIL> bantime", "shows how long a ban lasts, in seconds"),
    row(JailGet, "get <JAIL> datepattern", "shows the form of the log's dates"),
    row(JailGet, "get <JAIL> usedns", "shows what is done with names"),
    row(
        JailGet,
        "get <JAIL> banip [<SEP>|--with-time]",
        "lists the banned addresses, with SEP between them or with times",
    ),
    row(JailGet, "get <JAIL> maxretry", "shows how many failures lead to a ban"),
    row(
        JailGet,
        "get <JAIL> maxmatches",
        "shows how many log lines are kept for an address",
    ),
    row(JailGet, "get <JAIL> maxlines", "shows how many lines a rule may span"),
    row(JailGet, "get <JAIL> actions", "lists the actions"),
    row(
        JailGet,
        "get <JAIL> actionproperties <ACT>",
        "lists the properties of an action",
    ),
    row(
        JailGet,
        "get <JAIL> actionmethods <ACT>",
        "lists the methods of an action",
    ),
    row(
        JailGet,
        "get <JAIL> action <ACT> <PROPERTY>",
        "shows a property of an action",
    ),
];
