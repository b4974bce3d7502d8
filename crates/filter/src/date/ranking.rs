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
    /// What was decided by hits since the guess, if this began as one.
    decisions: Option<Vec<Decision>>,
}

/// Two templates compared, and whether the first gave way to the second.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Decision {
    pair: [Standing; 2],
    answer: bool,
}

/// A template as it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Standing {
    number: usize,
    uses: Use,
    weight: f64,
}

/// After so many decisions a guess is worth no more.
const DECISIONS: usize = 256;

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
            let other = self.order.get(goal).copied();
            other.is_some_and(|other| self.gives_way(other, template, templates))
        });
        if let Some(goal) = goal
            && let Some(passed) = self.order.get_mut(goal..=place)
        {
            passed.rotate_right(1);
        }
    }

    /// What the hits of a template are worth.
    pub(super) fn score(&self, template: usize, weight: f64) -> f64 {
        self.uses.get(template).map_or(0.0, |use_of| use_of.score(weight))
    }

    fn gives_way(&mut self, other: usize, to: usize, templates: &[Template]) -> bool {
        let standing = |number: usize| {
            Some(Standing {
                number,
                uses: *self.uses.get(number)?,
                weight: templates.get(number).map_or(1.0, |template| template.weight),
            })
        };
        let (Some(other), Some(to)) = (standing(other), standing(to)) else {
            return false;
        };
        let pair = [other, to];
        let answer = first_gives_way(&pair);
        if let Some(decisions) = self.decisions.as_mut().filter(|kept| kept.len() < DECISIONS) {
            decisions.push(Decision { pair, answer });
        }
        answer
    }

    /// The same, to go on from as a guess.
    pub(super) fn guess(&self) -> Self {
        Self {
            decisions: Some(Vec::new()),
            ..self.clone()
        }
    }

    /// What lines left behind that were read from the guess `begun` up to `ended`, had they been read from here; `None` if
    /// they might have been read otherwise.
    pub(super) fn followed(&self, begun: &Self, ended: &Self) -> Option<Self> {
        let alike = |(here, there): (&Use, &Use)| (here.distance, here.last) == (there.distance, there.last);
        if (&self.order, self.used, self.uses.len()) != (&begun.order, begun.used, begun.uses.len())
            || !self.uses.iter().zip(&begun.uses).all(alike)
        {
            return None;
        }
        // Counted so far, of a template that had `hits` at some place of the way.
        let counted = |number: usize, hits: u32| {
            let more = hits.checked_sub(begun.uses.get(number)?.hits)?;
            self.uses.get(number)?.hits.checked_add(more)
        };
        let decisions = ended.decisions.as_ref().filter(|kept| kept.len() < DECISIONS)?;
        for Decision { pair, answer } in decisions {
            let mut pair = *pair;
            for standing in &mut pair {
                standing.uses.hits = counted(standing.number, standing.uses.hits)?;
            }
            if first_gives_way(&pair) != *answer {
                return None;
            }
        }
        let mut after = ended.clone();
        after.decisions.clone_from(&self.decisions);
        for (number, use_of) in after.uses.iter_mut().enumerate() {
            // A count that came to its end does not say by how much it grew.
            use_of.hits = counted(number, use_of.hits).filter(|_| use_of.hits < u32::MAX)?;
        }
        Some(after)
    }
}

impl Use {
    fn score(&self, weight: f64) -> f64 {
        let distance = u32::try_from(self.distance.max(1)).unwrap_or(u32::MAX);
        f64::from(self.hits) * weight / f64::from(distance)
    }
}

fn first_gives_way([other, to]: &[Standing; 2]) -> bool {
    let score = |standing: &Standing| standing.uses.score(standing.weight);
    score(to) > score(other) || other.uses.last.saturating_add(STALE) < to.uses.last
}
