//! What the client says on standard error.

use jiff::Timestamp;

/// An error, as a line that Fail2Ban's programs log.
pub(crate) fn error(text: &str) {
    let now = Timestamp::now().to_zoned(crate::zone::system());
    let id = std::process::id();
    let (date, millis) = (now.strftime("%Y-%m-%d %H:%M:%S"), now.millisecond());
    crate::terminal::complain(&format!(
        "{date},{millis:03} {:<24}[{id}]: {:<7} {}",
        "fail2ban",
        "ERROR",
        shown(text)
    ));
}

/// Text for a terminal: line ends and tabs stay, other characters that deceive are shown, so that what an attacker wrote
/// into a log can neither move the cursor nor turn the direction of the text.
pub(crate) fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if stockade_core::logline::misleads(character) && !matches!(character, '\n' | '\t') {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}
