//! What was typed after `fail2ban-regex`.

use std::ffi::OsString;

use super::words::{self, Found, Known};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Request {
    Test(Box<Options>),
    /// Print this and be content.
    Say(String),
    /// Print the help and complain: words are missing or contradict each other.
    Help(Vec<&'static str>),
}

/// Which lists of lines to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Print {
    Never,
    /// Up to twenty.
    #[default]
    Few,
    All,
}

/// The options, checked as far as they can be without the configuration.
#[derive(Debug, Default)]
pub(super) struct Options {
    pub(super) log: String,
    pub(super) regex: String,
    pub(super) ignoreregex: Option<String>,
    pub(super) config: Option<String>,
    pub(super) datepattern: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) encoding: Option<String>,
    pub(super) raw: bool,
    pub(super) usedns: Option<String>,
    /// As given; 0 is as good as none.
    pub(super) maxlines: i64,
    pub(super) journalmatch: Option<String>,
    pub(super) log_level: Option<String>,
    pub(super) verbosity: i64,
    pub(super) verbose_date: bool,
    pub(super) debuggex: bool,
    pub(super) check_all: bool,
    pub(super) out: Option<String>,
    pub(super) invert: bool,
    pub(super) matched: Print,
    pub(super) missed: Print,
    pub(super) ignored: Print,
}

const USAGE: &str = "Usage: fail2ban-regex [OPTIONS] <LOG> <REGEX> [IGNOREREGEX]";

const HELP: &str = "
Tries failregex rules on a log and reports what they match. Nobody is banned.

LOG:
  filename              a log file or named pipe; a name that is neither is taken as a line itself
  systemd-journal       the systemd journal, with options if wanted: systemd-journal[journalpath=/var/log/journal]
  string                one log line

REGEX:
  string                a failregex
  jail or filter        the name of a jail, else of a filter, with options if wanted: sshd[mode=aggressive]
  filename              a filter, whatever jails there are: sshd.conf, filter.d/sshd, /etc/fail2ban/filter.d/sshd.conf

IGNOREREGEX:
  string                an ignoreregex

Options:
  --version             print the version and exit
  -h, --help            print this text and exit
  -c, --config DIR      configuration directory (/etc/fail2ban, or the built-in one if there is none)
  -d, --datepattern PATTERN
                        how dates are written
  --timezone, --TZ ZONE time zone of dates that name none
  -e, --encoding NAME   encoding of the log, such as UTF-8 or latin1
  -r, --raw             names in the place of addresses stand for themselves
  --usedns MODE         names in the place of addresses: yes, warn, no or raw
  -L, --maxlines N      lines a rule may span
  -m, --journalmatch M  which entries of the journal, instead of what the filter says
  -l, --log-level LEVEL accepted for compatibility, without effect
  -V                    print the version number alone and exit
  -v, --verbose         also list every failure and rules without hits
  --verbosity N         the same as N times -v
  --verbose-date, --VD  also print the pattern of each date template
  -D, --debuggex        print links to debuggex.com beside the lines
  --no-check-all        stop at the first rule that matches a line
  -o, --out TOKEN       print this of each failure and nothing else: ip, id, fid, msg, row, ip4, ip6, dns, a field, or a
                        text with <ip>, <time>, <msg>, <F-NAME>
  -i, --invert          with -o: print the lines that no rule matches
  --print-no-missed     do not print missed lines
  --print-no-ignored    do not print ignored lines
  --print-all-matched   print all matched lines
  --print-all-missed    print all missed lines, however many
  --print-all-ignored   print all ignored lines, however many
  -t, --log-traceback, --full-traceback
                        accepted for compatibility, without effect
";

#[derive(Clone, Copy, Debug)]
enum Name {
    Version,
    Help,
    ShortVersion,
    Config,
    DatePattern,
    TimeZone,
    Encoding,
    Raw,
    UseDns,
    MaxLines,
    JournalMatch,
    LogLevel,
    Verbose,
    Verbosity,
    VerboseDate,
    Debuggex,
    NoCheckAll,
    Out,
    Invert,
    NoMissed,
    NoIgnored,
    AllMatched,
    AllMissed,
    AllIgnored,
    Traceback,
}

const fn flag(what: Name, short: char, long: &'static [&'static str]) -> Known<Name> {
    Known {
        what,
        short,
        long,
        takes_value: false,
    }
}

const fn valued(what: Name, short: char, long: &'static [&'static str]) -> Known<Name> {
    Known {
        what,
        short,
        long,
        takes_value: true,
    }
}

const KNOWN: &[Known<Name>] = &[
    flag(Name::Version, '\0', &["version"]),
    flag(Name::Help, 'h', &["help"]),
    flag(Name::ShortVersion, 'V', &[]),
    valued(Name::Config, 'c', &["config"]),
    valued(Name::DatePattern, 'd', &["datepattern"]),
    valued(Name::TimeZone, '\0', &["timezone", "TZ"]),
    valued(Name::Encoding, 'e', &["encoding"]),
    flag(Name::Raw, 'r', &["raw"]),
    valued(Name::UseDns, '\0', &["usedns"]),
    valued(Name::MaxLines, 'L', &["maxlines"]),
    valued(Name::JournalMatch, 'm', &["journalmatch"]),
    valued(Name::LogLevel, 'l', &["log-level"]),
    flag(Name::Verbose, 'v', &["verbose"]),
    valued(Name::Verbosity, '\0', &["verbosity"]),
    flag(Name::VerboseDate, '\0', &["verbose-date", "VD"]),
    flag(Name::Debuggex, 'D', &["debuggex"]),
    flag(Name::NoCheckAll, '\0', &["no-check-all"]),
    valued(Name::Out, 'o', &["out"]),
    flag(Name::Invert, 'i', &["invert"]),
    flag(Name::NoMissed, '\0', &["print-no-missed"]),
    flag(Name::NoIgnored, '\0', &["print-no-ignored"]),
    flag(Name::AllMatched, '\0', &["print-all-matched"]),
    flag(Name::AllMissed, '\0', &["print-all-missed"]),
    flag(Name::AllIgnored, '\0', &["print-all-ignored"]),
    flag(Name::Traceback, 't', &["log-traceback", "full-traceback"]),
];

/// The help text.
pub(super) fn help() -> String {
    format!("{USAGE}\n{HELP}")
}

/// Reads the words; an error is the text to complain with.
pub(super) fn parse(args: Vec<OsString>) -> Result<Request, String> {
    let mut found = Found {
        options: Vec::new(),
        words: Vec::new(),
    };
    let sorted = words::sort(args, KNOWN, &mut found);
    let complain = |error: String| format!("{USAGE}\n\nfail2ban-regex: error: {error}");
    let mut options = Options {
        check_all: true,
        matched: Print::Never,
        ..Options::default()
    };
    let (mut no_missed, mut no_ignored) = (false, false);
    // In order, as `--version` is answered even if something wrong follows.
    for given in found.options {
        let number = || {
            let (name, value) = (&given.name, &given.value);
            words::number(value).ok_or_else(|| complain(format!("option {name}: invalid integer value: '{value}'")))
        };
        match given.what {
            Name::Version => {
                return Ok(Request::Say(format!("fail2ban-regex {}", crate::FAIL2BAN_VERSION)));
            }
            Name::Help => return Ok(Request::Say(help())),
            Name::ShortVersion => return Ok(Request::Say(crate::FAIL2BAN_VERSION.to_owned())),
            Name::Config => options.config = Some(given.value),
            Name::DatePattern => options.datepattern = Some(given.value).filter(|pattern| !pattern.is_empty()),
            Name::TimeZone => options.timezone = Some(given.value).filter(|zone| !zone.is_empty()),
            Name::Encoding => options.encoding = Some(given.value),
            Name::Raw => options.raw = true,
            Name::UseDns => options.usedns = Some(given.value),
            Name::MaxLines => options.maxlines = number()?,
            Name::JournalMatch => options.journalmatch = Some(given.value),
            Name::LogLevel => options.log_level = Some(given.value),
            Name::Verbose => options.verbosity = options.verbosity.saturating_add(1),
            Name::Verbosity => options.verbosity = number()?,
            Name::VerboseDate => options.verbose_date = true,
            Name::Debuggex => options.debuggex = true,
            Name::NoCheckAll => options.check_all = false,
            Name::Out => options.out = Some(given.value).filter(|token| !token.is_empty()),
            Name::Invert => options.invert = true,
            Name::NoMissed => no_missed = true,
            Name::NoIgnored => no_ignored = true,
            Name::AllMatched => options.matched = Print::All,
            Name::AllMissed => options.missed = Print::All,
            Name::AllIgnored => options.ignored = Print::All,
            // There is no Python here whose calls could be traced.
            Name::Traceback => {}
        }
    }
    sorted.map_err(complain)?;
    let mut faults = Vec::new();
    if no_missed && options.missed == Print::All {
        faults.push("--print-no-missed and --print-all-missed are mutually exclusive.");
    }
    if no_ignored && options.ignored == Print::All {
        faults.push("--print-no-ignored and --print-all-ignored are mutually exclusive.");
    }
    if no_missed {
        options.missed = Print::Never;
    }
    if no_ignored {
        options.ignored = Print::Never;
    }
    let mut words = found.words.into_iter();
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(log), Some(regex), ignoreregex, None) => {
            options.log = log;
            options.regex = regex;
            options.ignoreregex = ignoreregex;
        }
        _ => faults.push("provide both <LOG> and <REGEX>."),
    }
    Ok(if faults.is_empty() {
        Request::Test(Box::new(options))
    } else {
        Request::Help(faults)
    })
}
