//! What was typed after `fail2ban-regex`.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt};

/// What is to be done.
#[derive(Debug)]
pub(super) enum Request {
    Test(Box<Options>),
    /// Print this and be content.
    Say(String),
    /// Print this and fail: an argument is missing.
    Incomplete(String),
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
    pub(super) usedns: Option<String>,
    pub(super) maxlines: Option<u32>,
    pub(super) verbosity: u8,
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
  filename              a log file; a name that is no file is taken as a line itself
  string                one log line

REGEX:
  string                a failregex
  filter                the name of a filter, with options if wanted: sshd[mode=aggressive]
  filename              a filter file: /etc/fail2ban/filter.d/sshd.conf

IGNOREREGEX:
  string                an ignoreregex

Options:
  --version             print the version and exit
  -h, --help            print this text and exit
  -c, --config DIR      configuration directory (/etc/fail2ban, or the built-in one if there is none)
  -d, --datepattern PATTERN
                        how dates are written
  --timezone, --TZ ZONE time zone of dates that name none
  -e, --encoding NAME   encoding of the log: UTF-8 or latin1
  -r, --raw             names in the place of addresses stand for themselves
  --usedns MODE         names in the place of addresses: yes, warn, no or raw
  -L, --maxlines N      lines a rule may span; only 1 for now
  -m, --journalmatch M  for the systemd journal, which cannot be searched yet
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

/// Reads the words; an error is the text to complain with.
pub(super) fn parse(args: Vec<OsString>) -> Result<Request, String> {
    let mut options = Options {
        check_all: true,
        matched: Print::Never,
        ..Options::default()
    };
    let mut parser = Parser::from_args(args);
    let mut words = Vec::new();
    match read(&mut parser, &mut options, &mut words) {
        Ok(Some(text)) => return Ok(Request::Say(text)),
        Ok(None) => {}
        Err(lexopt::Error::UnexpectedOption(option)) => {
            return Err(format!("{USAGE}\n\nfail2ban-regex: error: no such option: {option}"));
        }
        Err(error) => return Err(format!("{USAGE}\n\nfail2ban-regex: error: {error}")),
    }
    let mut words = words.into_iter();
    let (Some(log), Some(regex)) = (words.next(), words.next()) else {
        return Ok(Request::Incomplete(format!(
            "{USAGE}\n{HELP}\nERROR: provide both <LOG> and <REGEX>."
        )));
    };
    options.log = log;
    options.regex = regex;
    options.ignoreregex = words.next();
    if words.next().is_some() {
        return Ok(Request::Incomplete(format!(
            "{USAGE}\n{HELP}\nERROR: provide at most three arguments."
        )));
    }
    Ok(Request::Test(Box::new(options)))
}

fn read(parser: &mut Parser, options: &mut Options, words: &mut Vec<String>) -> Result<Option<String>, lexopt::Error> {
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Value(word) => words.push(word.to_string_lossy().into_owned()),
            Arg::Short('h') | Arg::Long("help") => return Ok(Some(format!("{USAGE}\n{HELP}"))),
            Arg::Long("version") => return Ok(Some(format!("fail2ban-regex {}", crate::FAIL2BAN_VERSION))),
            Arg::Short('V') => return Ok(Some(crate::FAIL2BAN_VERSION.to_owned())),
            Arg::Short('c') | Arg::Long("config") => options.config = Some(text(parser)?),
            Arg::Short('d') | Arg::Long("datepattern") => options.datepattern = Some(text(parser)?),
            Arg::Long("timezone" | "TZ") => options.timezone = Some(text(parser)?),
            Arg::Short('e') | Arg::Long("encoding") => options.encoding = Some(text(parser)?),
            Arg::Short('r') | Arg::Long("raw") => options.usedns = Some("raw".into()),
            Arg::Long("usedns") => options.usedns = Some(text(parser)?),
            Arg::Short('L') | Arg::Long("maxlines") => options.maxlines = Some(parser.value()?.parse()?),
            // Without a journal to search and a log of our own these have nothing to act on.
            Arg::Short('m' | 'l') | Arg::Long("journalmatch" | "log-level") => drop(parser.value()?),
            Arg::Short('t') | Arg::Long("log-traceback" | "full-traceback") => {}
            Arg::Short('v') | Arg::Long("verbose") => options.verbosity = options.verbosity.saturating_add(1),
            Arg::Long("verbosity") => options.verbosity = parser.value()?.parse()?,
            Arg::Long("verbose-date" | "VD") => options.verbose_date = true,
            Arg::Short('D') | Arg::Long("debuggex") => options.debuggex = true,
            Arg::Long("no-check-all") => options.check_all = false,
            Arg::Short('o') | Arg::Long("out") => options.out = Some(text(parser)?),
            Arg::Short('i') | Arg::Long("invert") => options.invert = true,
            Arg::Long("print-no-missed") => options.missed = Print::Never,
            Arg::Long("print-no-ignored") => options.ignored = Print::Never,
            Arg::Long("print-all-matched") => options.matched = Print::All,
            Arg::Long("print-all-missed") => options.missed = Print::All,
            Arg::Long("print-all-ignored") => options.ignored = Print::All,
            other => return Err(other.unexpected()),
        }
    }
    Ok(None)
}

fn text(parser: &mut Parser) -> Result<String, lexopt::Error> {
    Ok(parser.value()?.to_string_lossy().into_owned())
}
