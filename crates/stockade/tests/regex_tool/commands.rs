//! Command lines of all kinds, run by both programs.

use std::path::Path;

use testkit::TempDir;

use crate::oracle::{Oracle, Said, ours};

const LOG: &str = "Nov 22 13:00:01 h sshd[1]: from 192.0.2.77
# a comment

Nov 22 13:00:02 h sshd[1]: from 192.0.2.77 x
nothing
Nov 22 13:00:03 h ign from 192.0.2.9
Nov 22 13:00:03 h from 2001:db8::1 and nothing else \r
half a line from 192.0.2.3";

/// Dates of many kinds, but none that depends on the clock.
const DATES: &str = "1795352403 from 1.0.0.2
1795352403.5 from 1.0.0.3
@4000000068a85c0912345678 from 1.0.0.4
2026-11-22T13:00:00Z from 1.0.0.5
2026-11-22T13:00:00.25 from 1.0.0.6
2026-11-22T13:00:00.25+02:00 from 1.0.0.7
22/Nov/2026:13:00:00 +0000 from 1.0.0.8
from 1.0.0.9 dateless
CET 2026-11-22 13:00:00 from 1.0.0.10
CET Nov 22 2026 13:00:00 from 1.0.0.11
xxx 2026-11-22 12:00:00 from 1.0.0.12
[1795352403] from 1.0.0.13
audit(1795352403.123:456) from 1.0.0.14
t=1795352403; from 1.0.0.15
1795352403123 from 1.0.0.16
1795352403123456 from 1.0.0.17
";

const WINDOW: &str = "2026-11-22 13:00:01 A 1
2026-11-22 13:00:02 noise
2026-11-22 13:00:03 B 1 from 1.1.1.1
2026-11-22 13:00:04 A 2
2026-11-22 13:00:05 x
2026-11-22 13:00:06 y
2026-11-22 13:00:07 B 2 from 1.1.1.2
2026-11-22 13:00:08 A 3
2026-11-22 13:00:09 B 3 from 1.1.1.3
";

/// A filter with rules that match side by side.
const TWO: &str = "[Definition]
failregex = from <HOST>
            h <F-USER>sshd</F-USER>\\[1\\]: from <ADDR>
ignoreregex = ign
datepattern = {^LN-BEG}
";

/// Its own `maxlines`, a `prefregex`, and what the tool does not take from a filter.
const MANY: &str = "[INCLUDES]
before = two.conf
[Definition]
prefregex = ^ h (?P<rest>.)<F-CONTENT>.*</F-CONTENT>$
failregex = from <HOST>
ignoreregex =
usedns = no
maxlines = 3
journalmatch = A=b + C=d
datepattern = %%b %%d %%H:%%M:%%S
              {EPOCH}
";

/// Sessions with everything that can happen in one.
const SESSIONS: &str = r"[Definition]
failregex = ^ <F-MLFID>id=\d+</F-MLFID>(?: <F-NOFAIL>soft</F-NOFAIL>)? fail <F-USER>\w*</F-USER> from <ADDR>$
            ^ <F-MLFID>id=\d+</F-MLFID> <F-MLFFORGET>kill</F-MLFFORGET> <F-USER>\w+</F-USER> from <ADDR>$
            ^ <F-MLFID>id=\d+</F-MLFID> <F-MLFGAINED>ok</F-MLFGAINED> <F-USER>\w+</F-USER>(?: from <ADDR>)?$
            ^ <F-MLFID>id=\d+</F-MLFID> kill <F-X>\w+</F-X> from
            ^ <F-MLFID>id=\d+</F-MLFID> <F-NOFAIL>both</F-NOFAIL> from <ADDR>
            ^ <F-MLFID>id=\d+</F-MLFID> both from <ADDR>
            ^ <F-MLFID>id=\d+</F-MLFID> pre
            ^ <F-MLFID>id=\d+</F-MLFID> <F-NOFAIL>pre</F-NOFAIL>(?: k=<F-K>\w+</F-K>)?
            ^ <F-MLFID>id=\d+</F-MLFID> who(?: <F-USER>\w+</F-USER>)?(?: k=<F-K>\w+</F-K>)?$
            ^ <F-MLFID>id=\d+</F-MLFID> alt <F-ALT_USER>\w*</F-ALT_USER> as <F-ID>\w+</F-ID> from <ADDR>$
";

/// Lines of several sessions each, by their numbers.
const SESSION_LINES: &[&str] = &[
    "1 fail a from 1.1.1.1",
    "1 fail a from 1.1.1.1",
    "1 soft fail a from 1.1.1.1",
    "1 soft fail b from 1.1.1.1",
    "2 kill a from 1.1.1.2",
    "2 kill a from 1.1.1.3",
    "3 fail a from 1.1.1.1",
    "3 kill a from 1.1.1.1",
    "3 who b",
    "4 ok a from 1.1.1.1",
    "4 who a",
    "4 ok b from 1.1.1.1",
    "4 ok b",
    "5 both from 1.1.1.1",
    "5 who x",
    "6 pre",
    "6 both from 1.1.1.4",
    "7 pre k=v",
    "7 who a k=w",
    "7 pre",
    "7 ok a",
    "7 fail  from 1.1.1.5",
    "7 who",
    "8 alt joe as me from 1.1.1.6",
    "8 who",
    "8 who eve k=1",
    "9 who a",
    "9 who b",
    "9 alt  as you from 2001:DB8::A",
    "9 who",
];

/// Groups that are put together from others.
const FIELDS: &str = r"[Definition]
failregex = ^ a(?: <F-TUPLE_USER>\w+</F-TUPLE_USER>)?(?: <F-TUPLE_USER2>\w+</F-TUPLE_USER2>)? from <HOST>$
            ^ b <F-USER>\w+</F-USER> <F-TUPLE_USER>\w+</F-TUPLE_USER> <F-TUPLE_USER1>\w+</F-TUPLE_USER1> from <HOST>$
            ^ c <F-TUPLE_ID>\w+</F-TUPLE_ID> <F-TUPLE_ID_2>\w+</F-TUPLE_ID_2> from <HOST>$
            ^ d <F-ID>\w+</F-ID> <F-TUPLE_ID>\w+</F-TUPLE_ID> from <HOST>$
            ^ e <F-ID>\S+</F-ID>(?: from <HOST>)?$
            ^ f(?: <F-NOFAIL>x</F-NOFAIL>)?(?: <F-MLFGAINED>y</F-MLFGAINED>)?(?: <F-MLFFORGET>z</F-MLFFORGET>)? from <HOST>$
            ^ i from <SUBNET>$
            ^ j <F-AA>\w*</F-AA> <F-ALT_AA1>\w*</F-ALT_AA1> <F-ALT_AA_2>\w*</F-ALT_AA_2> <F-ALT_AA>\w*</F-ALT_AA> from <HOST>$
            ^ k <F-TIME>\w*</F-TIME> <F-MSG>\w+</F-MSG> from <HOST>$
";

const FIELD_LINES: &[&str] = &[
    "a x y from 1.1.1.1",
    "a x from 1.1.1.1",
    "a from 1.1.1.1",
    "b u v w from 1.1.1.1",
    "c p q from 1.1.1.1",
    "d i j from 1.1.1.1",
    "e z from 1.1.1.1",
    "e it's",
    "e 1.1.1.1 from 1.1.1.1",
    "e 1.1.1.2 from ::ffff:1.2.3.4",
    "f from 1.1.1.1",
    "f x from 1.1.1.1",
    "f y from 1.1.1.1",
    "f z from 1.1.1.1",
    "i from 1.2.3.4/24",
    "i from [2001:DB8::A]",
    "i from 1.2.3.4/33",
    "i from 2001:db8::1/64",
    "j 0 1 2 3 from 1.1.1.1",
    "j  1 2 3 from 1.1.1.1",
    "j   2 3 from 1.1.1.1",
    "j    3 from 1.1.1.1",
    "j     from 1.1.1.1",
    "k a b from localhost",
];

const LINE: &str = "2026-11-22 13:00:01 h sshd[1]: Failed password for root from 192.0.2.77 port 22 ssh2";
const GAINED: &str = "2026-11-22 13:00:01 h sshd[1]: Accepted password for root from 192.0.2.77 port 22 ssh2";

/// LOG and REGEX in all their forms.
const SOURCES: &[&[&str]] = &[
    &["t.log", "from <HOST>"],
    &["./t.log", "from <HOST>", "ign"],
    &["nosuch.log", "from <HOST>"],
    &["/nonexistent/no.log", "from <HOST>"],
    &["", "from <HOST>"],
    &["conf", "from <HOST>"],
    &["-", "from <HOST>"],
    &["/dev/null", "from <HOST>"],
    &["half.log", "from <HOST>"],
    &["empty.log", "from <HOST>"],
    &[LINE, "from <HOST>"],
    &[
        "a\n# c\nfrom 1.2.3.4\r\n\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "from <HOST>",
    ],
    &[LINE, "sshd.conf"],
    &[LINE, "/etc/fail2ban/filter.d/sshd.conf"],
    &[LINE, "/etc/fail2ban/filter.d/sshd.conf[mode=aggressive]"],
    &[LINE, "sshd.conf[mode=aggressive, publickey=any]"],
    &[LINE, "sshd.conf[mode=bad]"],
    &[LINE, "sshd.conf[]"],
    &[LINE, "sshd.conf[mode=\"aggressive\", x=y z=q]"],
    &[GAINED, "sshd.conf"],
    &["t.log", "./conf/filter.d/two.conf"],
    &["t.log", "conf/filter.d/two.conf"],
    &["t.log", "two"],
    &["t.log", "./conf"],
    &["t.log", "conf/filter.d/two"],
    &["t.log", "filter.d/two.conf"],
    &["t.log", "./nothing.conf"],
    &["-c", "conf", "t.log", "two"],
    &["-c", "./conf/", "t.log", "two.conf"],
    &["-c", "conf", "t.log", "two[a=b, c='d e']"],
    &["-c", "conf", "t.log", "many"],
    &["-c", "conf", "t.log", "nosuch"],
    &["-c", "conf", "t.log", "nosuch[a=b]"],
    &["-c", "/nonexistent", "t.log", "two"],
    &["-c", "/nonexistent", "t.log", "from <HOST>"],
    &["-c", "conf", "t.log", "sessions", "nothing"],
    &["t.log", "from <HOST>", "./two"],
    &["t.log", "from <HOST>", "ign\nnothing"],
    &["t.log", "  from <HOST> "],
    &["t.log", " two "],
    &["t.log", "from[abc] <HOST>"],
    &["t.log", "from <HOST>[ ]"],
    &["t.log", "sshd [mode=aggressive]"],
];

/// What is wrong, in whatever way.
const FAULTS: &[&[&str]] = &[
    &[],
    &["t.log"],
    &["a", "b", "c", "d"],
    &["--nosuch", "a", "b"],
    &["-z", "a", "b"],
    &["-L", "x", "a", "b"],
    &["--maxlines=1.5", "a", "b"],
    &["--verbosity", "x", "a", "b"],
    &["--print-all", "t.log", "from <HOST>"],
    &["--verb", "t.log", "x"],
    &["--VD=1", "a", "b"],
    &["-o"],
    &["--out"],
    &["--print-no-missed", "--print-all-missed", "t.log"],
    &[
        "--print-no-missed",
        "--print-all-missed",
        "--print-no-ignored",
        "--print-all-ignored",
        "t.log",
        "x",
    ],
    &["-L", "-1", "-d", "%Q", "t.log", "from <HOST>"],
    &["--TZ", "no/zone", "t.log", "from <HOST>"],
    &["--TZ", "no/zone", "-d", "%Q", "t.log", "from <HOST>"],
    &["t.log", "no group"],
    &["t.log", ""],
    &["t.log", " "],
    &["t.log", "from <HOST>", ""],
    &["t.log", "from (x"],
    &["t.log", "*"],
    &["t.log", "from <HOST"],
    &["t.log", "from <F-X-Y>a</F-X-Y>"],
    &["t.log", "from <HOST>", "ign("],
    &["t.log", "from (?P<a>x)(?P<a>y) <HOST>"],
    &["t.log", "sshd[mode]"],
    &["t.log", "./two[mode]"],
    &["t.log", "nosuch[abc]"],
    &["t.log", "sshd[mode=aggressive"],
    &["-c", "conf", "t.log", "broken"],
    &["-o", "ip", "t.log", "no group"],
    &["-o", "ip", "--TZ", "bogus", "t.log", "from <HOST>"],
    &["-e", "klingon", "t.log", "from <HOST"],
    &["-e", "klingon", "nosuch.log", "from <HOST>"],
    &["-V", "--nosuch"],
    &["--nosuch", "-V"],
];

const OPTIONS: &[&[&str]] = &[
    &["-V"],
    &["--version"],
    &["--no-check", "-c", "conf", "t.log", "two"],
    &["t.log", "--", "from <HOST>", "-x"],
    &["t.log", "-v", "from <HOST>", "ign"],
    &["-vv", "t.log", "from <HOST>", "nothing here"],
    &["--verbosity=4", "-c", "conf", "t.log", "two"],
    &["--verbosity", "0x1", "t.log", "x <HOST>"],
    &["-v", "--verbosity", "0", "t.log", "from <HOST>"],
    &["-v", "-c", "conf", "t.log", "many"],
    &["--VD", "t.log", "from <HOST>"],
    &["-v", "--verbose-date", "dates.log", "from <HOST>"],
    &["-v", "--VD", "-d", "{^LN-BEG}", "dates.log", "from <HOST>"],
    &[
        "-v",
        "--VD",
        "-d",
        "{^LN-BEG}%Y\n{^LN-BEG}\n{DATE}\n{NONE}",
        "dates.log",
        "from <HOST>",
    ],
    &["-v", "--VD", "-d", "%Y-%m-%d %H", "dates.log", "from <HOST>"],
    &[
        "-v",
        "--VD",
        "-d",
        "%a %A %b %B %d %f %G %H %I %j %m %M %p %S %u %U %V %w %W %y %z %Z",
        "x",
        "from <HOST>",
    ],
    &[
        "-v",
        "--VD",
        "-d",
        "%Exy%Exm%Exd%ExH%ExM%ExS%ExZ%Exz$",
        "x",
        "from <HOST>",
    ],
    &[
        "-v",
        "--VD",
        "-d",
        "%c\n%x\n%X\nx %k\n%%b %d\n()**\nTAI64N\n{UNB}%Y\n^%Y(x)?",
        "x",
        "from <HOST>",
    ],
    &["-L", "0", "t.log", "from <HOST>"],
    &["-L", "1", "t.log", "from <HOST>"],
    &["-L", "5", "t.log", "x <HOST>"],
    &["-L", "6", "t.log", "x <HOST>"],
    &["-L", "99999999999", "t.log", "from <HOST>"],
    &["-D", "t.log", "from <HOST>", "ign"],
    &["-D", "--print-all-matched", "-c", "conf", "t.log", "two"],
    &["-D", "-L", "3", "t.log", "from <HOST>"],
    &["-m", "A=b", "t.log", "from <HOST>"],
    &["-e", "latin1", "--print-all-matched", "bytes.log", "from <HOST>"],
    &["-e", "utf-8", "--print-all-matched", "bytes.log", "from <HOST>"],
    &["--encoding=ascii", "--print-all-matched", "bytes.log", "from <HOST>"],
    &["-e", "cp1252", "--print-all-matched", "bytes.log", "from <HOST>"],
    &[
        "-e",
        "iso-8859-15",
        "-o",
        "row",
        "bytes.log",
        "<F-X>\\S+</F-X> from <HOST>",
    ],
    &["-e", "KOI8_R", "-o", "msg", "bytes.log", "from <HOST>"],
    &["-e", "utf-16", "--print-all-missed", "bytes.log", "from <HOST>"],
    &["-e", "utf-16le", "--print-all-matched", "wide.log", "from <HOST>"],
    &["-t", "t.log", "from <HOST>"],
    &[
        "--log-traceback",
        "--full-traceback",
        "-l",
        "critical",
        "t.log",
        "from <HOST>",
    ],
    &["-r", "-o", "row", "2026-11-22 13:00:01 from localhost", "from <HOST>"],
    &[
        "-r",
        "--usedns=no",
        "-o",
        "row",
        "2026-11-22 13:00:01 from localhost",
        "from <HOST>",
    ],
    &[
        "--usedns=warn",
        "-r",
        "-o",
        "row",
        "2026-11-22 13:00:01 from localhost",
        "from <HOST>",
    ],
    &[
        "--usedns=RAW",
        "-o",
        "row",
        "2026-11-22 13:00:01 from localhost",
        "from <HOST>",
    ],
    &[
        "--usedns=yes",
        "-o",
        "row",
        "2026-11-22 13:00:01 from localhost",
        "from <HOST>",
    ],
    &["--usedns", "no", "2026-11-22 13:00:01 from localhost", "from <HOST>"],
    &["--usedns", "no", "2026-11-22 13:00:01 from localhost", "from <DNS>"],
    &["--usedns", "maybe", "2026-11-22 13:00:01 from localhost", "from <HOST>"],
    &[
        "-v",
        "--print-all-matched",
        "2026-11-22 13:00:01 from no.such.name.invalid",
        "from <HOST>",
    ],
    &["-v", "-c", "conf", "2026-11-22 13:00:01 h xfrom localhost", "many"],
    &["--no-check-all", "t.log", "conf/filter.d/two.conf"],
    &[
        "--no-check-all",
        "-v",
        "--print-all-matched",
        "-c",
        "conf",
        "sessions.log",
        "sessions",
    ],
    &["-v", "--print-all-matched", "-c", "conf", "sessions.log", "sessions"],
    &["-v", "--print-all-ignored", "-c", "conf", "sessions.log", "sessions"],
    &["-v", "--print-all-matched", "-c", "conf", "fields.log", "fields"],
];

const PRINT: &[&[&str]] = &[
    &[
        "--print-all-matched",
        "--print-no-missed",
        "t.log",
        "from <HOST>",
        "ign",
    ],
    &["--print-no-ignored", "t.log", "from <HOST>", "ign"],
    &["many.log", "from <HOST>"],
    &["--print-all-missed", "many.log", "from <HOST>"],
    &["--print-all-matched", "many.log", "(?P<fid>missed)"],
    &["many.log", "x <HOST>|(?P<fid>missed)", "missed"],
    &["--print-all-ignored", "many.log", "x <HOST>|(?P<fid>missed)", "missed"],
    &["20.log", "from <HOST>"],
    &["19.log", "from <HOST>"],
    &["-L", "2", "19.log", "from <HOST>"],
    &["-L", "30", "many.log", "from <HOST>"],
    &["-L", "31", "many.log", "from <HOST>"],
];

/// `-d` and `--TZ`.
const PATTERNS: &[&[&str]] = &[
    &["-d", ""],
    &["-d", "%Y-%m-%d %H:%M:%S"],
    &["-d", "^%Y-%m-%d[ T]%H:%M:%S"],
    &["-d", "{^LN-BEG}"],
    &["-d", "{^ln-beg}"],
    &["-d", "{DEFAULT}"],
    &["-d", "{^LN-BEG}%Y-%m-%dT%H:%M:%S"],
    &["-d", "EPOCH"],
    &["-d", "{EPOCH}"],
    &["-d", "LEPOCH"],
    &["-d", "{NONE}"],
    &["-d", "^xxx {DATE}"],
    &["-d", "t={EPOCH};"],
    &["-d", "TAI64N"],
    &["-d", "()**"],
    &["-d", "{DATE}"],
    &["-d", "%Y-%m-%d\n%d/%b/%Y"],
    &["-d", "{UNB}%Y-%m-%d"],
    &["-d", "**%Y-%m-%d**"],
    &["-d", "(%Y-%m-%d) %H"],
    &["-d", "%%b"],
    &["-d", "x"],
    &["--TZ", "+0200"],
    &["--timezone=CET"],
    &["--TZ", "UTC-01:30"],
    &["--TZ", ""],
];

/// `-o`.
const TOKENS: &[&str] = &[
    "row",
    "id",
    "fid",
    "ip",
    "msg",
    "host",
    "ip4",
    "ip6",
    "dns",
    "matches",
    "time",
    "user",
    "users",
    "family",
    "failures",
    "mlfid",
    "ROW",
    "%s",
    "ip>",
    "<ip> <fid> <time>",
    "<ip>|<fid>|<F-ID>|<F-IP>|<F-IP4>|<F-TIME>|<failures>|<family>|<ip-rev>",
    "<F-USER>|<F-user>|<F-USERS>|<F-NONE>|<F-MLFID>|<F-K>|<F-A-B>|<F->",
    "<matches>",
    "<msg>",
    "<ip> <msg> <time>",
    "<bancount> <restored> <host> <id> <row> <nonsense> <ADDR> <banip>",
    "<raw-ticket>",
    "<F-MATCHES> <F-FAILURES>",
    "<F-*>",
    "a<br>b",
    "<<ip>>",
    "<a <ip>",
    "<ip",
    "row <ip>",
    "a\\n<ip>\\t",
    "x=%(ip)s <ip>",
];

fn world() -> TempDir {
    let dir = TempDir::new("regex-commands");
    dir.write("t.log", LOG);
    dir.write("dates.log", DATES);
    dir.write("window.log", WINDOW);
    dir.write("half.log", "2026-11-22 13:00:01 from 192.0.2.1");
    dir.write("empty.log", "");
    dir.write("nothing.conf", "[Definition]\nx = 1\n");
    dir.write("two", TWO);
    dir.write("conf/filter.d/two.conf", TWO);
    dir.write("conf/filter.d/many.conf", MANY);
    dir.write("conf/filter.d/sessions.conf", SESSIONS);
    dir.write("conf/filter.d/fields.conf", FIELDS);
    dir.write(
        "conf/filter.d/broken.conf",
        "[Definition]\nfailregex = from <HOST>\n    (x\n",
    );
    dir.write(
        "bytes.log",
        b"2026-11-22 13:00:01 \xe4\xfc from 1.2.3.4\n2026-11-22 13:00:02 \xc3\xa4 from 1.2.3.5\n",
    );
    let wide: Vec<u8> = "2026-11-22 13:00:01 ä from 1.2.3.4\n2026-11-22 13:00:02 from 1.2.3.5\n"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    dir.write("wide.log", wide);
    for (name, count) in [("many.log", 30), ("20.log", 20), ("19.log", 19)] {
        dir.write(name, (0..count).map(|n| format!("missed {n}\n")).collect::<String>());
    }
    let dated = |prefix: &str, lines: &[&str]| -> String {
        let lines = lines.iter().enumerate();
        lines
            .map(|(n, line)| format!("2026-11-22 13:00:{:02} {prefix}{line}\n", n + 1))
            .collect()
    };
    dir.write("sessions.log", dated("id=", SESSION_LINES));
    dir.write("fields.log", dated("", FIELD_LINES));
    dir
}

fn all() -> Vec<Vec<&'static str>> {
    let mut all: Vec<Vec<&str>> = [SOURCES, FAULTS, OPTIONS, PRINT]
        .iter()
        .flat_map(|list| list.iter().map(|words| words.to_vec()))
        .collect();
    for options in PATTERNS {
        for more in [&["-o", "row"][..], &["-v"]] {
            all.push([options, more, &["dates.log", "from <HOST>"]].concat());
        }
    }
    for token in TOKENS {
        for source in [
            &["t.log", "from <HOST>"][..],
            &[LINE, "/etc/fail2ban/filter.d/sshd.conf"],
            &["-c", "conf", "sessions.log", "sessions"],
            &["-c", "conf", "fields.log", "fields"],
            &["-L", "4", "window.log", "^ A (\\d+)<SKIPLINES> B \\1 from <HOST>"],
        ] {
            all.push([&["-o", token][..], source].concat());
        }
    }
    for lines in ["2", "3", "4", "9"] {
        for more in [&[][..], &["noise"]] {
            let rule = "^ A (\\d+)<SKIPLINES> B \\1 from <HOST>";
            all.push(
                [
                    &["-v", "-L", lines, "--print-all-matched", "window.log", rule][..],
                    more,
                ]
                .concat(),
            );
        }
    }
    all
}

#[test]
fn command_lines_of_all_kinds_give_what_fail2ban_gives() {
    let dir = world();
    let Some(mut oracle) = Oracle::start(dir.path()) else {
        return;
    };
    let all = all();
    let mut different = Vec::new();
    for words in &all {
        let (theirs, ours) = (masked(&oracle.run(words)), masked(&ours(words, dir.path())));
        if theirs != ours {
            different.push(format!(
                "{words:?}\n--- theirs: exit {}\n{}{}\n--- ours: exit {}\n{}{}",
                theirs.code, theirs.out, theirs.err, ours.code, ours.out, ours.err
            ));
        }
    }
    println!("{} of {} command lines equal", all.len() - different.len(), all.len());
    assert!(
        different.is_empty(),
        "{} differ:\n{}",
        different.len(),
        different.join("\n\n")
    );
}

/// An answer without what differs on purpose; see `docs/compat/DEVIATIONS.md`.
pub(crate) fn masked(said: &Said) -> Said {
    let mut out = Vec::new();
    for line in said.out.lines() {
        // The help text is our own, in the same place (D-127).
        if line.starts_with("Usage: ") {
            out.push("Usage".to_owned());
            break;
        }
        // Of the words for epochs we show the expression that we use, which is another one.
        if line.starts_with("|      # regex: ") && line.contains(r"\d{10,11}") {
            out.push("epoch".to_owned());
            continue;
        }
        if !line.starts_with("[processed in ") {
            out.push(crate::rows::without_now(&without_now(&crate::newer(line))));
        }
    }
    let mut out = out.join("\n");
    // The reason is Python's own there.
    if let Some(at) = out.find("(may be an invalid format or unescaped percent char): ") {
        out.truncate(at);
    }
    let err = said.err.lines().map(|line| {
        if line.starts_with("Usage: ") {
            "Usage".to_owned()
        } else {
            line.to_owned()
        }
    });
    Said {
        code: said.code,
        out: match crate::rows::sorted(&out).as_str() {
            "1.0.2" | "1.1.2.dev1" => "VERSION".to_owned(),
            "fail2ban-regex 1.0.2" | "fail2ban-regex 1.1.2.dev1" => "NAME AND VERSION".to_owned(),
            other => other.to_owned(),
        },
        err: err.collect::<Vec<_>>().join("\n"),
    }
}

/// A line of `-v` whose time is that of the search.
fn without_now(line: &str) -> String {
    let Some((id, time)) = line
        .strip_prefix("|      ")
        .and_then(|rest| rest.rsplit_once("  "))
        .filter(|(_, time)| time.len() > 20)
    else {
        return line.to_owned();
    };
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let recent = (0..60).any(|ago| {
        (&now - jiff::Span::new().seconds(ago))
            .strftime("%a %b %d %H:%M:%S %Y")
            .to_string()
            == time
    });
    if recent {
        format!("|      {id}  NOW")
    } else {
        line.to_owned()
    }
}

/// Where the real program ends in an error of Python: ours says what is wrong, why, and how to mend it.
#[test]
fn what_cannot_be_done_is_refused_with_reason_and_mend() {
    let dir = world();
    let cases: [(&[&str], &str); 4] = [
        (
            &["-e", "klingon", "t.log", "from <HOST>"],
            "ERROR: unknown encoding `klingon`\n  why: ",
        ),
        (&["systemd-journal[nosuch=1]", "from <HOST>"], "why: "),
        (&["-m", "abc", "systemd-journal", "from <HOST>"], "why: "),
        (
            &["-l", "nosuch", "t.log", "from <HOST>"],
            "ERROR: unknown log level `nosuch`\n  why: ",
        ),
    ];
    for (words, message) in cases {
        let said = ours(words, dir.path());
        assert!(said.out.contains(message) && said.out.contains("mend: "), "{said:?}");
        assert_eq!(said.code, 255, "{words:?}");
    }
}

pub(crate) fn path_text(path: &Path) -> &str {
    path.to_str().unwrap()
}
