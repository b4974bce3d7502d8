//! `fail2ban.conf`: the server's own settings.

use crate::Overrides;
use crate::diagnostic::{Diagnostic, Place};
use crate::interpolate::View;
use crate::merge::{Merged, Tree};
use crate::setting::whole;

/// The server's settings, as text where the server reads them as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerConfig {
    /// `loglevel`
    pub loglevel: String,
    /// `logtarget`, with its options
    pub logtarget: String,
    /// `syslogsocket`
    pub syslogsocket: String,
    /// `socket`
    pub socket: String,
    /// `pidfile`
    pub pidfile: String,
    /// `allowipv6`
    pub allowipv6: String,
    /// `dbfile`; `None` is the text that turns the database off
    pub dbfile: String,
    /// `dbmaxmatches`, if set
    pub dbmaxmatches: Option<i64>,
    /// `dbpurgeage`
    pub dbpurgeage: String,
    /// `[Thread] stacksize`, if set
    pub stacksize: Option<i64>,
}

impl Default for ServerConfig {
    /// What holds where nothing is set.
    fn default() -> Self {
        let text = str::to_owned;
        Self {
            loglevel: text("INFO"),
            logtarget: text("/var/log/fail2ban.log"),
            syslogsocket: text("auto"),
            socket: text("/var/run/fail2ban/fail2ban.sock"),
            pidfile: text("/var/run/fail2ban/fail2ban.pid"),
            allowipv6: text("auto"),
            dbfile: text("/var/lib/fail2ban/fail2ban.sqlite3"),
            dbmaxmatches: None,
            dbpurgeage: text("1d"),
            stacksize: None,
        }
    }
}

/// Whether `loglevel` can be this: a name in any case, or a number.
#[must_use]
pub fn is_loglevel(text: &str) -> bool {
    let names = [
        "CRITICAL",
        "FATAL",
        "ERROR",
        "WARNING",
        "WARN",
        "NOTICE",
        "INFO",
        "DEBUG",
        "TRACEDEBUG",
        "HEAVYDEBUG",
        "MSG",
        "NOTSET",
    ];
    let number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    number || names.iter().any(|name| name.eq_ignore_ascii_case(text))
}

/// The options of `[Definition]`; `[Thread]` has `stacksize`.
pub(crate) const OPTIONS: &[&str] = &[
    "loglevel",
    "logtarget",
    "syslogsocket",
    "socket",
    "pidfile",
    "allowipv6",
    "dbfile",
    "dbmaxmatches",
    "dbpurgeage",
];

/// Reads `fail2ban.conf` and what belongs to it; `overrides` come from the command line.
pub(crate) fn read(
    tree: &Tree,
    presets: &[(&str, &str)],
    overrides: &Overrides,
    findings: &mut Vec<Diagnostic>,
) -> ServerConfig {
    let mut server = ServerConfig::default();
    if let Some(merged) = tree.read("fail2ban", presets, findings) {
        from_files(&merged, &mut server, findings);
    }
    for (value, place) in [
        (&overrides.loglevel, &mut server.loglevel),
        (&overrides.logtarget, &mut server.logtarget),
        (&overrides.syslogsocket, &mut server.syslogsocket),
        (&overrides.socket, &mut server.socket),
        (&overrides.pidfile, &mut server.pidfile),
    ] {
        if let Some(value) = value {
            place.clone_from(value);
        }
    }
    server
}

fn from_files(merged: &Merged, server: &mut ServerConfig, findings: &mut Vec<Diagnostic>) {
    let view = View::new(merged, "Definition");
    let mut text = |name: &str| match view.get(name) {
        Ok(value) => value,
        Err(error) => {
            findings.push(error.diagnostic(view.place(name)));
            None
        }
    };
    for (name, place) in [
        ("loglevel", &mut server.loglevel),
        ("logtarget", &mut server.logtarget),
        ("syslogsocket", &mut server.syslogsocket),
        ("socket", &mut server.socket),
        ("pidfile", &mut server.pidfile),
        ("allowipv6", &mut server.allowipv6),
        ("dbfile", &mut server.dbfile),
        ("dbpurgeage", &mut server.dbpurgeage),
    ] {
        if let Some(value) = text(name) {
            *place = value;
        }
    }
    let dbmaxmatches = text("dbmaxmatches");
    if let Some(value) = dbmaxmatches {
        server.dbmaxmatches = number("dbmaxmatches", &value, view.place("dbmaxmatches"), findings);
    }
    if !is_loglevel(&server.loglevel) {
        let what = format!("`loglevel` cannot be `{}`; INFO is used", server.loglevel);
        findings.push(
            Diagnostic::error(what, view.place("loglevel"))
                .about(&server.loglevel)
                .why("Fail2Ban refuses the whole configuration")
                .mend("loglevel = INFO"),
        );
        "INFO".clone_into(&mut server.loglevel);
    }
    if let Err(error) = crate::duration::parse(&server.dbpurgeage) {
        let what = format!("`dbpurgeage` is not a time: {error}");
        findings.push(
            Diagnostic::error(what, view.place("dbpurgeage"))
                .about(&server.dbpurgeage)
                .why("bans older than this leave the database")
                .mend(crate::duration::MEND),
        );
        "1d".clone_into(&mut server.dbpurgeage);
    }
    let thread = View::new(merged, "Thread");
    if merged.section("Thread").is_some()
        && let Ok(Some(value)) = thread.get("stacksize")
    {
        server.stacksize = number("stacksize", &value, thread.place("stacksize"), findings);
    }
}

fn number(name: &str, value: &str, place: Place, findings: &mut Vec<Diagnostic>) -> Option<i64> {
    let parsed = whole(value);
    if parsed.is_none() {
        let what = format!("`{name}` must be a whole number, not `{value}`; its default is used");
        findings.push(Diagnostic::error(what, place).about(value).mend(format!("{name} = 10")));
    }
    parsed
}
