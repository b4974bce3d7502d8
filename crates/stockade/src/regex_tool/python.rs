//! Values as Python prints them.

use stockade_core::Timestamp;
use stockade_filter::Group;
use stockade_protocol::{Value, repr};

/// A text as `repr` writes it.
pub(super) fn text(text: &str) -> String {
    repr(&Value::Str(text.to_owned()))
}

/// A group as `repr` writes it.
pub(super) fn group(group: &Group) -> String {
    match group {
        Group::None => "None".to_owned(),
        Group::Text(value) => text(value),
        Group::Users(users) => format!("{{{}}}", joined(users.iter().map(|user| text(user)))),
        Group::Tuple(parts) => {
            let parts = parts.iter().map(|part| part.as_deref().map_or("None".to_owned(), text));
            format!("({})", joined(parts))
        }
    }
}

/// Groups as a dictionary.
pub(super) fn dictionary<'a>(groups: impl Iterator<Item = (&'a str, String)>) -> String {
    format!(
        "{{{}}}",
        joined(groups.map(|(name, value)| format!("{}: {value}", text(name))))
    )
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// Seconds since 1970: with a fraction, unless the zone is known.
pub(super) fn seconds(time: Timestamp, zoned: bool) -> String {
    if zoned {
        return time.secs().to_string();
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "as Python's floats are; exact to the microsecond until 2255"
    )]
    let seconds = time.micros() as f64 / 1e6;
    format!("{seconds:?}")
}
