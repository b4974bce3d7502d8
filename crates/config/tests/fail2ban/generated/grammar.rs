//! Trees at random that use the whole language: most of them sound, some with faults.

use super::random::Random;
use super::text::Text;
use super::tree::{File, Tree};

const JAILS: [&str; 4] = ["ja", "jb", "jc", "j.d-4 x"];
/// What a filter's file and a jail both may set.
const RULES: &[&str] = &[
    "failregex",
    "ignoreregex",
    "prefregex",
    "datepattern",
    "journalmatch",
    "maxlines",
    "usedns",
];
/// Helper options; each refers to later ones only, so that there are circles by choice, not by chance.
pub(crate) const HELPERS: [&str; 6] = ["wa", "wb", "wc", "wd", "we", "wf"];

/// The tree of a seed.
pub(crate) fn tree(seed: u64) -> Tree {
    let mut random = Random::new(seed);
    let risk = if random.percent(25) { 4 } else { 0 };
    let mut grammar = Grammar {
        text: Text { random, risk },
        files: Vec::new(),
    };
    grammar.server();
    grammar.jails();
    for name in ["f1", "f2", "ja", "common"] {
        grammar.filter(name);
    }
    for name in ["a1", "a2"] {
        grammar.action(name);
    }
    for log in ["log/a.log", "log/b.log", "log/b2.txt", "log/.hidden.log"] {
        grammar.files.push(File::new(log));
    }
    let mut tree = Tree { files: grammar.files };
    for file in &mut tree.files {
        if grammar.text.random.percent(4) {
            file.line_end = "\r\n";
        }
    }
    if grammar.text.random.percent(8) {
        damage(&mut tree, &mut grammar.text.random);
    }
    tree
}

/// Puts one line somewhere that Fail2Ban cannot bear.
fn damage(tree: &mut Tree, random: &mut Random) {
    let at = random.below(tree.files.len());
    let file = &mut tree.files[at];
    if file.blocks.len() < 3 {
        return;
    }
    let at = 1 + random.below(file.blocks.len() - 1);
    let block = match random.below(4) {
        0 => vec!["no delimiter".to_owned()],
        1 => vec!["= no name".to_owned()],
        2 => vec![file.blocks[0][0].clone()],
        _ => file.blocks[at].clone(),
    };
    file.blocks.insert(at + 1, block);
}

struct Grammar {
    text: Text,
    files: Vec<File>,
}

impl Grammar {
    fn percent(&mut self, chance: usize) -> bool {
        self.text.random.percent(chance)
    }

    fn of<'a>(&mut self, several: &[&'a str]) -> &'a str {
        self.text.random.of(several)
    }

    fn option(&mut self, file: &mut File, name: &str, value: &str) {
        let block = self.text.option(name, value);
        file.add(&block);
    }

    /// An option that may not be there twice in a section.
    fn options(
        &mut self,
        file: &mut File,
        chance: usize,
        names: &[&str],
        mut value: impl FnMut(&mut Text, &str) -> String,
    ) {
        for name in names {
            if self.percent(chance) {
                let value = value(&mut self.text, name);
                self.option(file, name, &value);
            }
        }
    }

    fn server(&mut self) {
        for name in [
            "fail2ban.conf",
            "fail2ban.d/x.conf",
            "fail2ban.local",
            "fail2ban.d/y.local",
        ] {
            let mut file = File::new(name);
            if name == "fail2ban.conf" {
                for line in [
                    "[Definition]",
                    "loglevel = INFO",
                    "logtarget = /l",
                    "syslogsocket = auto",
                    "dbfile = None",
                    "dbmaxmatches = 10",
                    "dbpurgeage = 1d",
                    "allowipv6 = auto",
                ] {
                    file.add(line);
                }
            } else if self.percent(15) {
                file.add("[DEFAULT]");
                self.options(&mut file, 20, &["loglevel", "dbfile", "pidfile", "base"], Text::server);
                file.add("[Definition]");
                let names = [
                    "loglevel",
                    "logtarget",
                    "syslogsocket",
                    "socket",
                    "allowipv6",
                    "dbfile",
                    "dbmaxmatches",
                    "dbpurgeage",
                ];
                self.options(&mut file, 25, &names, Text::server);
                if self.percent(20) {
                    file.add("[Thread]\nstacksize = 64");
                }
            } else {
                continue;
            }
            self.files.push(file);
        }
    }

    fn jails(&mut self) {
        let mut file = File::new("jail.conf");
        let include = self.percent(35);
        if include {
            file.add("[INCLUDES]");
            file.add(self.text.random.of(&[
                "before = inc/b.conf",
                "before = inc/b.conf\n  nothing.conf",
                "before = inc/%(inc)s.conf",
            ]));
            if self.percent(60) {
                file.add("after = inc/a.conf\n\tinc/../inc/c.conf");
            }
        }
        file.add("[DEFAULT]");
        file.add("inc = b");
        // 1.0.2 does not know it, and we would turn to the journal.
        file.add("systemd_if_nologs = false");
        for line in [
            "backend = auto",
            "mode = normal",
            "port = 22",
            "protocol = tcp",
            "chain = <known/chain>",
            "lp = @DIR@/log/a.log",
        ] {
            file.add(line);
        }
        for (rank, name) in HELPERS.iter().enumerate() {
            let value = self.text.helper(rank, false);
            self.option(&mut file, name, &value);
        }
        self.jail_options(&mut file, 6, false);
        let count = 1 + self.text.random.below(JAILS.len());
        for jail in JAILS.iter().take(count) {
            file.add(&format!("[{jail}]"));
            let enabled = self.text.enabled();
            self.option(&mut file, "enabled", enabled);
            self.jail_options(&mut file, 25, true);
        }
        self.files.push(file);
        let mut names = vec!["jail.local", "jail.d/10.conf", "jail.d/9.conf", "jail.d/10.local"];
        if include {
            names.extend(["inc/b.conf", "inc/b.local", "inc/a.conf", "inc/a.local", "inc/c.conf"]);
        }
        for name in names {
            let likely = if name == "jail.local" || name == "inc/b.conf" {
                70
            } else {
                25
            };
            if self.percent(likely) {
                let file = self.jail_override(name, count);
                self.files.push(file);
            }
        }
    }

    fn jail_override(&mut self, name: &str, jails: usize) -> File {
        let mut file = File::new(name);
        if name == "inc/b.conf" && self.percent(30) {
            file.add("[INCLUDES]\nbefore = c.conf\n   b.conf");
        } else if name == "jail.local" && self.percent(10) {
            file.add("[INCLUDES]\nafter = jail.d/more.inc");
            self.files.push(File {
                blocks: vec![vec!["[ja]".to_owned()], vec!["maxretry = 77".to_owned()]],
                ..File::new("jail.d/more.inc")
            });
        }
        if self.percent(50) {
            file.add("[DEFAULT]");
            self.jail_options(&mut file, 5, false);
            for (rank, name) in HELPERS.iter().enumerate() {
                if self.percent(20) {
                    let value = self.text.helper(rank, false);
                    self.option(&mut file, name, &value);
                }
            }
        }
        for jail in JAILS.iter().take(jails) {
            if self.percent(50) {
                file.add(&format!("[{jail}]"));
                self.jail_options(&mut file, 10, true);
                if self.percent(15) {
                    let enabled = self.text.enabled();
                    self.option(&mut file, "enabled", enabled);
                }
                for (rank, name) in HELPERS.iter().enumerate() {
                    if self.percent(15) {
                        let value = self.text.helper(rank, true);
                        self.option(&mut file, name, &value);
                    }
                }
            }
        }
        file
    }

    fn jail_options(&mut self, file: &mut File, chance: usize, in_jail: bool) {
        if self.percent(if in_jail { 75 } else { 40 }) {
            let value = self.text.filter();
            self.option(file, "filter", &value);
        }
        if self.percent(if in_jail { 75 } else { 40 }) {
            let value = self.text.actions();
            self.option(file, "action", &value);
        }
        self.options(file, chance, RULES, |text, name| text.rule(name, in_jail, "%"));
        let names = [
            "backend",
            "logpath",
            "maxretry",
            "maxmatches",
            "findtime",
            "bantime",
            "bantime.increment",
            "bantime.factor",
            "bantime.formula",
            "bantime.multipliers",
            "bantime.maxtime",
            "bantime.rndtime",
            "bantime.overalljails",
            "ignorecommand",
            "ignoreself",
            "ignoreip",
            "ignorecache",
            "logtimezone",
            "logencoding",
            "skip_if_nologs",
            "port",
            "mode",
            "logtype",
        ];
        let names: Vec<&str> = names
            .into_iter()
            .filter(|name| in_jail || !matches!(*name, "backend" | "port" | "mode"))
            .collect();
        self.options(file, chance, &names, Text::jail);
    }

    /// A filter, with its `.local` and `.d` perhaps.
    fn filter(&mut self, name: &str) {
        let mut file = File::new(format!("filter.d/{name}.conf"));
        if name != "common" && self.percent(40) {
            file.add(self.text.random.of(&[
                "[INCLUDES]\nbefore = common.conf",
                "[INCLUDES]\nafter = common.conf",
                "[INCLUDES]\nbefore = common.conf\nafter = f2.conf",
            ]));
        }
        self.definition(&mut file, 60);
        self.files.push(file);
        for name in [format!("filter.d/{name}.local"), format!("filter.d/{name}.d/m.conf")] {
            if self.percent(20) {
                let mut file = File::new(name);
                self.definition(&mut file, 15);
                self.files.push(file);
            }
        }
    }

    fn definition(&mut self, file: &mut File, chance: usize) {
        if self.percent(15) {
            file.add("[DEFAULT]");
            let value = self.text.tagged(5, true);
            self.option(file, "xe", &value);
            if self.percent(30) {
                file.add("logtype = short");
            }
        }
        if self.percent(3) {
            return;
        }
        file.add("[Definition]");
        let whole = chance > 50;
        if whole {
            let rule = self.text.rule("failregex", false, "<");
            self.option(file, "failregex", &rule);
        }
        self.options(
            file,
            chance / 2,
            if whole { &RULES[1..] } else { RULES },
            |text, name| text.rule(name, !whole, "<"),
        );
        for (rank, helper) in ["xa", "xb", "xc", "xd", "xe"].into_iter().enumerate() {
            if whole || self.percent(chance) {
                let value = self.text.tagged(rank, whole);
                self.option(file, helper, &value);
            }
        }
        for helper in ["md-normal", "md-aggressive", "lt_file", "lt_journal"] {
            if self.percent(chance) {
                let value = self.text.tagged(4, whole);
                self.option(file, helper, &value);
            }
        }
        if self.percent(10) {
            file.add(
                self.text
                    .random
                    .of(&["logtype = file", "logtype = rfc5424", "mode = aggressive"]),
            );
        }
        self.parameters(file, chance);
    }

    /// `[Init]`, its conditions, and a section for `<section/option>`.
    fn parameters(&mut self, file: &mut File, chance: usize) {
        if self.percent(chance) {
            file.add(self.text.random.of(&["[Init]", "[Init]  ", "[Init] # parameters"]));
            for (rank, helper) in ["ya", "yb", "yc"].into_iter().enumerate() {
                if self.percent(70) {
                    let value = self.text.parameter(rank);
                    self.option(file, helper, &value);
                }
            }
            if self.percent(20) {
                file.add(self.text.random.of(&[
                    "mode = normal",
                    "chain = INPUT",
                    "name = default",
                    "timeout = 30",
                    "xb = init <yc>",
                    "maxlines = 3",
                ]));
            }
        }
        if self.percent(chance / 2) {
            file.add("[s_q]");
            let value = self.text.tagged(4, false);
            self.option(file, "sa", &value);
            file.add(self.text.random.of(&["sb = 2", "sb = <yc>", "SB: x", "sb = %(sa)s"]));
        }
    }

    /// An action, with its `.local` perhaps.
    fn action(&mut self, name: &str) {
        let mut file = File::new(format!("action.d/{name}.conf"));
        if name == "a1" && self.percent(40) {
            file.add("[INCLUDES]\nbefore = a2.conf");
        }
        self.action_definition(&mut file, 60);
        self.files.push(file);
        for name in [format!("action.d/{name}.local"), format!("action.d/{name}.d/m.conf")] {
            if self.percent(20) {
                let mut file = File::new(name);
                self.action_definition(&mut file, 15);
                self.files.push(file);
            }
        }
    }

    fn action_definition(&mut self, file: &mut File, chance: usize) {
        if self.percent(10) {
            file.add("[DEFAULT]\nxe = <yc> of all");
        }
        file.add("[Definition]");
        let names = [
            "actionban",
            "actionstart",
            "actionunban",
            "actionstop",
            "actionflush",
            "actionreload",
            "actioncheck",
            "actionrepair",
            "actionprolong",
            "actionreban",
        ];
        let whole = chance > 50;
        self.options(file, chance / 2, &names, |text, _| text.command(!whole));
        let flags = ["actionstart_on_demand", "actionrepair_on_unban", "norestored"];
        self.options(file, chance / 5, &flags, |text, _| text.truth().to_owned());
        for (rank, helper) in ["xa", "xb", "xc", "xd", "xe"].into_iter().enumerate() {
            if whole || self.percent(chance) {
                let value = self.text.tagged(rank, whole);
                self.option(file, helper, &value);
            }
        }
        self.parameters(file, chance);
        if self.percent(chance / 2) {
            file.add(self.of(&["[Init?family=inet6]", "[Init?family=inet4]"]));
            for helper in ["ca", "cb", "iptables"] {
                if self.percent(60) {
                    let value = self.text.parameter(2);
                    self.option(file, helper, &value);
                }
            }
        }
        if self.percent(5) {
            file.add("[Definition?family=inet6]\nactionban = six <ip>");
        }
    }
}
