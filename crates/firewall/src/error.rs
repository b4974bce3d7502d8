//! Why the kernel did not do as asked.

use std::fmt;
use std::io;

use rustix::io::Errno;

use crate::nftables::transaction::Step;

/// Why the kernel did not do as asked. `Display` says what, where, why and the mend in one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum FirewallError {
    /// What [`prepare`](crate::Firewall::prepare) made is not there (any more): somebody flushed the ruleset, or it was never
    /// made. Prepare again and apply all bans again.
    Missing {
        /// The table.
        table: String,
        /// The target's name.
        name: String,
    },
    /// We may not change the firewall.
    Denied {
        /// The kernel's reason.
        cause: io::Error,
    },
    /// This kernel has no nf_tables.
    Unavailable {
        /// The kernel's reason.
        cause: io::Error,
    },
    /// A name that nftables cannot hold.
    Name {
        /// What is called so: `table`, `chain` or `name`.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// The kernel refused one message; with it all others of the transaction.
    Refused {
        /// What the message was to do, as in “add set `addr-set-sshd`”.
        what: String,
        /// The table.
        table: String,
        /// The kernel's reason.
        cause: io::Error,
    },
    /// The kernel did not answer, or in a way we cannot read.
    Answer {
        /// What was asked.
        what: String,
        /// The table.
        table: String,
        /// Whether an answer came at all.
        came: bool,
    },
}

impl FirewallError {
    /// Whether preparing the target again may help: something is not there, or somebody has given a set a size.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Missing { .. } => true,
            Self::Refused { cause, .. } => Errno::from_io_error(cause) == Some(Errno::NFILE),
            _ => false,
        }
    }

    /// The meaning of an error number that came for a step.
    pub(crate) fn refused(step: &Step, table: &str, errno: Errno) -> Self {
        let cause = io::Error::from(errno);
        match errno {
            // Who has no right is refused the transaction as a whole; one message of it is refused for a table that is somebody's own.
            Errno::PERM if !matches!(step, Step::Transaction | Step::List) => Self::Refused {
                what: step.to_string(),
                table: table.to_owned(),
                cause,
            },
            Errno::PERM | Errno::ACCESS => Self::Denied { cause },
            Errno::PROTONOSUPPORT | Errno::AFNOSUPPORT | Errno::NOPROTOOPT => Self::Unavailable { cause },
            // The subsystem as a whole is not known, not one of its messages.
            Errno::OPNOTSUPP | Errno::INVAL if *step == Step::Transaction => Self::Unavailable { cause },
            _ => Self::Refused {
                what: step.to_string(),
                table: table.to_owned(),
                cause,
            },
        }
    }

    fn mend(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "restart the jail, or the service that flushed the ruleset before ours",
            Self::Denied { .. } => "run as root, or with the capability CAP_NET_ADMIN",
            Self::Unavailable { .. } => "load the kernel module nf_tables, or use an action of iptables",
            Self::Name { .. } => "use letters, digits and the signs _ - . / only, at most 200 of them",
            Self::Refused { cause, .. } => match Errno::from_io_error(cause) {
                Some(Errno::EXIST | Errno::OPNOTSUPP) => {
                    "something else has this name with other properties: delete it, or choose another name"
                }
                Some(Errno::PERM) => {
                    "the table belongs to another process alone (flags owner): end that process, or choose another table"
                }
                Some(Errno::BUSY) => "a rule of somebody else uses it: delete that rule, or choose another name",
                Some(Errno::NFILE) => "delete the set, or the size that somebody has given it",
                Some(Errno::NOMEM | Errno::NOBUFS) => "the kernel is out of memory for it: ban fewer addresses",
                Some(Errno::MSGSIZE) => "raise net.core.wmem_max",
                _ => "see `nft list ruleset` for what is there",
            },
            Self::Answer { .. } => "try again; if it stays, report it with the version of the kernel",
        }
    }
}

impl fmt::Display for FirewallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { table, name } => {
                write!(
                    f,
                    "sets or rules of `{name}` are not in table `inet {table}`: deleted by somebody, or never made"
                )?;
            }
            Self::Denied { cause } => write!(f, "may not change the firewall: {cause}")?,
            Self::Unavailable { cause } => write!(f, "no nftables in this kernel: {cause}")?,
            Self::Name { what, name } => write!(f, "nftables cannot hold {what} `{}`", name.escape_debug())?,
            Self::Refused { what, table, cause } => {
                write!(f, "cannot {what} in table `inet {table}`: ")?;
                match Errno::from_io_error(cause) {
                    // The words for this number speak of open files.
                    Some(Errno::NFILE) => f.write_str("the set is full")?,
                    _ => write!(f, "{cause}")?,
                }
            }
            Self::Answer {
                what,
                table,
                came: true,
            } => {
                write!(
                    f,
                    "cannot {what} in table `inet {table}`: the kernel's answer is not understood"
                )?;
            }
            Self::Answer {
                what,
                table,
                came: false,
            } => {
                write!(f, "cannot {what} in table `inet {table}`: the kernel does not answer")?;
            }
        }
        write!(f, "; mend: {}", self.mend())
    }
}

impl std::error::Error for FirewallError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Denied { cause } | Self::Unavailable { cause } | Self::Refused { cause, .. } => Some(cause),
            Self::Missing { .. } | Self::Name { .. } | Self::Answer { .. } => None,
        }
    }
}
