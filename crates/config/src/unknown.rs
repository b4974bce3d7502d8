//! Names that nothing reads, with the nearest one that is read, and words that are taken for no.
//!
//! Fail2Ban passes over them without a word; so does [`load`](crate::load), for the same output. Start reading at [`doubts`].

use std::collections::HashSet;
use std::path::Path;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Place};
use crate::interpolate::{View, references};
use crate::jail;
use crate::merge::{Merged, Section, Tree};
use crate::options::{self, Extended};
use crate::setting::{is_flag, truth};
use crate::{Overrides, action, filter, presets, server};

/// More doubts than these tell nothing new, and names of a file that is no configuration would be compared for minutes.
const DOUBTS_LIMIT: usize = 500;

/// Finds misspelt names in the files that the configuration in `dir` is made of.
pub fn doubts(dir: &Path, overrides: &Overrides) -> Vec<Diagnostic> {
    let tree = Tree::new(dir);
    let directory = dir.to_string_lossy();
    let mut doubts = Doubts {
        tree: &tree,
        presets: presets(overrides, &directory),
        found: Vec::new(),
    };
    doubts.server();
    doubts.jails();
    let mut told = HashSet::new();
    doubts.found.retain(|finding| told.insert(finding.to_string()));
    doubts.found
}

struct Doubts<'a> {
    tree: &'a Tree,
    presets: [(&'static str, &'a str); 2],
    found: Vec<Diagnostic>,
}

impl Doubts<'_> {
    fn read(&self, base: impl AsRef<Path>) -> Option<Rc<Merged>> {
        // What cannot be read is told by whoever loads it.
        self.tree.read(base, &self.presets, &mut Vec::new())
    }

    fn is_full(&self) -> bool {
        self.found.len() >= DOUBTS_LIMIT
    }

    fn server(&mut self) {
        let Some(merged) = self.read("fail2ban") else { return };
        let referenced = referenced(&merged);
        for section in &merged.sections {
            let known: &[&str] = match &*section.name {
                "Definition" => server::OPTIONS,
                "Thread" => &["stacksize"],
                "INCLUDES" => continue,
                _ => {
                    self.section(section, &["Definition", "Thread", "DEFAULT"], true);
                    continue;
                }
            };
            for (name, entry) in &section.options {
                if !known.contains(&name.as_str()) && !referenced.contains(name) && !self.is_full() {
                    self.unread(name, &entry.place, nearest(name, known.iter().copied()), "the server");
                }
            }
        }
    }

    fn jails(&mut self) {
        let Some(merged) = self.read("jail") else { return };
        let referenced = referenced(&merged);
        let known: Vec<&str> = jail::option_names().collect();
        let unread = |name: &str| !known.contains(&name) && !referenced.contains(name);
        for (name, entry) in &merged.defaults.options {
            // A default that nobody uses is common; one that is nearly an option is a slip.
            if unread(name)
                && !self.is_full()
                && let Some(near) = nearest(name, known.iter().copied())
            {
                self.unread(name, &entry.place, Some(near), "a jail");
            }
        }
        for section in merged.sections.iter().filter(|section| jail::is_jail(&section.name)) {
            if self.is_full() {
                return;
            }
            let unread = section.options.iter().filter(|(name, _)| unread(name));
            for (name, entry) in unread.take(DOUBTS_LIMIT) {
                self.unread(name, &entry.place, nearest(name, known.iter().copied()), "a jail");
            }
            let view = View::new(&merged, &section.name);
            self.flags(&view, jail::flag_names(), section);
            if view
                .get("enabled")
                .is_ok_and(|value| value.is_some_and(|value| truth(&value)))
            {
                self.uses(&view);
            }
        }
        for name in ["default", "Default", "includes", "Includes", "INCLUDE"] {
            if let Some(section) = merged.section(name) {
                let meant = if name.eq_ignore_ascii_case("default") {
                    "DEFAULT"
                } else {
                    "INCLUDES"
                };
                self.section(section, &[meant], true);
            }
        }
    }

    /// The filter and the actions that a jail asks for.
    fn uses(&mut self, view: &View<'_>) {
        let value = |option: &str| view.get(option).ok().flatten().unwrap_or_default();
        if let Ok(used) = options::parse(&value("filter"))
            && let Some(merged) = self.read(Path::new("filter.d").join(&used.name))
        {
            self.definition("filter", &used, &view.place("filter"), &merged, filter::OPTIONS);
        }
        let actions = value("action");
        for item in options::split_list(&actions) {
            let Ok(used) = options::parse(item) else { continue };
            let Some(merged) = self.read(Path::new("action.d").join(&used.name)) else {
                continue;
            };
            self.definition("action", &used, &view.place("action"), &merged, action::OPTIONS);
            if let Some(section) = merged.section("Definition") {
                self.flags(
                    &View::new(&merged, "Definition"),
                    action::FLAGS.iter().copied(),
                    section,
                );
            }
        }
    }

    fn definition(&mut self, kind: &str, used: &Extended, place: &Place, merged: &Merged, known: &[&str]) {
        let mut referenced = referenced(merged);
        referenced.extend(tags(merged));
        if let Some(section) = merged.section("Definition") {
            for (name, entry) in &section.options {
                if !known.contains(&name.as_str())
                    && !referenced.contains(name)
                    && let Some(near) = nearest(name, known.iter().copied())
                {
                    self.unread(name, &entry.place, Some(near), &format!("the {kind} `{}`", used.name));
                }
            }
        }
        for section in &merged.sections {
            if !referenced
                .iter()
                .any(|name| name.starts_with(&format!("{}/", section.name.to_lowercase())))
            {
                self.section(section, &["Definition", "Init", "INCLUDES", "DEFAULT"], false);
            }
        }
        let own = |section: &str| merged.section(section).map_or(&[][..], |section| &section.options);
        let of_file: Vec<&str> = own("Definition")
            .iter()
            .chain(own("Init"))
            .map(|(name, _)| name.as_str())
            .collect();
        for (name, _) in &used.options {
            let lower = name.to_lowercase();
            if of_file.contains(&lower.as_str()) || known.contains(&lower.as_str()) || referenced.contains(&lower) {
                continue;
            }
            // Options that an action does not need are common: stock jails pass the same to all. A slip is near to one
            // that it needs and does not get.
            let missing = of_file.iter().copied().filter(|of_file| {
                !of_file.contains('?')
                    && !used
                        .options
                        .iter()
                        .any(|(passed, _)| passed.eq_ignore_ascii_case(of_file))
            });
            if let Some(near) = nearest(&lower, missing) {
                let finding = Diagnostic::warning(
                    format!("the {kind} `{}` has no option `{name}`", used.name),
                    place.clone(),
                );
                self.found.push(
                    finding
                        .about(&format!("{name}="))
                        .why(format!("nothing in it reads `<{name}>`"))
                        .mend(format!("did you mean `{near}`?")),
                );
            }
        }
    }

    /// A name that nothing reads.
    fn unread(&mut self, name: &str, place: &Place, near: Option<&str>, reader: &str) {
        let mend = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => "remove it, or use it as `%(".to_owned() + name + ")s`",
        };
        self.found.push(
            Diagnostic::warning(format!("`{name}` is no option, and nothing uses it"), place.clone())
                .about(name)
                .why(format!(
                    "{reader} has no option of this name, and no other value refers to it"
                ))
                .mend(mend),
        );
    }

    /// A section whose name is nearly one that is read.
    fn section(&mut self, section: &Section, known: &[&str], always: bool) {
        let name = &*section.name;
        if known.contains(&name) {
            return;
        }
        let plain = name.split_once('?').map_or(name, |(plain, _)| plain);
        let near = known
            .iter()
            .find(|known| known.eq_ignore_ascii_case(plain))
            .copied()
            .or_else(|| nearest(plain, known.iter().copied()));
        let (Some(near), Some(place)) = (near.or(always.then_some("Definition")), &section.place) else {
            return;
        };
        self.found.push(
            Diagnostic::warning(format!("nothing reads the section [{name}]"), place.clone())
                .about(&format!("[{name}]"))
                .why("the names of sections are told apart by upper and lower case")
                .mend(format!("did you mean [{near}]?")),
        );
    }

    /// Words that are neither yes nor no.
    fn flags(&mut self, view: &View<'_>, names: impl Iterator<Item = &'static str>, section: &Section) {
        for name in names.filter(|name| section.get(name).is_some()) {
            let Ok(Some(value)) = view.get(name) else { continue };
            if value.contains(['<', '>']) || is_flag(&value) {
                continue;
            }
            self.found.push(
                Diagnostic::warning(format!("`{name} = {value}` counts as no"), view.place(name))
                    .about(&value)
                    .why("yes is written 1, on, true or yes; every other word is no")
                    .mend(format!("{name} = true, or {name} = false")),
            );
        }
    }
}

/// All names that any value refers to: `x` for `%(x)s`, and both `s/x` and `x` for `%(s/x)s`; in lower case.
fn referenced(merged: &Merged) -> HashSet<String> {
    let mut names = HashSet::new();
    for text in texts(merged) {
        for name in references(text) {
            let name = name.to_lowercase();
            if let Some((_, plain)) = name.split_once('/') {
                names.insert(plain.to_owned());
            }
            names.insert(name);
        }
    }
    names
}

/// All names that any value has as a tag: `x` for `<x>`, and both `s/x` and `x` for `<s/x>`; in lower case.
fn tags(merged: &Merged) -> HashSet<String> {
    let mut names = HashSet::new();
    for text in texts(merged) {
        for piece in text.split('<').skip(1) {
            let name = piece.split('>').next().unwrap_or_default().to_lowercase();
            if let Some((_, plain)) = name.split_once('/') {
                names.insert(plain.to_owned());
            }
            names.insert(name);
        }
    }
    names
}

fn texts(merged: &Merged) -> impl Iterator<Item = &str> {
    let sections = merged.sections.iter().chain([&merged.defaults]);
    sections.flat_map(|section| section.options.iter().map(|(_, entry)| entry.value.as_str()))
}

/// The candidate that differs from `name` by a slip or two, the nearest first.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = if name.chars().count() < 5 { 1 } else { 2 };
    candidates
        .map(|candidate| (slips(name, candidate), candidate))
        .filter(|(slips, _)| *slips <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

/// How many letters were added, lost, changed or swapped with the next between two names.
fn slips(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    if one.len().abs_diff(other.len()) > 2 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, &left) in one.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &right) in other.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX);
            let mut best = (at(&row, j) + usize::from(left != right))
                .min(at(&row, j + 1) + 1)
                .min(at(&next, j) + 1);
            let swapped = i > 0 && j > 0 && one.get(i - 1) == Some(&right) && other.get(j - 1) == Some(&left);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_the_one_a_slip_away() {
        let known = || jail::option_names();
        for (name, near) in [
            ("maxrtry", Some("maxretry")),
            ("bantme", Some("bantime")),
            ("banitme", Some("bantime")),
            ("faliregex", Some("failregex")),
            ("ingoreip", Some("ignoreip")),
            ("logpaht", Some("logpath")),
            ("port", None),
            ("banaction", None),
        ] {
            assert_eq!(nearest(name, known()), near, "{name}");
        }
    }
}
