//! From the fields of an entry to the line that filters expect: `host ident[pid]: message`.
//!
//! Source: what `fail2ban-regex systemd-journal` 1.0.2 shows of entries of every kind; the test `journal.rs` asks it again.

use super::header::Id;

/// Which fields a line is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Hostname,
    Identifier,
    Comm,
    SyslogPid,
    Pid,
    SourceRealtime,
    SourceMonotonic,
    Message,
}

impl Field {
    /// The field of a `NAME=value`, and its value.
    pub(super) fn of(text: &[u8]) -> Option<(Self, &[u8])> {
        let end = text.iter().take(40).position(|byte| *byte == b'=')?;
        let (name, value) = (text.get(..end)?, text.get(end + 1..)?);
        let field = match name {
            b"_HOSTNAME" => Self::Hostname,
            b"SYSLOG_IDENTIFIER" => Self::Identifier,
            b"_COMM" => Self::Comm,
            b"SYSLOG_PID" => Self::SyslogPid,
            b"_PID" => Self::Pid,
            b"_SOURCE_REALTIME_TIMESTAMP" => Self::SourceRealtime,
            b"_SOURCE_MONOTONIC_TIMESTAMP" => Self::SourceMonotonic,
            b"MESSAGE" => Self::Message,
            _ => return None,
        };
        Some((field, value))
    }
}

/// The values of an entry; a field may be there several times.
#[derive(Debug, Default)]
pub(super) struct Values {
    values: Vec<(Field, Vec<u8>)>,
}

impl Values {
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    pub(super) fn add(&mut self, field: Field, value: &[u8]) {
        self.values.push((field, value.to_vec()));
    }

    /// All values of a field, separated by blanks; `None` if it is missing or empty.
    fn joined(&self, wanted: Field) -> Option<Vec<u8>> {
        let values: Vec<&[u8]> = self
            .values
            .iter()
            .filter(|(field, _)| *field == wanted)
            .map(|(_, value)| value.as_slice())
            .collect();
        Some(values.join(&b' ')).filter(|value| !value.is_empty())
    }

    fn number(&self, wanted: Field) -> Option<u64> {
        std::str::from_utf8(&self.joined(wanted)?).ok()?.parse().ok()
    }

    /// When it happened, in microseconds since 1970: where it came from knows best.
    pub(super) fn time(&self, realtime: u64) -> i64 {
        let source = self.number(Field::SourceRealtime).filter(|micros| *micros > 0);
        let known = source.and_then(|micros| i64::try_from(micros).ok());
        known.unwrap_or_else(|| i64::try_from(realtime).unwrap_or(i64::MAX))
    }

    /// The line, at most `limit` bytes of it. An end of line within becomes a backslash and an `n`.
    pub(super) fn line(&self, monotonic: u64, limit: usize) -> Vec<u8> {
        let mut line = self.joined(Field::Hostname).unwrap_or_default();
        let blank = |line: &mut Vec<u8>| {
            if !line.is_empty() {
                line.push(b' ');
            }
        };
        if let Some(ident) = self.joined(Field::Identifier).or_else(|| self.joined(Field::Comm)) {
            blank(&mut line);
            line.extend_from_slice(&ident);
            if let Some(pid) = self.pid(Field::SyslogPid).or_else(|| self.pid(Field::Pid)) {
                line.push(b'[');
                line.extend_from_slice(&pid);
                line.extend_from_slice(b"]:");
            } else if ident == b"kernel" {
                let micros = self.number(Field::SourceMonotonic).unwrap_or(monotonic);
                let seconds = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
                line.extend_from_slice(format!(": [{seconds:>12}]").as_bytes());
            } else {
                line.push(b':');
            }
        }
        blank(&mut line);
        line.extend_from_slice(&self.joined(Field::Message).unwrap_or_default());
        line.truncate(limit);
        if line.contains(&b'\n') {
            line = line.split(|byte| *byte == b'\n').collect::<Vec<_>>().join(&b"\\n"[..]);
        }
        line
    }

    /// A process number; 0 and nothing are none. What is no number is shown as it is.
    fn pid(&self, field: Field) -> Option<Vec<u8>> {
        let text = self.joined(field)?;
        match std::str::from_utf8(&text)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
        {
            Some(0) => None,
            Some(number) => Some(number.to_string().into_bytes()),
            None => Some(text),
        }
    }
}

/// What makes an entry the same in whichever file it stands: journald copies entries when it moves its files to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) boot: Id,
    pub(super) monotonic: u64,
    pub(super) realtime: u64,
    pub(super) xor_hash: u64,
}
