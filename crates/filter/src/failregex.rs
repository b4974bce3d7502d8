//! The rules of one jail, compiled: `prefregex`, `failregex`, `ignoreregex`.

use stockade_regex::{Flags, Regex};

use crate::overrun::Overruns;
use crate::tags;
use crate::{FilterError, FilterSettings};

/// One compiled rule with its groups that mean something.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Number in the list as configured.
    pub(crate) index: usize,
    /// Tags expanded, as `get JAIL failregex` shows it.
    pub(crate) text: String,
    pub(crate) regex: Regex,
    pub(crate) groups: Groups,
    pub(crate) overruns: Overruns,
}

/// Numbers of the groups the engine gives a meaning.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    pub(crate) fid: Option<usize>,
    pub(crate) ip4: Option<usize>,
    pub(crate) ip6: Option<usize>,
    pub(crate) cidr: Option<usize>,
    pub(crate) dns: Option<usize>,
    pub(crate) content: Option<usize>,
    pub(crate) mlfid: Option<usize>,
    pub(crate) nofail: Option<usize>,
    pub(crate) gained: Option<usize>,
    pub(crate) forget: Option<usize>,
}

/// All rules of a jail.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    pub(crate) prefregex: Option<Rule>,
    pub(crate) failregex: Vec<Rule>,
    pub(crate) ignoreregex: Vec<Rule>,
}

impl Groups {
    fn of(regex: &Regex) -> Self {
        let number = |name: &str| {
            regex
                .names()
                .iter()
                .find(|(known, _)| &**known == name)
                .map(|(_, number)| *number)
        };
        Self {
            fid: number("fid"),
            ip4: number("ip4"),
            ip6: number("ip6"),
            cidr: number("cidr"),
            dns: number("dns"),
            content: number("content"),
            mlfid: number("mlfid"),
            nofail: number("nofail"),
            gained: number("mlfgained"),
            forget: number("mlfforget"),
        }
    }

    /// Whether a match can tell who failed.
    fn name_somebody(&self) -> bool {
        [self.fid, self.ip4, self.ip6, self.dns, self.mlfid]
            .iter()
            .any(Option::is_some)
    }
}

impl Rules {
    /// Compiles all rules; every fault is reported.
    pub(crate) fn new(settings: &FilterSettings) -> Result<Self, Vec<FilterError>> {
        let mut faults = Vec::new();
        let mut rules = Self::default();
        let mut add = |option, index, rule: &str, into: &mut Vec<Rule>| match compile(option, index, rule, settings) {
            Ok(rule) => into.push(rule),
            Err(fault) => faults.push(fault),
        };
        let mut prefregex = Vec::new();
        if let Some(rule) = &settings.prefregex {
            add("prefregex", 0, rule, &mut prefregex);
        }
        for (index, rule) in settings.failregex.iter().enumerate() {
            add("failregex", index, rule, &mut rules.failregex);
        }
        for (index, rule) in settings.ignoreregex.iter().enumerate() {
            add("ignoreregex", index, rule, &mut rules.ignoreregex);
        }
        rules.prefregex = prefregex.pop();
        // A faulty prefregex might have named somebody: one error for one mistake is enough.
        let prefregex_may_name = rules
            .prefregex
            .as_ref()
            .map_or(settings.prefregex.is_some(), |rule| rule.groups.name_somebody());
        if !prefregex_may_name {
            for rule in &rules.failregex {
                if !rule.groups.name_somebody() {
                    faults.push(FilterError {
                        option: "failregex",
                        index: rule.index,
                        rule: settings.failregex.get(rule.index).unwrap_or(&rule.text).clone(),
                        at: None,
                        message: format!("No failure-id group in '{}'", rule.text),
                        mend:
                            "put <HOST> or <ADDR> where the log shows the address, or <F-ID>…</F-ID> around another id"
                                .into(),
                    });
                }
            }
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }
}

fn compile(option: &'static str, index: usize, rule: &str, settings: &FilterSettings) -> Result<Rule, FilterError> {
    let fault = |message: String, mend: &str| FilterError {
        option,
        index,
        rule: rule.to_owned(),
        at: None,
        message,
        mend: mend.to_owned(),
    };
    if rule.trim().is_empty() {
        return Err(fault("Cannot add empty regex".into(), "leave the entry out"));
    }
    let text = tags::expand(rule, settings.usedns);
    // Only where rules see several lines do `^` and `$` hold at each of them.
    let flags = Flags {
        multi_line: option == "failregex" && settings.maxlines > 1,
        ..Flags::default()
    };
    match Regex::new(&text, flags) {
        Ok(regex) => Ok(Rule {
            index,
            groups: Groups::of(&regex),
            overruns: Overruns::default(),
            regex,
            text,
        }),
        Err(error) => {
            let place = error.span.start.min(text.len());
            let near: String = text.get(place..).unwrap_or("").chars().take(20).collect();
            let mend = if near.is_empty() {
                "the end of the rule is where it goes wrong: close what is open".to_owned()
            } else {
                format!("look at `{near}`")
            };
            Err(FilterError {
                at: tags::before_expansion(rule, place, settings.usedns),
                ..fault(format!("Unable to compile regular expression '{text}': {error}"), &mend)
            })
        }
    }
}
