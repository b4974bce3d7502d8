//! Values at random, and how an option is written down.

use super::grammar::HELPERS;
use super::random::Random;

/// Makes values; `risk` is the chance in a hundred that a piece is faulty.
pub(crate) struct Text {
    pub(crate) random: Random,
    pub(crate) risk: usize,
}

impl Text {
    fn of<'a>(&mut self, several: &[&'a str]) -> &'a str {
        self.random.of(several)
    }

    fn percent(&mut self, chance: usize) -> bool {
        self.random.percent(chance)
    }

    fn risky(&mut self) -> bool {
        let risk = self.risk;
        self.percent(risk)
    }

    /// A sound piece, or with some risk a faulty one.
    fn good_or<'a>(&mut self, good: &[&'a str], bad: &[&'a str]) -> &'a str {
        if self.risky() { self.of(bad) } else { self.of(good) }
    }

    /// An option as it is written in a file.
    pub(crate) fn option(&mut self, name: &str, value: &str) -> String {
        let name = if self.percent(4) {
            name.to_uppercase()
        } else {
            name.to_owned()
        };
        let delimiter = self.of(&[" = ", " = ", " = ", "=", ": ", " : ", "  =\t"]);
        let mut lines = value.split('\n');
        let mut out = format!("{name}{delimiter}{}", lines.next().unwrap_or_default());
        for line in lines {
            if self.percent(6) {
                out.push_str(self.of(&["\n", "\n# comment", "\n   ; comment", "\n   # comment = 1", "\n\n\n"]));
            }
            out.push('\n');
            out.push_str(self.of(&["  ", " ", "\t", "          "]));
            out.push_str(line);
        }
        if self.percent(5) {
            out.push_str(self.of(&[
                " ; inline",
                "  ",
                " # data",
                "\t;x",
                "\n\n# after\n",
                ";data",
                "\n",
                "\n;x\n  # y",
            ]));
        }
        out
    }

    fn word(&mut self) -> &'static str {
        self.of(&[
            "one", "two", "a-b", "x=y", "\\d+", "\"q\"", "it's", "[qa]", "ü", "100%%", "a,b", "#h", "(?:x|y)", "^",
            "$", "<", "a>b", "\\", "{0}",
        ])
    }

    /// A reference from option `rank` to a later one.
    fn reference(&mut self, rank: usize, in_jail: bool) -> String {
        let later =
            |rank: usize, random: &mut Random| HELPERS[(rank + 1 + random.below(HELPERS.len())).min(HELPERS.len() - 1)];
        if rank + 1 >= HELPERS.len() {
            return self.of(&["%(__name__)s", "%(fail2ban_version)s", "end"]).to_owned();
        }
        let name = later(rank, &mut self.random);
        if self.risky() {
            return self
                .of(&[
                    "%(nope)s",
                    "%(wa)s",
                    "%(nosuch/wa)s",
                    "%(wa",
                    "%",
                    "%(wf)d",
                    "%()s",
                    "%(known/nope)s",
                ])
                .to_owned();
        }
        match self.random.below(if in_jail { 10 } else { 7 }) {
            0..=3 => format!("%({name})s"),
            4 | 5 => format!("%(default/{name})s"),
            6 => self
                .of(&[
                    "%(__name__)s",
                    "%(fail2ban_version)s",
                    "%(fail2ban_confpath)s",
                    "%(port)s",
                ])
                .to_owned(),
            7 => format!("%(ja/{name})s"),
            8 => format!("%(known/{name})s"),
            _ => format!("%({})s", name.to_uppercase()),
        }
    }

    /// The value of a jail's helper.
    pub(crate) fn helper(&mut self, rank: usize, in_jail: bool) -> String {
        let mut out = String::new();
        if in_jail && self.percent(30) {
            out = format!("%(known/{})s", HELPERS[rank]);
        }
        for _ in 0..self.random.below(4) {
            out.push_str(self.of(&["", " ", " ", "\n"]));
            if self.percent(35) {
                out.push_str(&self.reference(rank, in_jail));
            } else {
                out.push_str(self.word());
            }
        }
        out
    }

    /// A tag that helper `rank` of a filter or an action may have in its value.
    fn tag(&mut self, rank: usize) -> String {
        let names = ["xa", "xb", "xc", "xd", "xe"];
        if self.risky() {
            return self
                .of(&[
                    "<xa>",
                    "%(yz)s",
                    "%(nope)s",
                    "<known/xa>",
                    "<s_<xa>/sa>",
                    "%(known/xb)s",
                ])
                .to_owned();
        }
        if rank < 4 && self.percent(50) {
            let name = names[rank + 1 + self.random.below(4 - rank)];
            return match self.random.below(4) {
                0 => format!("%({name})s"),
                1 => format!("<{}>", name.to_uppercase()),
                _ => format!("<{name}>"),
            };
        }
        if rank < 3 && self.percent(30) {
            return self
                .of(&[
                    "<md-<mode>>",
                    "<lt_<logtype>>",
                    "<s_q/sa>",
                    "<s_<yb>/sa>",
                    "<s_<yb>/nope>",
                    "<nosec/sa>",
                    if rank == 0 { "<x<yb>>" } else { "<yb>" },
                ])
                .to_owned();
        }
        self.of(&[
            "<ya>",
            "<yb>",
            "<yc>",
            "<HOST>",
            "<nope>",
            "<known/ya>",
            "<Init/yb>",
            "<Init/ya>",
            "<F-USER>",
            "<ip>",
            "<matches>",
            "<ca>",
            "<name>",
            "<a b>",
            "<s_q/sb>",
            "<port>",
            "<Definition/xe>",
            "<bantime>",
        ])
        .to_owned()
    }

    /// The value of a helper of a filter or action; `%(…)s` finds all of them only in a whole file.
    pub(crate) fn tagged(&mut self, rank: usize, whole: bool) -> String {
        let mut out = String::new();
        if !whole && self.percent(30) {
            let name = ["xa", "xb", "xc", "xd", "xe"][rank.min(4)];
            out = if self.percent(50) {
                format!("%(known/{name})s")
            } else {
                format!("<known/{name}>")
            };
        }
        for _ in 0..self.random.below(4) {
            out.push_str(self.of(&["", " ", " ", "", "\n"]));
            if self.percent(45) {
                out.push_str(&self.tag(rank));
            } else {
                out.push_str(self.word());
            }
        }
        out
    }

    /// A value of `[Init]`.
    pub(crate) fn parameter(&mut self, rank: usize) -> String {
        if rank == 1 {
            return self.of(&["q", "b", "q", "c", ""]).to_owned();
        }
        if rank == 0 && self.percent(30) {
            return self
                .of(&["<yc>", "<yb><yc>", "y <nope>", "%(yc)s", "<known/yc>", "<name>"])
                .to_owned();
        }
        self.of(&[
            "1",
            "",
            "p q",
            "REJECT --with x",
            "y,z",
            "\"y\"",
            "<lockingopt>",
            "5%%",
            "two\nlines",
            "<actname>",
        ])
        .to_owned()
    }

    /// An action's command.
    pub(crate) fn command(&mut self, extends: bool) -> String {
        let mut out = if extends && self.percent(40) {
            self.of(&[
                "%(known/actionban)s",
                "<known/actionban>",
                "<known/actionstart>",
                "%(xb)s",
            ])
            .to_owned()
        } else {
            String::new()
        };
        for _ in 0..=self.random.below(4) {
            out.push_str(self.of(&[" ", " ", "\n", ""]));
            if self.percent(60) {
                let tag = if self.percent(40) {
                    self.of(&[
                        "<ca>",
                        "<cb>",
                        "<iptables>",
                        "<ip>",
                        "<name>",
                        "<actname>",
                        "<port>",
                        "<chain>",
                        "<timeout>",
                        "<known/ya>",
                        "<xa>",
                    ])
                    .to_owned()
                } else {
                    self.tag(0)
                };
                out.push_str(&tag);
            } else {
                out.push_str(self.of(&[
                    "echo",
                    "iptables -A",
                    "printf %%b",
                    "'a b'",
                    "| x",
                    "done",
                    "&& true",
                    "for i in 1 2; do",
                    "$(date)",
                    ">/dev/null",
                ]));
            }
        }
        out
    }

    pub(crate) fn truth(&mut self) -> &'static str {
        self.of(&[
            "true", "false", "1", "0", "yes", "no", "On", "off", "TRUE", "y", "maybe", "enabled", "2", "",
        ])
    }

    pub(crate) fn enabled(&mut self) -> &'static str {
        self.of(&[
            "true", "true", "true", "true", "1", "yes", "On", "TRUE", "y", "%(wf)s", "false", "true ; x",
        ])
    }

    /// An option of a filter, in a jail (references) or in its file (tags).
    pub(crate) fn rule(&mut self, name: &str, extends: bool, kind: &str) -> String {
        match name {
            "failregex" | "ignoreregex" | "prefregex" => {
                let mut out = String::new();
                if extends && self.percent(if kind == "%" { 12 } else { 30 }) {
                    let name = if kind == "%" { "failregex" } else { name };
                    let name = self.of(&["failregex", "xa", name]);
                    out = format!("%(known/{name})s\n");
                }
                let lines = if name == "prefregex" {
                    1
                } else {
                    1 + self.random.below(3)
                };
                for line in 0..lines {
                    if line > 0 {
                        out.push('\n');
                    }
                    let middle = match (kind, self.random.below(3)) {
                        ("%", 0) => self.reference(0, true),
                        ("%", _) => self.word().to_owned(),
                        (_, 0) => self.word().to_owned(),
                        _ => self.tag(0),
                    };
                    out.push_str(self.of(&["^", "", "^\\s*", "<xa> "]));
                    out.push_str(&middle);
                    out.push_str(self.of(&[" <HOST>$", "<ADDR>", " from <HOST> ", "<F-ID>x</F-ID>", ""]));
                }
                out
            }
            "datepattern" => self
                .of(&[
                    "%%Y-%%m-%%d %%H:%%M:%%S",
                    "{^LN-BEG}",
                    "^%%d",
                    "",
                    "{NONE}",
                    "EPOCH <xc>",
                ])
                .to_owned(),
            "journalmatch" => self
                .good_or(
                    &[
                        "_SYSTEMD_UNIT=a.service + _COMM=b",
                        "A='x y' B=\"2 3\"",
                        "A=1\nB=2",
                        "",
                        "A=1 \\+ +",
                        "#A=1",
                        "A=%(wf)s",
                        "_COMM=<xd>",
                    ],
                    &["A='x", "A=\\"],
                )
                .replace("%(wf)s", if kind == "%" { "%(wf)s" } else { "<yc>" }),
            "maxlines" => self.good_or(&["1", "2", " 10", "07"], &["x", ""]).to_owned(),
            _ => self.of(&["yes", "no", "warn", "raw", "", "<yc>"]).to_owned(),
        }
    }

    /// An option of the server.
    pub(crate) fn server(&mut self, name: &str) -> String {
        match name {
            "loglevel" => self.of(&["INFO", "debug", "7", "NOTICE", "%(known/loglevel)s"]),
            "logtarget" => self.of(&[
                "STDERR",
                "/var/log/x.log",
                "SYSLOG[facility=daemon, format=\"%%(message)s\"]",
                "/%(loglevel)s",
                "SYSTEMD-JOURNAL",
            ]),
            "syslogsocket" => self.of(&["auto", "/dev/log", ""]),
            "allowipv6" => self.of(&["auto", "yes", "no", "maybe", ""]),
            "dbfile" => self.of(&["None", ":memory:", "/x/y z.sqlite3", "", "/%(loglevel)s"]),
            "dbmaxmatches" => self.of(&["0", "100", " 5", "07"]),
            "dbpurgeage" => self.of(&["1d", "86400", "1w 2d", "-1"]),
            _ => "/base",
        }
        .to_owned()
    }

    /// An option of a jail.
    pub(crate) fn jail(&mut self, name: &str) -> String {
        match name {
            "backend" => self.of(&[
                "auto",
                "pyinotify",
                "polling",
                "systemd",
                "systemd[journalflags=1]",
                "systemd[journalpath=\"/a, b\"]",
                "%(wf)s",
                "",
                "gamin",
                "Systemd",
            ]),
            "logpath" => self.of(&[
                "@DIR@/log/a.log",
                "@DIR@/log/*.log tail",
                "@DIR@/log/b.log\n@DIR@/log/a.log head\n\n@DIR@/log/a.log tail",
                "%(lp)s",
                "@DIR@/log/none.log",
                "@DIR@/log/b[2x].txt",
                "@DIR@/log/?.log tail",
                "@DIR@/log/a.log middle",
                "",
                "@DIR@/l*/b.log",
                "%(lp)s tail\n@DIR@/log/[!a].log",
                "@DIR@/log/.h* head",
            ]),
            "maxretry" | "maxmatches" => self.good_or(
                &["5", "3", "07", "+2", "-1", "%(port)s", "1_0"],
                &["abc", "1.5", "", "%(wa)s"],
            ),
            "findtime" | "bantime" | "bantime.maxtime" | "bantime.rndtime" => self.good_or(
                &[
                    "10m",
                    "1h",
                    "600",
                    "-1",
                    "1d 12h",
                    "1h30",
                    "5w",
                    "1year-6mo",
                    "%(port)s",
                ],
                &["1hr", "abc", "", "forever", "1d,2h"],
            ),
            "bantime.increment" | "bantime.overalljails" | "ignoreself" | "skip_if_nologs" => {
                if name == "skip_if_nologs" {
                    self.of(&["false", "no", ""])
                } else {
                    self.truth()
                }
            }
            "bantime.factor" => self.of(&["1", "2.885385", "", "%(port)s"]),
            "bantime.formula" => self.of(&[
                "ban.Time * (1<<(ban.Count if ban.Count<20 else 20)) * banFactor",
                "",
                "1 ; 2",
            ]),
            "bantime.multipliers" => self.of(&["1 2 4 8", "1,5", ""]),
            "ignorecommand" => self.of(&["", "/x/y <ip>", "/bin/test '%%' <ip>", "%(wf)s"]),
            "ignoreip" => self.of(&[
                "127.0.0.1/8 ::1",
                "192.0.2.1,192.0.2.2 , a.example",
                "1.2.3.4\n  ::1 # x\n2001:db8::/32",
                "",
                "file:/x",
                "%(wf)s",
                " , ",
            ]),
            "ignorecache" => self.of(&["key=\"<ip>\", max-count=100, max-time=5m", ""]),
            "logtimezone" => self.of(&["UTC+0200", "Europe/Berlin", ""]),
            "logencoding" => self.of(&["auto", "utf-8", "ascii", ""]),
            "mode" => self.of(&["normal", "aggressive", "none", "a b", "x\"y"]),
            "logtype" => self.of(&["short", "file"]),
            "port" => self.of(&["ssh", "80,443", "\"1,2\"", "0:65535", "2222"]),
            _ => self.word(),
        }
        .to_owned()
    }

    /// `name[options]`, with white space only where it may stand.
    fn with_options(&mut self, name: &str, values: &[&str]) -> String {
        let mut out = name.to_owned();
        if self.percent(20) {
            return out;
        }
        if self.risky() {
            return out
                + self.of(&[
                    "[qa]",
                    "[=1]",
                    "[qa=\"x\"b=2]",
                    "[qa=x]y]",
                    "[qa=1",
                    "[qa=\"x]",
                    "[qa=1 ,b]",
                    "]",
                    "[",
                    " [xa=1]",
                ]);
        }
        out.push('[');
        for index in 0..self.random.below(4) {
            if index > 0 {
                out.push_str(self.of(&[", ", ",", "][", ",  "]));
            }
            let option = self.of(&[
                "xa", "xb", "ya", "yb", "mode", "nn", "n.n-1_x", "Xf", "port", "logtype", "xf", "name", "actname",
                "chain",
            ]);
            let option = if values.is_empty() { option } else { self.of(values) };
            let value = self.of(&[
                "1",
                "\"a, b\"",
                "'q'",
                "\"x]y\"",
                "'it\"s'",
                " spaced ",
                "\" spaced \"",
                "b=c",
                "",
                "\"\"",
                "%(wd)s",
                "\"%(wc)s\"",
                "%(mode)s",
                "\"<known/xb>\"",
                "<yc>",
                "%(__name__)s",
                "%(__name__)s-x",
                "\"%(port)s\"",
                "'%(protocol)s'",
                "\"<ip>\"",
                "aggressive",
                "it's",
            ]);
            out.extend([option, "=", value]);
        }
        out.push_str(self.of(&["]", "]", ",]"]));
        out
    }

    /// A jail's `filter`.
    pub(crate) fn filter(&mut self) -> String {
        let name = self.good_or(
            &["f1", "f2", "f1", "f2", "%(__name__)s", "", "common"],
            &["nope", "f1 f2", "f1.conf", "../filter.d/f1"],
        );
        if name.is_empty() || name == "%(__name__)s" {
            return if self.percent(30) {
                "ja".to_owned()
            } else {
                name.replace("%(__name__)s", "f1")
            };
        }
        let chosen = self.of(&["mode", "xa", "xb", "ya", "yb", "nn"]);
        if self.percent(50) {
            self.with_options(name, &[])
        } else {
            self.with_options(name, &[chosen, "mode", "ya"])
        }
    }

    /// A jail's `action`.
    pub(crate) fn actions(&mut self) -> String {
        let mut out = String::new();
        for index in 0..self.random.below(4) {
            if index > 0 {
                out.push_str(self.of(&["\n", " ", "\n", "  "]));
            }
            let name = self.good_or(&["a1", "a2"], &["nope", "a1]"]);
            let item = self.with_options(name, &[]);
            out.push_str(&item);
        }
        out
    }
}
