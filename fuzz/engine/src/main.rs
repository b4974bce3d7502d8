//! One program for all targets: `STOCKADE_FUZZ_TARGET` names the one to run, the arguments are libFuzzer's.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static TARGET: OnceLock<fn(&[u8])> = OnceLock::new();

fuzz_target!(init: {
    let name = std::env::var("STOCKADE_FUZZ_TARGET").expect("STOCKADE_FUZZ_TARGET names the target");
    let target = stockade_fuzz::target(&name).unwrap_or_else(|| panic!("there is no target {name}"));
    TARGET.get_or_init(|| target.run);
}, |data: &[u8]| {
    if let Some(run) = TARGET.get() {
        run(data);
    }
});
