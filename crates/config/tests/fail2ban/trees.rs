//! Small configurations, each for one rule of the language, and what Fail2Ban makes of them: `testdata/config/*.trees`.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::common::{Directory, fail2ban_is_here, ours, theirs};

/// The server's settings of a tree that has none of its own.
const FAIL2BAN_CONF: &str = "[Definition]\nloglevel = INFO\nlogtarget = /l\nsyslogsocket = auto\ndbfile = None\n\
                             dbmaxmatches = 10\ndbpurgeage = 1d\nallowipv6 = auto\n";

struct Tree {
    name: String,
    files: Vec<(String, String)>,
    fail2ban: Vec<String>,
    /// Why we differ, and in what.
    stockade: Option<(String, Vec<String>)>,
}

fn trees() -> Vec<Tree> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/config");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "trees"));
    files.sort();
    let mut trees = Vec::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        trees.extend(text.split("\n######## ").skip(1).map(tree));
    }
    trees
}

fn tree(text: &str) -> Tree {
    let (name, rest) = text.split_once('\n').unwrap();
    let mut tree = Tree {
        name: name.to_owned(),
        files: Vec::new(),
        fail2ban: Vec::new(),
        stockade: None,
    };
    let rest = format!("\n{rest}");
    for part in rest.split("\n==== ").skip(1) {
        let (title, content) = part.split_once('\n').unwrap_or((part, ""));
        let lines = || {
            content
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect()
        };
        if title == "fail2ban 1.0.2" {
            tree.fail2ban = lines();
        } else if let Some(reason) = title.strip_prefix("stockade: ") {
            tree.stockade = Some((reason.to_owned(), lines()));
        } else {
            tree.files.push((title.to_owned(), format!("{content}\n")));
        }
    }
    tree
}

impl Tree {
    fn write(&self) -> Directory {
        let directory = Directory::new();
        directory.write("fail2ban.conf", FAIL2BAN_CONF);
        for (name, content) in &self.files {
            directory.write(name, content);
        }
        directory
    }

    fn compared(&self, lines: Vec<String>, directory: &Directory) -> Vec<String> {
        let own_server = self.files.iter().any(|(name, _)| name == "fail2ban.conf");
        let path = directory.path().to_str().unwrap();
        lines
            .into_iter()
            // The base above says the same for every tree. A jail is never called `loglevel`.
            .filter(|line| {
                let word = line
                    .strip_prefix("['set', '")
                    .and_then(|rest| rest.split_once('\''))
                    .map(|(word, _)| word);
                let servers = [
                    "syslogsocket",
                    "loglevel",
                    "logtarget",
                    "allowipv6",
                    "dbfile",
                    "dbmaxmatches",
                    "dbpurgeage",
                ];
                own_server || !word.is_some_and(|word| servers.contains(&word))
            })
            .map(|line| line.replace(path, "@DIR@"))
            .collect()
    }
}

#[test]
fn makes_the_commands_that_fail2ban_makes() {
    let trees = trees();
    assert!(trees.len() > 150, "{} trees were found", trees.len());
    let mut wrong = Vec::new();
    for tree in &trees {
        let directory = tree.write();
        let made = tree.compared(ours(directory.path()), &directory);
        let expected = tree.stockade.as_ref().map_or(&tree.fail2ban, |(_, lines)| lines);
        if made != *expected {
            wrong.push(format!("{}\n  made     {made:#?}\n  expected {expected:#?}", tree.name));
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {} trees differ:\n{}",
        wrong.len(),
        trees.len(),
        wrong.join("\n")
    );
    let deviating = trees.iter().filter(|tree| tree.stockade.is_some()).count();
    eprintln!(
        "{} trees: {} as Fail2Ban, {deviating} with a reason to differ",
        trees.len(),
        trees.len() - deviating
    );
}

#[test]
fn what_is_recorded_is_what_fail2ban_prints() {
    if !fail2ban_is_here() {
        return;
    }
    let trees = trees();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(tree) = trees.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let directory = tree.write();
                    let printed = theirs(directory.path());
                    let printed =
                        printed.map_or_else(|| vec!["FAILS".to_owned()], |lines| tree.compared(lines, &directory));
                    assert_eq!(printed, tree.fail2ban, "{}", tree.name);
                }
            });
        }
    });
}

#[test]
fn a_tree_that_differs_says_why() {
    for tree in trees() {
        if let Some((reason, lines)) = tree.stockade {
            assert!(reason.len() > 10 && !reason.contains("???"), "{}", tree.name);
            assert_ne!(lines, tree.fail2ban, "{} no longer differs", tree.name);
        }
    }
}
