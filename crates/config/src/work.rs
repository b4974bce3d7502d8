//! What reading a configuration may cost, all of it together.
//!
//! Single values have limits of their own ([`crate::interpolate`], [`crate::tags`]), but ten thousand jails with a value of a megabyte, or an
//! action of a thousand tags used by a thousand jails, pass each of those and take minutes and gigabytes.

use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

use crate::diagnostic::{Diagnostic, Place};
use crate::setting::Value;

/// Bytes that may be read and put together. Ten thousand jails with the stock sshd filter and an action count for less than half.
const LIMIT: u64 = 4 << 30;
/// What a reference or tag counts as beside the bytes of its value: looking it up takes about as long as copying these.
const STEP: u64 = 64;

/// Memory counts this much more than work: half a gigabyte may be kept.
const KEPT: usize = 8;
/// What a word, a line of a value, takes beside its text.
const WORD: usize = 40;
const LINE: usize = 100;

/// The account of one reading; copies are the same account.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work(Rc<Cell<u64>>);

impl Work {
    /// Counts one step and the bytes that it read or made; false if that is more than may be.
    pub(crate) fn spend(&self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.0.set(self.0.get().saturating_add(bytes).saturating_add(STEP));
        !self.is_spent()
    }

    /// Counts a value that is kept, by the memory it takes; false if that is more than may be.
    pub(crate) fn keep(&self, value: &Value) -> bool {
        let bytes = match value {
            Value::Text(text) | Value::Invalid(text) => text.len(),
            Value::Words(words) => words.iter().map(|word| word.len() + WORD).sum(),
            Value::Lines(lines) => lines.iter().map(|line| line.text.len() + LINE).sum(),
            Value::Int(_) | Value::Bool(_) => 0,
        };
        self.spend(bytes.saturating_mul(KEPT))
    }

    /// Whether more was counted than may be.
    pub(crate) fn is_spent(&self) -> bool {
        self.0.get() > LIMIT
    }

    /// What to say of it, if so; `file` is where the configuration begins.
    pub(crate) fn finding(&self, file: &Path) -> Option<Diagnostic> {
        self.is_spent().then(|| too_large(Place::file(&file.to_string_lossy())))
    }
}

/// That there is no more room for values.
pub(crate) fn too_large(place: Place) -> Diagnostic {
    let what = "the configuration is too large: the jails from here on are left out";
    Diagnostic::error(what, place)
        .why("references or tags multiply, and many jails or actions use them")
        .mend("write the values out that multiply, or share fewer of them")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jail::Jails;
    use crate::merge::Tree;

    #[test]
    fn jails_are_whole_or_left_out_wherever_the_account_is_full() {
        let presets = [("fail2ban_version", "1"), ("fail2ban_confpath", "/")];
        let mut whole = 0;
        let mut left_out = 0;
        for left in (0..400_000).step_by(4_000) {
            let tree = Tree::new(Path::new("/nonexistent"));
            let merged = tree.read("jail", &presets, &mut Vec::new()).unwrap_or_default();
            tree.work().0.set(LIMIT.saturating_sub(left));
            let jails = Jails {
                tree: &tree,
                presets: &presets,
                merged: &merged,
            };
            let mut findings = Vec::new();
            for jail in jails.read(&mut findings).0 {
                match &jail.problem {
                    None => whole += 1,
                    Some(problem) => {
                        assert!(problem.contains("too large"), "{problem}");
                        assert!(jail.settings.is_empty() && jail.actions.is_empty());
                        left_out += 1;
                    }
                }
            }
        }
        assert!(whole > 10 && left_out > 10, "{whole} whole, {left_out} left out");
    }
}
