//! A jail's own options as its actions find them: `<logpath>`, `<maxretry>`, `<filter>`.
//!
//! Tags and references of an action find them where the jail passes nothing and [Init] has none. Run on 1.0.2.

use std::cell::OnceCell;

use crate::interpolate::View;
use crate::setting::{truth, whole};

/// How an option is shown.
#[derive(Clone, Copy)]
enum Shown {
    Text,
    /// As Python shows a number; what is none is no tag.
    Int,
    /// As Python shows it: `True`, `False`.
    Bool,
}

/// The options that Fail2Ban reads of a jail; what else stands in its section its actions do not see.
const NAMES: [(&str, Shown); 29] = [
    ("action", Shown::Text),
    ("backend", Shown::Text),
    ("bantime", Shown::Text),
    ("bantime.factor", Shown::Text),
    ("bantime.formula", Shown::Text),
    ("bantime.increment", Shown::Bool),
    ("bantime.maxtime", Shown::Text),
    ("bantime.multipliers", Shown::Text),
    ("bantime.overalljails", Shown::Bool),
    ("bantime.rndtime", Shown::Text),
    ("datepattern", Shown::Text),
    ("enabled", Shown::Bool),
    ("failregex", Shown::Text),
    ("filter", Shown::Text),
    ("findtime", Shown::Text),
    ("ignorecache", Shown::Text),
    ("ignorecommand", Shown::Text),
    ("ignoreip", Shown::Text),
    ("ignoreregex", Shown::Text),
    ("ignoreself", Shown::Bool),
    ("journalmatch", Shown::Text),
    ("logencoding", Shown::Text),
    ("logpath", Shown::Text),
    ("logtimezone", Shown::Text),
    ("maxlines", Shown::Int),
    ("maxmatches", Shown::Int),
    ("maxretry", Shown::Int),
    ("prefregex", Shown::Text),
    ("usedns", Shown::Text),
];

/// A jail's options, each made out when an action first asks for it.
#[derive(Debug)]
pub(crate) struct JailTags<'a> {
    view: View<'a>,
    values: [OnceCell<Option<String>>; NAMES.len()],
}

impl<'a> JailTags<'a> {
    pub(crate) fn new(view: View<'a>) -> Self {
        let values = [const { OnceCell::new() }; NAMES.len()];
        Self { view, values }
    }

    /// The option of this name, in lower case; `None` if it is not set or not one of these.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let at = NAMES.binary_search_by_key(&name, |(known, _)| known).ok()?;
        let (value, (name, shown)) = (self.values.get(at)?, NAMES.get(at)?);
        value.get_or_init(|| self.value(name, *shown)).as_deref()
    }

    fn value(&self, name: &str, shown: Shown) -> Option<String> {
        // What cannot be read is told where the jail is.
        let value = self.view.get(name).ok()?.or_else(|| match name {
            "backend" => Some("auto".to_owned()),
            "filter" => Some(String::new()),
            _ => None,
        })?;
        match shown {
            Shown::Text => Some(value),
            Shown::Int => whole(&value).map(|number| number.to_string()),
            Shown::Bool => Some(if truth(&value) { "True" } else { "False" }.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NAMES;

    #[test]
    fn names_are_sorted_as_the_search_needs_them() {
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }
}
