//! The dates Fail2Ban knows without being told (behaviour spec 3.1), and the lists a `datepattern` stands for.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::shapes::Shapes;
use super::template::Template;

/// The 17 base patterns, in order. The names `fail2ban-regex` prints derive from them.
pub(super) const BASE: [&str; 17] = [
    r"%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?",
    r"%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S",
    r"%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?",
    r"%m/%d/%ExY:%H:%M:%S",
    r"%m-%d-%ExY %k:%M:%S(?:\.%f)?",
    "EPOCH",
    r"{^LN-BEG}%H:%M:%S",
    r"^<%m/%d/%Exy@%H:%M:%S>",
    r"%Exy%Exm%Exd  ?%H:%M:%S",
    r"%b %d, %ExY %I:%M:%S %p",
    r"^%b-%d-%Exy %k:%M:%S",
    // Newer than 1.0.2: `-` before the time, colons in it.
    r"%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?",
    r"(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    r"(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?",
    "TAI64N",
];

const LINE_BEGIN: &str = "{^LN-BEG}";

/// The templates of a `datepattern`, in its order.
#[derive(Debug)]
pub(super) struct List {
    pub(super) templates: Vec<Template>,
    /// Made for the first line that more than one template may have to be searched for in: those that never match are never compiled.
    shapes: OnceLock<Option<Box<Shapes>>>,
}

impl List {
    fn new(mut templates: Vec<Template>) -> Arc<Self> {
        templates.shrink_to_fit();
        Arc::new(Self {
            templates,
            shapes: OnceLock::new(),
        })
    }

    /// Which of the templates may match a line; `None` if any may, as far as is known.
    pub(super) fn shapes(&self) -> Option<&Shapes> {
        self.shapes
            .get_or_init(|| Shapes::of(&self.templates).map(Box::new))
            .as_deref()
    }
}

/// Templates, or each pattern that cannot be compiled with its reason.
pub(super) type Compiled = Result<Arc<List>, Vec<(usize, String, String)>>;

fn is_anchored(pattern: &str) -> bool {
    pattern.starts_with('^') || pattern.starts_with(LINE_BEGIN)
}

/// The 31 templates of the default list: compiled once per process.
fn default_list() -> Compiled {
    static LIST: OnceLock<Compiled> = OnceLock::new();
    LIST.get_or_init(|| {
        let begin = BASE
            .iter()
            .filter(|pattern| !is_anchored(pattern))
            .map(|pattern| Template::new(&format!("{LINE_BEGIN}{pattern}")).map(|made| made.with_weight(100.0)));
        let plain = BASE.iter().map(|pattern| Template::new(pattern));
        collect(begin.chain(plain))
    })
    .clone()
}

/// The 17 base templates at the start of a line; those that are there by themselves come last.
fn line_begin_list() -> Compiled {
    static LIST: OnceLock<Compiled> = OnceLock::new();
    LIST.get_or_init(|| {
        let (own, begun): (Vec<&str>, Vec<&str>) = BASE.iter().partition(|pattern| is_anchored(pattern));
        let begun = begun
            .into_iter()
            .map(|pattern| Template::new(&format!("{LINE_BEGIN}{pattern}")).map(|made| made.with_weight(100.0)));
        collect(begun.chain(own.into_iter().map(Template::new)))
    })
    .clone()
}

fn collect(made: impl Iterator<Item = Result<Template, String>>) -> Compiled {
    let mut templates = Vec::new();
    let mut faults = Vec::new();
    for (index, template) in made.enumerate() {
        match template {
            Ok(template) => templates.push(template),
            Err(message) => faults.push((index, BASE.get(index % 17).copied().unwrap_or("").to_owned(), message)),
        }
    }
    if faults.is_empty() {
        Ok(List::new(templates))
    } else {
        Err(faults)
    }
}

/// Compiles a `datepattern` setting: one or more patterns, one per line.
pub(super) fn compile(setting: Option<&str>) -> Compiled {
    let patterns = patterns_of(setting);
    match BuiltIn::of(&patterns) {
        Some(BuiltIn::Default) => default_list(),
        Some(BuiltIn::LineBegin) => line_begin_list(),
        None => remembered(&patterns),
    }
}

/// What [`compile`] would say; a built-in list is sound and not compiled for that.
pub(super) fn check(setting: Option<&str>) -> Result<(), Vec<(usize, String, String)>> {
    let patterns = patterns_of(setting);
    match BuiltIn::of(&patterns) {
        Some(_) => Ok(()),
        None => remembered(&patterns).map(drop),
    }
}

fn patterns_of(setting: Option<&str>) -> Vec<&str> {
    let lines = setting.unwrap_or("").split('\n').map(str::trim);
    lines.filter(|line| !line.is_empty()).collect()
}

/// A list of templates that needs no pattern.
enum BuiltIn {
    Default,
    LineBegin,
}

impl BuiltIn {
    fn of(patterns: &[&str]) -> Option<Self> {
        match patterns {
            [] => Some(Self::Default),
            [one] => match one.to_ascii_uppercase().as_str() {
                "{DEFAULT}" => Some(Self::Default),
                LINE_BEGIN => Some(Self::LineBegin),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Many jails have the same pattern, and one with `{DATE}` takes long to compile: those of a process are kept for the next jail.
fn remembered(patterns: &[&str]) -> Compiled {
    /// A configuration has fewer; they are not kept for ever if a client sets one after another.
    const KEPT: usize = 64;
    /// Jails are set up by one thread at a time; a lock held for a look costs it nothing.
    static KNOWN: Mutex<Vec<(String, Arc<List>)>> = Mutex::new(Vec::new());
    let key = patterns.join("\n");
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, templates)) = known.iter().find(|(known, _)| *known == key) {
        return Ok(Arc::clone(templates));
    }
    drop(known);
    let templates = compile_each(patterns)?;
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if known.len() >= KEPT {
        known.remove(0);
    }
    known.push((key, Arc::clone(&templates)));
    Ok(templates)
}

fn compile_each(patterns: &[&str]) -> Compiled {
    let mut templates: Vec<Template> = Vec::new();
    let mut faults = Vec::new();
    for (index, &pattern) in patterns.iter().enumerate() {
        let is_list = ["{DEFAULT}", LINE_BEGIN].contains(&pattern.to_ascii_uppercase().as_str());
        let singles = alternatives(pattern);
        let several = singles.len() > 1;
        for single in singles {
            // What is there by itself weighs no more in a list.
            let begun = is_list && single.starts_with(LINE_BEGIN) && !BASE.contains(&single.as_str());
            match Template::new(&single) {
                Ok(template) => {
                    let template = if begun { template.with_weight(100.0) } else { template };
                    // A list adds what is not there yet.
                    let known = templates
                        .iter_mut()
                        .find(|known| several && known.name == template.name);
                    match known {
                        Some(known) => known.weight = known.weight.max(template.weight),
                        None => templates.push(template),
                    }
                }
                Err(message) => {
                    faults.push((index, pattern.to_owned(), message));
                    break;
                }
            }
        }
    }
    if faults.is_empty() {
        Ok(List::new(templates))
    } else {
        Err(faults)
    }
}

/// `{DATE}` and the list keywords stand for many patterns.
fn alternatives(pattern: &str) -> Vec<String> {
    let upper = pattern.to_ascii_uppercase();
    if upper == "{DEFAULT}" {
        let begin = BASE
            .iter()
            .filter(|base| !is_anchored(base))
            .map(|base| format!("{LINE_BEGIN}{base}"));
        return begin.chain(BASE.iter().map(|&base| base.to_owned())).collect();
    }
    if upper == LINE_BEGIN {
        let (own, begun): (Vec<&str>, Vec<&str>) = BASE.iter().partition(|base| is_anchored(base));
        let begun = begun.into_iter().map(|base| format!("{LINE_BEGIN}{base}"));
        return begun.chain(own.into_iter().map(str::to_owned)).collect();
    }
    let Some(at) = upper.find("{DATE}") else {
        return vec![pattern.to_owned()];
    };
    let (Some(before), Some(after)) = (pattern.get(..at), pattern.get(at + 6..)) else {
        return vec![pattern.to_owned()];
    };
    BASE.iter()
        .map(|base| {
            let inner = base.strip_prefix(LINE_BEGIN).unwrap_or(base);
            if inner.starts_with('^') && before == LINE_BEGIN {
                return format!("{inner}{after}");
            }
            let alone = after.is_empty() && ["", "^", LINE_BEGIN].contains(&before);
            // With something around it upstream looks for the word, not for the number.
            let inner = if inner == "EPOCH" && !alone { "Epoch" } else { inner };
            format!("{before}{inner}{after}")
        })
        .collect()
}
