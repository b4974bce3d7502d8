//! The client: one command, or start, reload and stop.

use std::path::Path;

use stockade_protocol::Value;

pub mod stream;

/// The configuration in a folder, as commands.
pub(crate) fn read_stream(config: &Path) -> Vec<Vec<Value>> {
    stream::commands(&stockade_config::load(config, &stockade_config::Overrides::default()))
}
