//! In which order the templates are tried: those that fitted often, near the start of the line and lately come first.
//!
//! The order decides what an ambiguous date means, so it is Fail2Ban's to the step (UNDOCUMENTED.md U-1).

use stockade_core::Timestamp;

use super::template::Template;

/// Seconds without use after which a template gives way to any that is in use.
const STALE: i64 = 300;

/// The order of the templates of one log.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Ranking {
    /// Template indices in the order they are tried; empty until the first line.
    order: Vec<usize>,
    uses: Vec<Use>,
    /// How many templates have been used: they stand in front.
    used: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Use {
    hits: u32,
    /// Where the date stood last.
    distance: usize,
    /// Seconds since 1970.
    last: i64,
}

const NEVER: Use = Use {
    hits: 0,
    distance: usize::MAX,
    last: 0,
};

impl Ranking {
    /// Makes room for so many templates.
    pub(super) fn begin(&mut self, templates: usize) {
        if self.order.is_empty() {
            self.order.extend(0..templates);
            self.uses.resize(templates, NEVER);
        }
    }

    pub(super) fn order(&self) -> &[usize] {
        &self.order
    }

    /// Where a date of the template stood last; far away if there was none.
    pub(super) fn distance(&self, template: usize) -> usize {
        self.uses.get(template).map_or(usize::MAX, |use_of| use_of.distance)
    }

    /// How often a template fitted.
    pub(super) fn hits(&self, template: usize) -> u64 {
        self.uses.get(template).map_or(0, |use_of| u64::from(use_of.hits))
    }

    /// Counts that a template fitted.
    pub(super) fn count(&mut self, template: usize, distance: usize, now: Timestamp) {
        if let Some(use_of) = self.uses.get_mut(template) {
            use_of.hits = use_of.hits.saturating_add(1);
            use_of.distance = distance;
            use_of.last = now.secs();
        }
    }

    /// Counts that a template fitted at the start of so many lines.
    pub(super) fn count_many(&mut self, template: usize, lines: u32, now: Timestamp) {
        self.count(template, 0, now);
        if let Some(use_of) = self.uses.get_mut(template) {
            use_of.hits = use_of.hits.saturating_add(lines.saturating_sub(1));
        }
    }

    /// Moves a template forward if it has earned it: half the way to the front or by one place; at its first use before all
    /// that have not been used.
    pub(super) fn promote(&mut self, template: usize, templates: &[Template]) {
        let Some(place) = self.order.iter().position(|&held| held == template) else {
            return;
        };
        let unused = self.used;
        if place >= unused {
            self.used += 1;
        }
        if place == 0 {
            return;
        }
        let target = if place > unused { unused } else { place / 2 };
        let goal = [target, place - 1].into_iter().find(|&goal| {
            self.order
                .get(goal)
                .is_some_and(|&other| self.gives_way(other, template, templates))
        });
        if let Some(goal) = goal
            && let Some(passed) = self.order.get_mut(goal..=place)
        {
            passed.rotate_right(1);
        }
    }

    /// What the hits of a template are worth.
    pub(super) fn score(&self, template: usize, weight: f64) -> f64 {
        self.uses.get(template).map_or(0.0, |use_of| {
            let distance = u32::try_from(use_of.distance.max(1)).unwrap_or(u32::MAX);
            f64::from(use_of.hits) * weight / f64::from(distance)
        })
    }

    fn gives_way(&self, other: usize, to: usize, templates: &[Template]) -> bool {
        let (Some(use_of_other), Some(use_of)) = (self.uses.get(other), self.uses.get(to)) else {
            return false;
        };
        let score = |number: usize| self.score(number, templates.get(number).map_or(1.0, |template| template.weight));
        score(to) > score(other) || use_of_other.last.saturating_add(STALE) < use_of.last
    }
}
