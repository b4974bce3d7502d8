//! Text for whoever started us. A closed pipe is no error: nobody is listening then.

use std::io::Write;

/// A line on standard output.
pub(crate) fn say(text: &str) {
    // `println!` would panic on a closed pipe.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Where programs are looked for.
pub(crate) fn search_path() -> String {
    std::env::var("PATH").unwrap_or_default()
}
