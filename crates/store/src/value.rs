//! Values of foreign rows: SQLite puts any type into any column.

use rusqlite::types::ValueRef;
use stockade_core::FailureId;

/// The longest id that is believed.
const LONGEST_ID: usize = 4096;

/// A whole number, however it was written.
pub(crate) fn integer(value: ValueRef<'_>) -> Option<i64> {
    match value {
        ValueRef::Integer(number) => Some(number),
        // Times of old rows have a fraction.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the bounds are those of i64, and the fraction is not wanted"
        )]
        ValueRef::Real(number) if number.abs() < 9.0e18 => Some(number.round() as i64),
        ValueRef::Text(text) => std::str::from_utf8(text).ok()?.trim().parse().ok(),
        _ => None,
    }
}

/// A text.
pub(crate) fn text(value: ValueRef<'_>) -> Option<&str> {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

/// The bytes of a text or blob.
pub(crate) fn bytes(value: ValueRef<'_>) -> &[u8] {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes,
        _ => &[],
    }
}

/// Who a row is about; `None` for what no program would have written, and for a network of everybody.
pub(crate) fn id(value: ValueRef<'_>) -> Option<FailureId> {
    let text =
        text(value).filter(|text| !text.is_empty() && text.len() <= LONGEST_ID && !text.contains(['\0', '\n']))?;
    let id = FailureId::parse(text);
    match &id {
        FailureId::Net(net) if net.prefix_len() == 0 => None,
        _ => Some(id),
    }
}
