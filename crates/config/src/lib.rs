//! `/etc/fail2ban` read as Fail2Ban reads it, every value with its file and line.
//!
//! Start with [`load`]. It never fails as a whole: what is wrong is told in [`Config::diagnostics`], a jail that cannot
//! run says so in [`JailConfig::problem`], and the others are there.
//!
//! # Layers
//! Behind the files on disk stands a configuration compiled into the program ([`builtin`]). A file on disk hides the
//! built-in file of the same name: with an `/etc/fail2ban/jail.conf` nothing of the built-in `jail.conf` is used, with a
//! `filter.d/sshd.conf` nothing of the built-in filter. `.local` files and `.d` directories exist on disk only and go
//! on top of whichever base there is. So no directory at all works, a single `jail.local` works, and a full
//! configuration means what it means to Fail2Ban.
//!
//! ```
//! let config = stockade_config::load(std::path::Path::new("/nonexistent"), &stockade_config::Overrides::default());
//! assert!(config.jails.iter().any(|jail| jail.name == "sshd"));
//! ```

mod action;
pub mod builtin;
mod definition;
mod diagnostic;
pub mod duration;
mod filter;
#[doc(hidden)]
pub mod fuzzing;
mod ini;
mod interpolate;
mod jail;
mod jail_tags;
mod logpath;
mod merge;
mod names;
pub mod options;
mod positions;
mod server;
mod setting;
pub mod shell_words;
mod show;
pub mod tags;
mod tool;
mod unknown;
mod work;

use std::path::Path;

pub use action::{ActionConfig, ActionKind, ActionProperty, is_command};
pub use diagnostic::{About, Diagnostic, Place, Severity};
pub use jail::JailConfig;
pub use logpath::{From, LogPath, has_magic};
pub use server::{ServerConfig, is_loglevel};
pub use setting::{Line, Setting, Value};
pub use show::{Earlier, Part, Shown, ShownOption, option_of, show};
pub use tool::{ToolFilter, filter_settings, jail_rules};
pub use unknown::{doubts, nearest};

/// The Fail2Ban whose behaviour is the reference: `%(fail2ban_version)s`, unless [`Overrides::version`] says otherwise.
pub const FAIL2BAN_VERSION: &str = "1.1.2.dev1";

/// What the command line sets over the files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// `--loglevel`
    pub loglevel: Option<String>,
    /// `--logtarget`
    pub logtarget: Option<String>,
    /// `--syslogsocket`
    pub syslogsocket: Option<String>,
    /// `-s`
    pub socket: Option<String>,
    /// `-p`
    pub pidfile: Option<String>,
    /// What `%(fail2ban_version)s` is.
    pub version: Option<String>,
}

/// A whole configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// The server's own settings.
    pub server: ServerConfig,
    /// The enabled jails in the order of their sections; those with a `problem` are not to run.
    pub jails: Vec<JailConfig>,
    /// The names of the jails that are there but not enabled.
    pub disabled: Vec<String>,
    /// Everything that was found wrong or doubtful, in the order of reading.
    pub diagnostics: Vec<Diagnostic>,
    /// Files of `jail.*` that are there and cannot be read: what the jails should be is not known. A server that runs
    /// is best left as it is; its `ignoreip`, for one, may stand in such a file.
    pub unreadable: Vec<String>,
}

/// Reads `fail2ban.conf` and what belongs to it, and no jails: enough to find the server.
#[must_use]
pub fn load_server(dir: &Path, overrides: &Overrides) -> ServerConfig {
    let directory = dir.to_string_lossy();
    let presets = presets(overrides, &directory);
    server::read(&merge::Tree::new(dir), &presets, overrides, &mut Vec::new())
}

/// Reads the configuration under `dir`, with the built-in one behind it.
pub fn load(dir: &Path, overrides: &Overrides) -> Config {
    let tree = merge::Tree::new(dir);
    let directory = dir.to_string_lossy();
    let presets = presets(overrides, &directory);
    let mut diagnostics = Vec::new();
    let server = server::read(&tree, &presets, overrides, &mut diagnostics);
    let (merged, mut unreadable) = tree.read_all("jail", &presets, &mut diagnostics);
    let (jails, disabled) = match merged {
        Some(merged) => jail::Jails {
            tree: &tree,
            presets: &presets,
            merged: &merged,
        }
        .read(&mut diagnostics),
        None => (Vec::new(), Vec::new()),
    };
    if let Some(finding) = tree.work().finding(&tree.dir().join("jail.conf")) {
        unreadable.push(tree.dir().to_string_lossy().into_owned());
        diagnostics.push(finding);
    }
    // A file that several jails use is read for each: what is wrong with it is told once.
    let mut told = std::collections::HashSet::new();
    diagnostics.retain(|finding| told.insert(finding.to_string()));
    Config {
        server,
        jails,
        disabled,
        diagnostics,
        unreadable,
    }
}

/// What every file sees as a default.
fn presets<'a>(overrides: &'a Overrides, directory: &'a str) -> [(&'static str, &'a str); 2] {
    let version = overrides.version.as_deref().unwrap_or(FAIL2BAN_VERSION);
    [("fail2ban_version", version), ("fail2ban_confpath", directory)]
}
