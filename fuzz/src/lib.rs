//! What is fed with hostile input: one function per target, which panics when something does not hold.
//!
//! `cargo xtask fuzz` has libFuzzer invent inputs for them (`fuzz/engine`); `tests/corpus.rs` replays the inputs that are kept in
//! `fuzz/corpus/TARGET/`, so that a fault once found stays found. Beyond “no panic, no hang” each target says at its head
//! what it holds the code to. Inputs are text where possible, so that a kept one can be read and written by hand.
#![expect(clippy::panic, reason = "a target says by panicking what does not hold")]

mod config;
mod filter;
mod protocol;
mod python;
mod regex;

/// One thing that is fed with hostile input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of kept inputs.
    pub name: &'static str,
    /// The file in `fuzz/words/` with pieces that libFuzzer may put in.
    pub words: &'static str,
    /// Longest input worth trying.
    pub limit_bytes: usize,
    /// Takes one input.
    pub run: fn(&[u8]),
}

const fn entry(name: &'static str, words: &'static str, limit_bytes: usize, run: fn(&[u8])) -> Target {
    Target {
        name,
        words,
        limit_bytes,
        run,
    }
}

/// All targets.
pub const TARGETS: &[Target] = &[
    entry("ini", "config", 2048, config::ini),
    entry("interpolation", "config", 2048, config::interpolation),
    entry("tags", "config", 1024, config::tags),
    entry("options", "config", 512, config::options),
    entry("duration", "config", 256, config::duration),
    entry("tree", "config", 4096, config::tree),
    entry("pattern", "regex", 256, regex::pattern),
    entry("search", "regex", 256, regex::search),
    entry("python", "regex", 96, python::search),
    entry("date", "date", 512, filter::date),
    entry("datepattern", "date", 512, filter::datepattern),
    entry("filter", "filter", 1024, filter::rules),
    entry("line", "filter", 1024, filter::line),
    entry("pickle", "pickle", 512, protocol::pickle),
    entry("request", "request", 512, protocol::request),
    entry("ignoreip", "request", 256, protocol::ignoreip),
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// The parts of an input that lines of `%%` divide; text is expected, anything else is made text.
fn parts<const N: usize>(data: &[u8]) -> [String; N] {
    let text = String::from_utf8_lossy(data);
    let mut parts = text.splitn(N, "\n%%\n");
    std::array::from_fn(|_| parts.next().unwrap_or_default().to_owned())
}
