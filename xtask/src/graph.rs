//! The dependency graph: which crate may know which, and which packages may reach the root process.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::root;

/// Crate folder, and the crates of this workspace it may depend on. Arrows point one way only (docs/ARCHITECTURE.md).
const ALLOWED: &[(&str, &[&str])] = &[
    ("regex", &[]),
    ("core", &[]),
    ("filter", &["regex", "core"]),
    ("protocol", &["core"]),
    ("config", &["core"]),
    ("source", &["core"]),
    ("firewall", &["core"]),
    ("store", &["core"]),
    ("action", &["core", "config", "firewall"]),
    (
        "stockade",
        &[
            "regex", "core", "filter", "protocol", "config", "source", "firewall", "action", "store",
        ],
    ),
];

/// Packages from outside that the root process may link; each is argued in docs/DEPENDENCIES.md.
const DIRECT: &[&str] = &[
    "aho-corasick",
    "encoding_rs",
    "flate2",
    "ipnet",
    "jiff",
    "lexopt",
    "lzma-rust2",
    "memchr",
    "regex",
    "rusqlite",
    "rustix",
    "ruzstd",
    "serde_json",
    "signal-hook",
];

/// Packages that come with those.
const INDIRECT: &[&str] = &[
    "adler2",
    "bitflags",
    "cfg-if",
    "crc32fast",
    "errno",
    "fallible-iterator",
    "fallible-streaming-iterator",
    "itoa",
    "jiff-core",
    "libc",
    "libsqlite3-sys",
    "linux-raw-sys",
    "miniz_oxide",
    "regex-automata",
    "regex-syntax",
    "serde_core",
    "signal-hook-registry",
    "simd-adler32",
    "smallvec",
    "zmij",
];

const LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Unlicense",
    "Apache-2.0 WITH LLVM-exception",
    "Zlib",
    "BSD-3-Clause",
];

/// Prints the graph.
pub(crate) fn print() -> Result<(), String> {
    for (name, _) in ALLOWED {
        println!(
            "{name:<10} -> {}",
            inner(name)?.into_iter().collect::<Vec<_>>().join(" ")
        );
    }
    println!(
        "\nlinked into the root process: {}",
        linked()?
            .into_iter()
            .map(|(name, _)| name)
            .collect::<Vec<_>>()
            .join(" ")
    );
    Ok(())
}

/// Fails when a crate knows one that it may not, or when an unknown package would reach the root process.
pub(crate) fn check() -> Result<(), String> {
    let mut faults = Vec::new();
    for (name, allowed) in ALLOWED {
        for found in inner(name)? {
            if !allowed.contains(&found.as_str()) {
                faults.push(format!(
                    "crates/{name} must not depend on {found}; see docs/ARCHITECTURE.md"
                ));
            }
        }
    }
    let argued =
        fs::read_to_string(root().join("docs/DEPENDENCIES.md")).map_err(|e| format!("docs/DEPENDENCIES.md: {e}"))?;
    for name in DIRECT {
        if !argued.contains(&format!("## {name}")) {
            faults.push(format!(
                "docs/DEPENDENCIES.md does not argue for {name}; add a section `## {name}`"
            ));
        }
    }
    for (name, licence) in linked()? {
        if !DIRECT.contains(&name.as_str()) && !INDIRECT.contains(&name.as_str()) {
            faults.push(format!(
                "{name} would be linked into the root process; argue it in docs/DEPENDENCIES.md and list it here"
            ));
        }
        let fine = licence
            .split(" OR ")
            .flat_map(|part| part.split('/'))
            .any(|part| LICENCES.contains(&part.trim().trim_matches(['(', ')'])));
        if !fine {
            faults.push(format!(
                "{name} has the licence {licence}, which is not among {LICENCES:?}"
            ));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n"))
    }
}

/// The crates of this workspace that a crate depends on, tests left out.
fn inner(name: &str) -> Result<BTreeSet<String>, String> {
    let path = root().join("crates").join(name).join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut section = "";
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('[') {
            section = line;
        } else if section == "[dependencies]"
            && let Some((key, _)) = line.split_once(['.', '=', ' '])
            && (key.starts_with("stockade-") || key == "testkit" || key == "xtask")
        {
            found.insert(key.trim_start_matches("stockade-").to_owned());
        }
    }
    Ok(found)
}

/// Packages from outside that are linked into the program, with their licences.
fn linked() -> Result<BTreeSet<(String, String)>, String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree", "--locked", "-p", "stockade", "-e", "normal", "--prefix", "none", "-f", "{p}|{l}",
        ])
        .current_dir(root())
        .output()
        .map_err(|error| format!("cargo tree cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text
        .lines()
        .filter_map(|line| line.split_once('|'))
        .filter_map(|(package, licence)| {
            let name = package.split(' ').next()?;
            let ours = name.starts_with("stockade");
            (!ours).then(|| (name.to_owned(), licence.trim_end_matches(" (*)").to_owned()))
        })
        .collect())
}
