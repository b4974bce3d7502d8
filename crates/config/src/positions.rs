//! Where an option stands among those of its section.

use crate::names::HashMap;

/// Up to so many names are compared one by one, which is faster than to hash one, and needs no copies of them.
const SMALL: usize = 12;

/// The positions of names in a list that only grows; the list itself is the owner's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Positions {
    /// Those of a list of more than [`SMALL`].
    large: HashMap<String, usize>,
}

impl Positions {
    /// Where `name` is in `list`.
    pub(crate) fn find<T>(&self, list: &[(String, T)], name: &str) -> Option<usize> {
        if self.large.is_empty() {
            list.iter().position(|(known, _)| known == name)
        } else {
            self.large.get(name).copied()
        }
    }

    /// To be told after a name that was not there has been put at the end of `list`.
    pub(crate) fn grown<T>(&mut self, list: &[(String, T)]) {
        let from = if self.large.is_empty() { 0 } else { self.large.len() };
        if list.len() > SMALL {
            let new = list.iter().enumerate().skip(from);
            self.large.extend(new.map(|(at, (name, _))| (name.clone(), at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_short_lists_and_long_ones() {
        let mut list = Vec::new();
        let mut positions = Positions::default();
        for number in 0..4 * SMALL {
            assert_eq!(positions.find(&list, &format!("n{number}")), None);
            list.push((format!("n{number}"), ()));
            positions.grown(&list);
            for at in 0..=number {
                assert_eq!(positions.find(&list, &format!("n{at}")), Some(at));
            }
        }
    }
}
