//! Why an action cannot be built or did not do its work.

use std::fmt;

use stockade_core::FailureId;
use stockade_firewall::FirewallError;

/// Why an action cannot be built or did not do its work.
#[derive(Debug)]
pub enum ActionError {
    /// A Python action; there is no Python in this process.
    Python {
        /// The action.
        action: String,
    },
    /// Options that refer to each other in a circle, or that grow without end.
    SelfReference {
        /// The action.
        action: String,
        /// The option that was being filled in.
        option: String,
    },
    /// A property with a value that cannot be used.
    BadValue {
        /// The action.
        action: String,
        /// The property.
        option: String,
        /// Its value.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A tag nobody knows stands where the shell reads it as a redirection.
    UnknownTag {
        /// The action.
        action: String,
        /// The command's option.
        option: String,
        /// The tag with its brackets.
        tag: String,
    },
    /// A tag that attackers can fill stands in the text of a program.
    TagInProgram {
        /// The action.
        action: String,
        /// The command's option.
        option: String,
        /// The tag with its brackets.
        tag: String,
    },
    /// The action holds bans and cannot become another one.
    InUse {
        /// The action.
        action: String,
    },
    /// A command ended in failure; the details are in the log.
    Command {
        /// The action.
        action: String,
        /// What was attempted: `banning`, `starting action`…
        attempt: &'static str,
        /// For whom, if for somebody.
        id: Option<FailureId>,
    },
    /// The environment is broken and could not be repaired.
    Environment {
        /// The action.
        action: String,
        /// What was attempted.
        attempt: &'static str,
        /// For whom, if for somebody.
        id: Option<FailureId>,
    },
    /// A native action was asked to ban something that is no address.
    NoAddress {
        /// The action.
        action: String,
        /// What it was.
        id: FailureId,
    },
    /// A native action has not been given a firewall.
    NoFirewall {
        /// The action.
        action: String,
    },
    /// A mail was not taken.
    Mail {
        /// The mail server.
        host: String,
        /// What it did.
        why: String,
    },
    /// The kernel refused.
    Firewall {
        /// The action.
        action: String,
        /// Why.
        error: FirewallError,
    },
}

impl fmt::Display for ActionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Python { action } => write!(
                f,
                "action `{action}` is written in Python, which Stockade does not run; why: a plug-in would run as root \
                 within the daemon; mend: use an action of commands, for mail `sendmail-whois`"
            ),
            Self::SelfReference { action, option } => write!(
                f,
                "properties contain self referencing definitions: `{option}` of action `{action}` never comes to an end; \
                 why: a tag such as <x> is replaced by the option x until nothing is left to replace; mend: remove the tag \
                 from the option it names"
            ),
            Self::BadValue {
                action,
                option,
                value,
                expected,
            } => {
                write!(
                    f,
                    "`{option}` of action `{action}` must be {expected}, not `{}`",
                    value.escape_debug()
                )
            }
            Self::UnknownTag { action, option, tag } => write!(
                f,
                "`{option}` of action `{action}` contains the unknown tag {tag}; why: the shell reads it as a redirection \
                 from and to files; mend: define the option in [Init], or quote the text"
            ),
            Self::TagInProgram { action, option, tag } => write!(
                f,
                "`{option}` of action `{action}` puts {tag} into the text of a program; why: who writes the log decides what \
                 the program does; mend: let the program read the environment variable ${}",
                crate::tags::variable(tag.trim_matches(['<', '>']))
            ),
            Self::InUse { action } => write!(
                f,
                "action `{action}` holds bans and cannot change where they take effect; mend: restart the jail"
            ),
            Self::Command { attempt, id, .. } => attempted(f, attempt, id.as_ref()),
            Self::Environment { attempt, id, .. } => {
                attempted(f, attempt, id.as_ref())?;
                f.write_str(": environment not restored")
            }
            Self::NoAddress { action, id } => write!(
                f,
                "action `{action}` cannot ban `{}`; why: it bans addresses and networks only",
                id.to_string().escape_debug()
            ),
            Self::NoFirewall { action } => write!(f, "action `{action}` has no connection to the kernel's firewall"),
            Self::Mail { host, why } => write!(
                f,
                "no mail by `{}`: {why}; mend: set `host` of the action to a mail server that takes mail from here without TLS",
                host.escape_debug()
            ),
            Self::Firewall { action, error } => write!(f, "action `{action}`: {error}"),
        }
    }
}

fn attempted(f: &mut fmt::Formatter<'_>, attempt: &str, id: Option<&FailureId>) -> fmt::Result {
    match id {
        Some(id) => write!(f, "Error {attempt} {}", id.to_string().escape_debug()),
        None => write!(f, "Error {attempt}"),
    }
}

impl std::error::Error for ActionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Firewall { error, .. } => Some(error),
            _ => None,
        }
    }
}
