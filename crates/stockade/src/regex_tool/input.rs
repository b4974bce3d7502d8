//! Where the lines come from: a file, a pipe, the words typed, or the journal.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use stockade_config::options as config_options;
use stockade_config::shell_words;
use stockade_core::Timestamp;
use stockade_filter::{Encoding, Given, Memory, Surveyed};
use stockade_source::journal::{self, Matches, Reader};
use stockade_source::lines;

use super::Stop;
use super::archive::{self, Packing};
use super::blocks::Blocks;
use super::cores::{Division, Guesses, Survey, Told};
use super::options::Options;
use super::progress::{Place, Progress};
use super::reading::Reading;
use super::rules::Rules;
use crate::server::journal::date as journal_date;

/// A log.
pub(super) enum Input {
    File {
        name: String,
        encoding: String,
        blocks: Box<Blocks>,
        packing: Option<Packing>,
        /// How much of the file was read.
        read: Arc<AtomicU64>,
        /// In bytes; `None` for a pipe.
        size: Option<u64>,
    },
    Typed(String),
    Journal {
        encoding: String,
        reader: Box<Reader>,
        matches: Vec<String>,
    },
}

/// A line to be tried.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    pub(super) text: &'a [u8],
    /// When it was written, if the source knows it.
    pub(super) given: Option<Given>,
}

impl Input {
    /// What LOG names: the journal, or a file if there is one of that name, else it is a line itself.
    pub(super) fn open(options: &Options, rules: &Rules) -> Result<Self, Stop> {
        let log = &options.log;
        if is_journal(log) {
            return open_journal(options, rules);
        }
        let is_log = fs::metadata(log).is_ok_and(|found| found.is_file() || found.file_type().is_fifo());
        if !is_log {
            return Ok(Self::Typed(log.clone()));
        }
        let letters = letters(rules)?;
        let opened = File::open(log).and_then(|file| Ok((file.metadata()?, file)));
        let (found, file) = opened.map_err(|error| {
            Stop::Refused(format!(
                "log file `{log}` cannot be opened\n  why: {error}\n  mend: run this as a user who may read it"
            ))
        })?;
        let read = Arc::new(AtomicU64::new(0));
        let counted = Counted {
            file,
            read: Arc::clone(&read),
        };
        let (log_bytes, packing) = archive::unpacked(Box::new(counted))?;
        if packing == Some(Packing::Bzip2) {
            return Err(Stop::Refused(format!(
                "log file `{log}` is packed with bzip2, which is not read\n  mend: bzcat {log} | fail2ban-regex /dev/stdin FILTER"
            )));
        }
        Ok(Self::File {
            name: log.clone(),
            encoding: rules.encoding.clone().unwrap_or_else(|| "UTF-8".to_owned()),
            blocks: Box::new(Blocks::new(log_bytes, packing.is_some(), letters)),
            packing,
            read,
            size: Some(found.len()).filter(|_| found.is_file()),
        })
    }

    /// `several` is whether rules see several lines together.
    pub(super) fn heading(&self, several: bool) -> String {
        let short = |text: &str| {
            let short: String = text.chars().take(50).collect();
            if short.len() < text.len() {
                format!("{short}...")
            } else {
                short
            }
        };
        match self {
            Self::File { name, encoding, .. } => {
                format!("Use         log file : {name}\nUse         encoding : {encoding}\n")
            }
            Self::Typed(text) if several || text.contains('\n') => {
                let lines: Vec<&str> = text.split('\n').collect();
                let mut out = format!("Use      multi line : {} line(s)\n", lines.len());
                for (number, line) in lines.iter().enumerate() {
                    // Writing to a String cannot go wrong.
                    let _ = writeln!(out, "| {:>2}: {}", number + 1, short(line));
                }
                out.push_str("`-\n");
                out
            }
            Self::Typed(text) => format!("Use      single line : {}\n", short(text)),
            Self::Journal { encoding, matches, .. } => {
                let mut out = format!("Use         systemd journal\nUse         encoding : {encoding}\n");
                if !matches.is_empty() {
                    let _ = writeln!(out, "Use    journal match : {}", matches.join(" "));
                }
                out
            }
        }
    }

    /// Surveys a file, on several processors if it is long.
    pub(super) fn survey(
        self,
        survey: &Survey<'_>,
        mut division: Division,
        memory: &mut Memory,
        progress: &mut Progress,
        mut out: impl FnMut(Surveyed<'_>),
    ) -> io::Result<Guesses> {
        let Self::File {
            name,
            blocks,
            packing,
            read,
            size,
            ..
        } = self
        else {
            return Ok(Guesses::default());
        };
        if packing.is_none() && size.is_some_and(|size| size <= division.alone) {
            division.workers = 1;
        }
        let mut lines = 0;
        let (blocks, guesses) = survey.run(blocks, division, memory, |told| match told {
            Told::Lines(surveyed) => {
                lines += match surveyed {
                    Surveyed::Passed { count, .. } => count,
                    Surveyed::Line(..) => 1,
                };
                out(surveyed);
            }
            Told::End => {
                let bytes = read.load(Ordering::Relaxed);
                progress.advance(std::mem::take(&mut lines), Place { bytes, size });
            }
        })?;
        progress.end();
        tell_damage(&name, packing, &blocks, read.load(Ordering::Relaxed));
        Ok(guesses)
    }

    /// Calls back with the lines of a file, many at a time, and how much of it was read by then.
    pub(super) fn blocks(
        self,
        progress: &mut Progress,
        mut out: impl FnMut(&mut Progress, &[u8], Place) -> io::Result<()>,
    ) -> io::Result<()> {
        let Self::File {
            name,
            mut blocks,
            packing,
            read,
            size,
            ..
        } = self
        else {
            return Ok(());
        };
        let place = || Place {
            bytes: read.load(Ordering::Relaxed),
            size,
        };
        // Of a plain file reading costs next to nothing.
        let is_plain = packing.is_none() && size.is_some();
        if is_plain || thread::available_parallelism().is_ok_and(|all| all.get() < 2) {
            blocks.each(|block| out(progress, block, place()))?;
        } else {
            let mut reading = Reading::begin(blocks, usize::MAX)?;
            while let Some(block) = reading.next() {
                out(progress, &block, place())?;
                reading.reuse(block);
            }
            blocks = reading.end()?;
        }
        progress.end();
        tell_damage(&name, packing, &blocks, place().bytes);
        Ok(())
    }

    /// Calls back with every line but empty ones and comments, without its end. A last line without an end is none: more of
    /// it may come.
    pub(super) fn each(
        self,
        progress: &mut Progress,
        mut out: impl FnMut(Line<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let is_wanted = |line: &[u8]| !line.is_empty() && line.first() != Some(&b'#');
        match self {
            Self::Typed(text) => text
                .split('\n')
                .map(|line| line.strip_suffix('\r').unwrap_or(line).as_bytes())
                .filter(|line| is_wanted(line))
                .try_for_each(|text| out(Line { text, given: None })),
            Self::File { .. } => self.blocks(progress, |progress, block, place| {
                lines(block).try_for_each(|text| {
                    progress.advance(1, place);
                    out(Line { text, given: None })
                })
            }),
            Self::Journal { mut reader, .. } => {
                let zone = crate::zone::system();
                let mut text = Vec::new();
                let mut bytes = 0;
                while let Some(entry) = reader.next_entry() {
                    bytes += u64::try_from(entry.line.len()).unwrap_or(0);
                    progress.advance(1, Place { bytes, size: None });
                    text.clear();
                    text.extend(journal_date(entry.time, &zone).bytes());
                    text.push(b' ');
                    let given = Given {
                        at: Timestamp::from_micros(entry.time),
                        date: text.len(),
                    };
                    text.extend(entry.line);
                    out(Line {
                        text: &text,
                        given: Some(given),
                    })?;
                }
                for problem in reader.take_problems() {
                    crate::terminal::complain(&format!("warning: {problem}"));
                }
                Ok(())
            }
        }
    }
}

/// Whether LOG means the journal.
pub(super) fn is_journal(log: &str) -> bool {
    log.starts_with("systemd-journal")
}

fn open_journal(options: &Options, rules: &Rules) -> Result<Input, Stop> {
    let matches = rules.journalmatch.as_slice();
    let refused = |error: &dyn std::fmt::Display| Stop::Refused(error.to_string());
    let named = config_options::parse(&options.log).map_err(|error| refused(&error))?;
    let mut which = journal::Options::default();
    for (name, value) in &named.options {
        which.set(name, value).map_err(|error| refused(&error))?;
    }
    let mut reader = Reader::open(&which, journal::From::Head);
    if !matches.is_empty() {
        let wanted = Matches::parse([matches]).map_err(|error| refused(&error))?;
        reader.set_matches(&[wanted]);
    }
    Ok(Input::Journal {
        encoding: rules.encoding.clone().unwrap_or_else(|| "UTF-8".to_owned()),
        reader: Box::new(reader),
        matches: matches.to_vec(),
    })
}

/// The words of a `journalmatch`, split as a shell does.
pub(super) fn journal_words(text: &str) -> Result<Vec<String>, Stop> {
    shell_words::split(text).ok_or_else(|| Stop::Refused("No closing quotation".into()))
}

/// How the bytes of the log become text.
fn letters(rules: &Rules) -> Result<Encoding, Stop> {
    let given = rules.encoding.as_deref().unwrap_or("auto");
    Encoding::of(given).ok_or_else(|| {
        Stop::Refused(format!(
            "unknown encoding `{given}`\n  why: names are those of Python, such as latin1, cp1252 or utf-16\n  mend: --encoding=UTF-8, or convert the log \
             with iconv"
        ))
    })
}

/// Says that the rest of an archive was not read.
fn tell_damage(name: &str, packing: Option<Packing>, blocks: &Blocks, read: u64) {
    let (Some(packing), Some(error)) = (packing, blocks.problem()) else {
        return;
    };
    let why = if error.kind() == io::ErrorKind::UnexpectedEof {
        "it is cut off".to_owned()
    } else {
        format!("it is damaged: {error}")
    };
    let program = packing.program();
    crate::terminal::complain(&format!(
        "warning: `{name}` could not be unpacked to its end; what could be was tried\n  at about byte {read} of the {program} file\n  why: {why}\n  \
         mend: see what `{program} -t` says of it, and fetch it again if it is a copy"
    ));
}

/// A file that tells how much of it was read.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.read.fetch_add(u64::try_from(read).unwrap_or(0), Ordering::Relaxed);
        Ok(read)
    }
}
