//! Where journal files are, and which of them are asked for.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::glob;

/// journald keeps its files in one of these; the first is emptied at a boot.
const PLACES: [&str; 2] = ["/run/log/journal", "/var/log/journal"];
const RUNTIME: &str = "/run/log/journal";

/// More files than this are not looked at: each takes a read of its header.
pub(super) const FILE_LIMIT: usize = 4096;

const LOCAL_ONLY: u32 = 1;
const RUNTIME_ONLY: u32 = 2;
const SYSTEM: u32 = 4;
const CURRENT_USER: u32 = 8;

/// Which journal is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Options {
    /// `journalpath`: a folder, in the place of the system's.
    pub path: Option<PathBuf>,
    /// `journalfiles`: files and globs, in the place of folders.
    pub files: Vec<String>,
    /// `journalflags`: 1 this machine's only, 2 since the boot only, 4 those of the system, 8 those of the user; the journal of the system
    /// unless set. Not used where `path` or `files` are given.
    pub flags: Option<u32>,
    /// `namespace` of journald.
    pub namespace: Option<String>,
}

/// An option of `backend = systemd[…]` that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// Its name.
    pub name: String,
    /// What was given.
    pub value: String,
    /// What it would have to be.
    pub why: &'static str,
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, why } = self;
        write!(
            f,
            "`{name}={value}` cannot be used for the journal; why: {why}; mend: backend = systemd[journalpath=/var/log/journal]"
        )
    }
}

impl std::error::Error for OptionError {}

impl Options {
    /// Takes one of the options written behind `systemd`: `journalpath`, `journalfiles`, `journalflags`, `namespace` or `rotated`.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), OptionError> {
        let wrong = |why| OptionError {
            name: name.to_owned(),
            value: value.to_owned(),
            why,
        };
        match name {
            "journalpath" if value.is_empty() => return Err(wrong("it must be a folder")),
            "journalpath" => self.path = Some(value.into()),
            "journalfiles" => self.files.extend(value.split_whitespace().map(str::to_owned)),
            "journalflags" => {
                let flags = value.trim().parse();
                self.flags =
                    Some(flags.map_err(|_| wrong("it must be a sum of 1 (local), 2 (runtime), 4 (system), 8 (user)"))?);
            }
            "namespace" => self.namespace = Some(value.to_owned()).filter(|name| !name.is_empty()),
            // Rotated files are read wherever they reach into the time asked for, and only there.
            "rotated" => {}
            _ => {
                return Err(wrong(
                    "it is one of journalpath, journalfiles, journalflags, namespace, rotated",
                ));
            }
        }
        Ok(())
    }

    /// The folders in which files appear; also those that are not there yet.
    pub(super) fn folders(&self) -> Vec<PathBuf> {
        if !self.files.is_empty() {
            let mut folders: Vec<PathBuf> = self
                .files
                .iter()
                .filter_map(|file| Path::new(file).parent().map(Path::to_owned))
                .collect();
            folders.sort();
            folders.dedup();
            return folders;
        }
        let roots: Vec<PathBuf> = match &self.path {
            Some(path) => vec![path.clone()],
            None if self.flag(RUNTIME_ONLY) => vec![RUNTIME.into()],
            None => PLACES.iter().map(PathBuf::from).collect(),
        };
        let machine = machine_id();
        let mut folders = Vec::new();
        for root in roots {
            let mut inner: Vec<PathBuf> = entries(&root)
                .filter(|path| {
                    path.file_name()
                        .is_some_and(|name| self.wants_folder(name, machine.as_deref()))
                })
                .collect();
            inner.sort();
            folders.push(root);
            folders.append(&mut inner);
        }
        folders
    }

    /// The journal files there are now.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = if self.files.is_empty() {
            let folders = self.folders();
            folders
                .iter()
                .flat_map(|folder| entries(folder))
                .filter(|path| path.file_name().is_some_and(|name| self.wants_file(name)))
                .take(FILE_LIMIT)
                .collect()
        } else {
            self.files
                .iter()
                .flat_map(|pattern| {
                    let path = Path::new(pattern);
                    let (folder, name) = (path.parent().unwrap_or(Path::new("/")), path.file_name());
                    let name = name.unwrap_or_default().to_owned();
                    entries(folder).filter(move |path| path.file_name().is_some_and(|file| glob::fits(&name, file)))
                })
                .take(FILE_LIMIT)
                .collect()
        };
        found.sort();
        found.dedup();
        found
    }

    fn flag(&self, flag: u32) -> bool {
        self.flags.unwrap_or(SYSTEM) & flag != 0
    }

    /// Folders are named for the machine, and for the namespace if there is one.
    fn wants_folder(&self, name: &OsStr, machine: Option<&str>) -> bool {
        let Some(name) = name.to_str() else { return false };
        let (id, namespace) = match name.split_once('.') {
            Some((id, namespace)) => (id, Some(namespace)),
            None => (name, None),
        };
        let of_machine = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let local = self.path.is_some() || !self.flag(LOCAL_ONLY) || machine == Some(id);
        of_machine && local && namespace == self.namespace.as_deref()
    }

    fn wants_file(&self, name: &OsStr) -> bool {
        let name = name.as_bytes();
        // A tilde: the file was found damaged and put aside.
        if !name.ends_with(b".journal") && !name.ends_with(b".journal~") {
            return false;
        }
        if self.path.is_some() || !(self.flag(SYSTEM) || self.flag(CURRENT_USER)) {
            return true;
        }
        let of = |stem: &str| {
            let rest = name.strip_prefix(stem.as_bytes());
            rest.is_some_and(|rest| rest.starts_with(b".journal") || rest.starts_with(b"@"))
        };
        let user = || format!("user-{}", rustix::process::getuid().as_raw());
        (self.flag(SYSTEM) && of("system")) || (self.flag(CURRENT_USER) && of(&user()))
    }
}

/// What stands in a folder; nothing if it cannot be read.
fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
}

fn machine_id() -> Option<String> {
    let text = fs::read_to_string("/etc/machine-id").ok()?;
    Some(text.trim().to_owned())
}
