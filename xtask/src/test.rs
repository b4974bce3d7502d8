//! `cargo xtask test`: everything that has to hold before a change lands.

use std::process::Command;
use std::time::Instant;

use crate::{fuzz, generate, graph, packages, root};

/// For each target; the kept inputs and what a few thousand changes of them show.
const FUZZ_SECONDS: u32 = 2;

/// Runs all checks in the order cheapest first; stops at the first that fails. `quick` leaves out lints and docs.
pub(crate) fn run(quick: bool) -> Result<(), String> {
    let start = Instant::now();
    packages::provide()?;
    step("format", &["fmt", "--all", "--check"])?;
    println!("== graph");
    graph::check()?;
    println!("== generated documents");
    generate::run(true)?;
    if !quick {
        step(
            "clippy",
            &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--quiet",
                "--",
                "-D",
                "warnings",
            ],
        )?;
    }
    println!("== benchmarks");
    benchmarks()?;
    step("tests", &["test", "--workspace", "--locked", "--no-fail-fast"])?;
    println!("== fuzz targets");
    fuzz::briefly(FUZZ_SECONDS)?;
    println!("== all checks passed in {} s", start.elapsed().as_secs());
    Ok(())
}

/// What measures is not run, but it must build, and what was measured must be what the document says; as the order of functions must be of
/// this toolchain.
fn benchmarks() -> Result<(), String> {
    let parts = [
        "check",
        "--manifest-path",
        "bench/parts/Cargo.toml",
        "--all-targets",
        "--locked",
        "--quiet",
    ];
    step(
        "benches of the parts",
        &[&parts[..], &["--target-dir", "target"]].concat(),
    )?;
    python(
        &["bench/order.py", "--check"],
        "crates/stockade/order.ld is out of date",
    )?;
    python(
        &["bench/report.py", "--check"],
        "docs/PERFORMANCE.md is not what bench/results.jsonl says",
    )
}

fn python(args: &[&str], fault: &str) -> Result<(), String> {
    let status = Command::new("python3")
        .args(args)
        .current_dir(root())
        .status()
        .map_err(|error| format!("python3 cannot be run: {error}"))?;
    if status.success() {
        Ok(())
    } else {
        Err(fault.to_owned())
    }
}

fn step(name: &str, args: &[&str]) -> Result<(), String> {
    println!("== {name}");
    let start = Instant::now();
    let status = Command::new(env!("CARGO"))
        .args(args)
        .current_dir(root())
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    println!("   {name}: {} s", start.elapsed().as_secs());
    if status.success() {
        Ok(())
    } else {
        Err(format!("{name} failed; run it alone with: cargo {}", args.join(" ")))
    }
}
