//! How old the lines in a piece of a log are, without asking a rule: for finding where in a long log reading begins.

use stockade_core::Timestamp;

use crate::{Filter, Memory, line};

/// So many lines of a piece are dated, spread over it.
const LINES: usize = 24;

/// The dates in a piece of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// No line that was looked at has one.
    None,
    /// The earliest and the latest.
    Between(Timestamp, Timestamp),
    /// What a line means depends on the lines before it.
    Ambiguous,
}

impl Filter {
    /// Whether what is said of a line depends on no line too old for `findtime`, but for what dates mean: then reading may
    /// begin at any line.
    pub fn may_begin_late(&self) -> bool {
        !self.spans_lines() && self.encoding.is_made_of_lines()
    }

    /// The dates in a piece of a log. Pieces of one log share a memory that serves nothing else.
    pub fn dates(&self, piece: &[u8], now: Timestamp, memory: &mut Memory) -> Dates {
        let lines: Vec<&[u8]> = piece.split(|byte| *byte == b'\n').collect();
        let step = lines.len().div_ceil(LINES).max(1);
        let mut between: Option<(Timestamp, Timestamp)> = None;
        for (number, bytes) in lines.iter().step_by(step).enumerate() {
            let mut decoded = String::new();
            let text = line::decode(bytes, &mut decoded);
            let find = |memory: &mut Memory| self.dates.find(text, now, &mut memory.dates, &mut memory.scratch);
            let found = find(memory);
            // Reading that begins here knows no line before.
            if number % (LINES / 3) == 0 && find(&mut Memory::default()) != found {
                return Dates::Ambiguous;
            }
            let Some(at) = found.and_then(|found| found.time) else {
                continue;
            };
            between = Some(between.map_or((at, at), |(least, greatest)| (least.min(at), greatest.max(at))));
        }
        between.map_or(Dates::None, |(least, greatest)| Dates::Between(least, greatest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FilterSettings;

    fn dates(settings: &FilterSettings, pieces: &[&str]) -> Vec<Dates> {
        let filter = Filter::new(settings, &jiff::tz::TimeZone::UTC).unwrap();
        let mut memory = Memory::default();
        let now = Timestamp::from_secs(1_795_305_600);
        pieces
            .iter()
            .map(|piece| filter.dates(piece.as_bytes(), now, &mut memory))
            .collect()
    }

    #[test]
    fn tells_the_earliest_and_the_latest_date_of_a_piece() {
        let at = |secs: i64| Timestamp::from_secs(1_795_305_600 + secs);
        let found = dates(
            &FilterSettings::default(),
            &[
                "2026-11-21 23:00:00 a\n2026-11-21 22:59:00 b\n\tno date\n2026-11-21 23:30:00 c\n",
                "no date\n",
                "",
            ],
        );
        assert_eq!(found, [Dates::Between(at(-3660), at(-1800)), Dates::None, Dates::None]);
    }

    #[test]
    fn a_date_that_the_lines_before_give_another_meaning_is_ambiguous() {
        // Read by the template of the line before, and another way without it.
        let found = dates(
            &FilterSettings {
                datepattern: Some("^%d/%m/%Y %H:%M:%S\n^%m/%d/%Y %H:%M:%S".into()),
                ..FilterSettings::default()
            },
            &["11/22/2026 00:00:00 x\n", "11/05/2026 00:00:00 x\n"],
        );
        assert!(found.contains(&Dates::Ambiguous), "{found:?}");
    }

    #[test]
    fn rules_over_several_lines_and_wide_encodings_begin_at_the_beginning() {
        let may = |settings: FilterSettings| {
            let filter = Filter::new(&settings, &jiff::tz::TimeZone::UTC);
            filter.unwrap().may_begin_late()
        };
        assert!(may(FilterSettings::default()));
        let latin1 = Some("latin1".into());
        assert!(may(FilterSettings {
            logencoding: latin1,
            ..FilterSettings::default()
        }));
        for encoding in ["utf-16", "utf-32-le", "iso2022_jp"] {
            let logencoding = Some(encoding.into());
            assert!(
                !may(FilterSettings {
                    logencoding,
                    ..FilterSettings::default()
                }),
                "{encoding}"
            );
        }
        assert!(!may(FilterSettings {
            maxlines: 10,
            ..FilterSettings::default()
        }));
    }
}
