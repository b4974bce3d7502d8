//! The templates in full, for `fail2ban-regex --verbose-date`.

use super::{DateState, Detector};

/// A date template.
#[derive(Clone, Debug, PartialEq)]
pub struct DateTemplate {
    /// As it was given; empty for `Epoch` and the like.
    pub pattern: String,
    /// The regex it became.
    pub regex: String,
    /// What a hit is worth.
    pub weight: f64,
    /// What its hits are worth by now: that decides when it is tried.
    pub score: f64,
}

impl Detector {
    /// A template, by its number in the list as configured.
    pub(crate) fn details(&self, number: usize, state: &DateState) -> Option<DateTemplate> {
        let template = self.list.templates.get(number)?;
        Some(DateTemplate {
            pattern: template.pattern.clone(),
            regex: template.source.clone(),
            weight: template.weight,
            score: state.ranking.score(number, template.weight),
        })
    }
}
