//! `cargo xtask fuzz`: libFuzzer on the targets of `fuzz/`, on the toolchain that builds the product.
//!
//! The engine is a program of its own (`fuzz/engine`), built with the compiler's coverage counters; inputs it learns from are collected
//! under `target/fuzz`, those of `fuzz/corpus` are kept in the repository and are replayed by the ordinary tests too.

use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use stockade_fuzz::{TARGETS, Target};

use crate::root;

const HELP: &str = "\
usage: cargo xtask fuzz [--seconds N] [--fresh] [TARGET...]
       cargo xtask fuzz --shrink TARGET FILE
       cargo xtask fuzz --list

  --seconds N  how long for each target (default 60)
  --fresh      begin with the kept inputs and always the same seed, not with what was learned before";

/// Flags of the compiler that count which code ran and report comparisons; all of them are in the stable toolchain.
const COVERAGE: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
];

/// Set when cargo calls this program in the place of rustc.
const COMPILER: &str = "STOCKADE_FUZZ_COMPILER";

/// An input may take this long before it counts as a hang; the machine of the tests is slow and shared.
const HANG_SECONDS: u32 = 10;
/// Memory of one run; the targets' own needs are some 100 MB.
const MEMORY_MB: u32 = 1024;

struct Options {
    seconds: u32,
    fresh: bool,
    targets: Vec<&'static Target>,
}

/// Runs the command.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if words == ["--help"] {
        println!("{HELP}");
        return Ok(());
    }
    if words == ["--list"] {
        for target in TARGETS {
            println!("{}", target.name);
        }
        return Ok(());
    }
    if let ["--shrink", name, file] = words.as_slice() {
        return shrink(find(name)?, Path::new(file));
    }
    let mut options = Options {
        seconds: 60,
        fresh: false,
        targets: Vec::new(),
    };
    let mut words = words.into_iter();
    while let Some(word) = words.next() {
        match word {
            "--seconds" => options.seconds = words.next().and_then(|number| number.parse().ok()).ok_or(HELP)?,
            "--fresh" => options.fresh = true,
            name => options.targets.push(find(name)?),
        }
    }
    fuzz(options)
}

/// Every target for some seconds, from the kept inputs: what CI does.
pub(crate) fn briefly(seconds: u32) -> Result<(), String> {
    if !Path::new("/usr/bin/g++").exists() {
        let why = "libFuzzer is built with g++ (apt-get install g++)";
        if std::env::var_os("STOCKADE_STRICT").is_some_and(|value| value == "1") {
            return Err(why.to_owned());
        }
        println!("skipped: {why}");
        return Ok(());
    }
    fuzz(Options {
        seconds,
        fresh: true,
        targets: Vec::new(),
    })
}

fn find(name: &str) -> Result<&'static Target, String> {
    stockade_fuzz::target(name).ok_or_else(|| format!("there is no target `{name}`\n{HELP}"))
}

fn fuzz(mut options: Options) -> Result<(), String> {
    if options.targets.is_empty() {
        options.targets.extend(TARGETS);
    }
    let start = Instant::now();
    let engine = build()?;
    println!("   built in {} s", start.elapsed().as_secs());
    println!(
        "   {:<14} {:>9} {:>8} {:>7} {:>6}",
        "target", "inputs", "per s", "slowest", "MB"
    );
    let waiting = Mutex::new(VecDeque::from(options.targets.clone()));
    let faults = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get().min(8));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let target = waiting.lock().ok().and_then(|mut waiting| waiting.pop_front());
                    let Some(target) = target else { return };
                    let fault = one(&engine, target, &options).err();
                    if let (Some(fault), Ok(mut faults)) = (fault, faults.lock()) {
                        faults.push(fault);
                    }
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap_or_default();
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults.join("\n\n"))
    }
}

/// Where the engine is built and inputs are collected.
fn folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("fuzz")
}

fn build() -> Result<PathBuf, String> {
    let me = std::env::current_exe().map_err(|error| format!("where this program stands is not known: {error}"))?;
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "--locked", "--manifest-path"])
        .arg(root().join("fuzz/engine/Cargo.toml"))
        .env("CARGO_TARGET_DIR", folder())
        .env("RUSTC_WRAPPER", me)
        .env(COMPILER, "1")
        .status()
        .map_err(|error| format!("cargo cannot be run: {error}"))?;
    if !status.success() {
        return Err(
            "the engine cannot be built; it needs g++ (apt-get install g++), and after a change of dependencies its own lock file \
             must be brought up to date: cargo metadata --quiet --format-version 1 --manifest-path fuzz/engine/Cargo.toml >/dev/null"
                .to_owned(),
        );
    }
    Ok(folder().join("release/stockade-fuzz-engine"))
}

/// Whether cargo calls this program as a compiler.
pub(crate) fn is_compiler() -> bool {
    std::env::var_os(COMPILER).is_some()
}

/// Compiles as rustc, whose path is the first argument, and counts in our crates only: what is hit in those from outside is not ours to
/// search, and counting there takes time.
pub(crate) fn compile(args: &[String]) -> Result<(), String> {
    let [rustc, args @ ..] = args else {
        return Err("no compiler is named".to_owned());
    };
    let ours = args
        .windows(2)
        .any(|pair| matches!(pair, [option, name] if option == "--crate-name" && name.starts_with("stockade_")));
    let mut command = Command::new(rustc);
    command.args(args).args(if ours { COVERAGE } else { &[] });
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{rustc} ended with {status}")),
        Err(error) => Err(format!("{rustc} cannot be run: {error}")),
    }
}

fn make(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Runs one target; prints its row.
fn one(engine: &Path, target: &Target, options: &Options) -> Result<(), String> {
    let name = target.name;
    let learned = folder()
        .join(if options.fresh { "fresh" } else { "learned" })
        .join(name);
    if options.fresh {
        // It may not be there.
        let _ = fs::remove_dir_all(&learned);
    }
    make(&learned)?;
    let found = folder().join("found");
    make(&found)?;
    let mut command = engine_on(engine, target);
    command
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-max_len={}", target.limit_bytes))
        .arg(format!(
            "-dict={}",
            root().join("fuzz/words").join(target.words).display()
        ))
        .arg(format!("-artifact_prefix={}/{name}-", found.display()))
        .arg("-print_final_stats=1")
        .args(options.fresh.then_some("-seed=1"))
        .arg(&learned)
        .arg(root().join("fuzz/corpus").join(name));
    if matches!(name, "ini" | "interpolation") {
        // The real thing, where the package has put it, is not ours to keep.
        let stock = ["/etc/fail2ban/filter.d", "/etc/fail2ban/action.d"].map(Path::new);
        command.args(stock.iter().filter(|folder| folder.is_dir()));
    }
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{}: {error}", engine.display()))?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let number = |name: &str| {
        let row = said
            .lines()
            .find_map(|line| line.strip_prefix(&format!("stat::{name}:")));
        row.map_or("-", str::trim).to_owned()
    };
    println!(
        "   {name:<14} {:>9} {:>8} {:>5} s {:>6}",
        number("number_of_executed_units"),
        number("average_exec_per_sec"),
        number("slowest_unit_time_sec"),
        number("peak_rss_mb")
    );
    if output.status.success() {
        return Ok(());
    }
    let file = said
        .lines()
        .find_map(|line| line.split_once("Test unit written to "))
        .map(|(_, file)| file);
    let panic = said.lines().skip_while(|line| !line.contains("panicked at")).take(4);
    let reason: Vec<&str> = panic
        .chain(said.lines().filter(|line| line.contains("ERROR: libFuzzer")))
        .collect();
    Err(format!(
        "{name} has a finding: {}\n{}\nmend: mend the fault and keep the input: cargo xtask fuzz --shrink {name} {}",
        file.unwrap_or("no input was written"),
        if reason.is_empty() {
            said.as_str().to_owned()
        } else {
            reason.join("\n")
        },
        file.unwrap_or("FILE"),
    ))
}

fn engine_on(engine: &Path, target: &Target) -> Command {
    let mut command = Command::new(engine);
    command
        .env("STOCKADE_FUZZ_TARGET", target.name)
        .env("RUST_BACKTRACE", "0")
        .arg(format!("-timeout={HANG_SECONDS}"))
        .arg(format!("-rss_limit_mb={MEMORY_MB}"));
    command
}

/// Makes an input that fails as short as can be and puts it among the kept ones.
fn shrink(target: &Target, file: &Path) -> Result<(), String> {
    let engine = build()?;
    let small = folder().join("small");
    let mut command = engine_on(&engine, target);
    command.args(["-minimize_crash=1", "-max_total_time=20"]);
    command
        .arg(format!("-exact_artifact_path={}", small.display()))
        .arg(file);
    // Each round that finds a shorter one ends with an error, so the status says nothing.
    command
        .output()
        .map_err(|error| format!("{}: {error}", engine.display()))?;
    let best = if small.exists() { small.as_path() } else { file };
    let bytes = fs::read(best).map_err(|error| format!("{}: {error}", best.display()))?;
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let name = name.rsplit_once('-').map_or(&*name, |(_, hash)| hash);
    let kept = root()
        .join("fuzz/corpus")
        .join(target.name)
        .join(format!("found-{}", name.get(..8).unwrap_or(name)));
    fs::write(&kept, &bytes).map_err(|error| format!("{}: {error}", kept.display()))?;
    if small.exists() {
        fs::remove_file(&small).map_err(|error| format!("{}: {error}", small.display()))?;
    }
    println!("{} bytes, kept as {}", bytes.len(), kept.display());
    println!("give it a name that says what it shows; cargo test -p stockade-fuzz replays it");
    Ok(())
}
