//! How a release build is linked: for a small server that starts soon. Everything here may be absent; then the program is the same, only larger.
//!
//! `STOCKADE_PLAIN_LINK=1` leaves it all out. So does a linker of one's own choice, which may not know these options.

use std::env;
use std::path::Path;
use std::process::Command;

/// The first of glibc that reads packed relocations.
const PACKED_SINCE: (u32, u32) = (2, 36);

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=order.ld");
    println!("cargo::rerun-if-env-changed=STOCKADE_PLAIN_LINK");
    let is = |name: &str, wanted: &str| env::var(name).is_ok_and(|value| value == wanted);
    let usual = is("PROFILE", "release") && is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !usual || env::var_os("STOCKADE_PLAIN_LINK").is_some() || has_own_linker() {
        return;
    }
    // What a server needs lies together: see bench/order.py. Both lld, which is Rust's own on x86-64, and GNU's linker read it.
    let order = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("order.ld");
    // A comma in the path would be the end of it.
    if order.is_file() && !order.as_os_str().as_encoded_bytes().contains(&b',') {
        println!("cargo::rustc-link-arg-bins=-Wl,-T,{}", order.display());
    }
    // For this machine's own kind only: what is asked here is not known of another.
    if env::var_os("HOST") != env::var_os("TARGET") {
        return;
    }
    // 12,000 addresses to be filled in take 4 KB instead of 300, all of which are read at each start.
    if is("CARGO_CFG_TARGET_ARCH", "x86_64") && glibc().is_some_and(|version| version >= PACKED_SINCE) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    // What unwinds a panic, within the program: a library less to be found, mapped and bound at each start.
    if says("cc", &["-print-file-name=libgcc_eh.a"]).is_some_and(|path| Path::new(path.trim()).is_absolute()) {
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// Whether somebody has chosen a linker, or how it is called.
fn has_own_linker() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    env::var_os("RUSTC_LINKER").is_some()
        || ["linker", "fuse-ld", "crt-static"]
            .iter()
            .any(|word| flags.contains(word))
}

/// The version of this machine's C library.
fn glibc() -> Option<(u32, u32)> {
    let said = says("getconf", &["GNU_LIBC_VERSION"])?;
    let (major, minor) = said.trim().strip_prefix("glibc ")?.split_once('.')?;
    Some((major.parse().ok()?, minor.split('.').next()?.parse().ok()?))
}

fn says(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout)
        .ok()
        .filter(|_| output.status.success())
}
