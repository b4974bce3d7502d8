//! Which files make up a configuration, in which order, and what they say together.
//!
//! Layers (see `docs` of [`crate`]): a file on disk hides the built-in file of the same name under the configuration
//! directory. `.local` files and `.d` directories exist on disk only and go on top of whichever base there is.

use crate::names::HashMap;
use std::cell::{Cell, RefCell};
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use crate::builtin;
use crate::diagnostic::{Diagnostic, Place};
use crate::ini::{self, Entry, FILE_LIMIT_BYTES, IniFile, strip};
use crate::interpolate::View;
use crate::positions::Positions;
use crate::work::Work;

/// Files that may make up one configuration; a stock jail.conf needs three.
const FILE_COUNT_LIMIT: usize = 512;
/// And what they may have together: options take some forty times that in memory.
const TOTAL_LIMIT_BYTES: usize = 16 << 20;

/// Linux's flag for “do not wait”: what was a file may be a pipe a moment later, and /proc has files that wait for something to happen.
const O_NONBLOCK: i32 = 0o4000;

/// What all files of a base name say together.
#[derive(Debug, Default)]
pub(crate) struct Merged {
    pub(crate) defaults: Section,
    pub(crate) sections: Vec<Section>,
    index: HashMap<Arc<str>, usize>,
    /// The files read, in order.
    pub(crate) files: Vec<Arc<str>>,
    /// The sizes of these together.
    bytes: usize,
    /// What was read and put together for it and the others of its tree.
    pub(crate) work: Work,
}

/// One section as the files together give it; options in the order in which they first appeared.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) name: Arc<str>,
    pub(crate) place: Option<Place>,
    pub(crate) options: Vec<(String, Entry)>,
    positions: Positions,
    /// Whether more than one file has it.
    pub(crate) again: bool,
    /// What an overridden option was in the files before, the oldest first.
    overridden: HashMap<String, Vec<Entry>>,
}

impl Section {
    pub(crate) fn get(&self, option: &str) -> Option<&Entry> {
        let at = self.positions.find(&self.options, option)?;
        self.options.get(at).map(|(_, entry)| entry)
    }

    /// What the option was before the last file that sets it: `%(known/…)s`.
    pub(crate) fn known(&self, option: &str) -> Option<&Entry> {
        self.overridden(option).last()
    }

    /// What the option was in the files before, the oldest first.
    pub(crate) fn overridden(&self, option: &str) -> &[Entry] {
        self.overridden.get(option).map_or(&[], Vec::as_slice)
    }

    fn set(&mut self, option: String, entry: Entry) {
        let at = self.positions.find(&self.options, &option);
        if let Some((_, old)) = at.and_then(|at| self.options.get_mut(at)) {
            let before = std::mem::replace(old, entry);
            self.overridden.entry(option).or_default().push(before);
            return;
        }
        self.options.push((option, entry));
        self.positions.grown(&self.options);
    }
}

impl Merged {
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.index.get(name).and_then(|&at| self.sections.get(at))
    }

    /// Sets a default that every file may override.
    pub(crate) fn preset(&mut self, option: &str, value: &str) {
        let place = Place::file("the program");
        self.defaults.set(
            option.to_owned(),
            Entry {
                value: value.to_owned(),
                place,
                lines: Vec::new(),
            },
        );
    }

    pub(crate) fn add(&mut self, file: IniFile) {
        for section in file.sections {
            if &*section.name == "DEFAULT" {
                for (option, entry) in section.options {
                    self.defaults.set(option, entry);
                }
                continue;
            }
            // `[Init?family=inet6]` is kept in [Init], each option with the condition behind its name.
            let condition = section
                .name
                .strip_prefix("Init?")
                .map(|condition| format!("?{condition}"));
            let name = if condition.is_some() {
                "Init".into()
            } else {
                Arc::clone(&section.name)
            };
            let new = !self.index.contains_key(&name);
            let at = *self.index.entry(Arc::clone(&name)).or_insert_with(|| {
                let place = Some(section.place.clone());
                self.sections.push(Section {
                    name,
                    place,
                    ..Section::default()
                });
                self.sections.len() - 1
            });
            let Some(merged) = self.sections.get_mut(at) else {
                continue;
            };
            merged.again |= !new;
            for (option, entry) in section.options {
                merged.set(option + condition.as_deref().unwrap_or_default(), entry);
            }
        }
    }
}

/// The configuration directory with the built-in configuration behind it.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    dir: PathBuf,
    work: Work,
    kept: Rc<Kept>,
}

/// What has been read already: many jails use the same actions, many filters the same include.
#[derive(Debug, Default)]
struct Kept {
    /// What the files of a base name say together.
    bases: RefCell<HashMap<PathBuf, Option<Rc<Merged>>>>,
    /// Single files, if they are there.
    files: RefCell<HashMap<PathBuf, Option<Parsed>>>,
    /// Paths without links: to find one takes a call of the system for each of its folders.
    real: RefCell<HashMap<PathBuf, PathBuf>>,
    /// The bytes of the files that stand in either, and of these paths.
    bytes: Cell<usize>,
}

/// Beyond this, files are read again when they are needed again: options take some forty times that in memory.
const KEPT_LIMIT_BYTES: usize = 4 << 20;

impl Kept {
    /// Counts these bytes if there is room for them.
    fn takes(&self, bytes: usize) -> bool {
        let total = self.bytes.get().saturating_add(bytes);
        let room = total <= KEPT_LIMIT_BYTES;
        if room {
            self.bytes.set(total);
        }
        room
    }

    /// The path without links, so that a circle of them does not make one file look like many.
    fn real(&self, path: &Path) -> PathBuf {
        if let Some(kept) = self.real.borrow().get(path) {
            return kept.clone();
        }
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if self.takes(path.as_os_str().len().saturating_add(real.as_os_str().len())) {
            self.real.borrow_mut().insert(path.to_owned(), real.clone());
        }
        real
    }

    fn keep(&self, path: &Path, parsed: Option<&Parsed>) {
        let bytes = parsed.map_or(path.as_os_str().len(), |parsed| parsed.bytes);
        if self.takes(bytes) {
            self.files.borrow_mut().insert(path.to_owned(), parsed.cloned());
        }
    }
}

/// A file as it was read.
#[derive(Clone, Debug)]
struct Parsed {
    name: Arc<str>,
    bytes: usize,
    file: Rc<IniFile>,
}

impl Tree {
    pub(crate) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            work: Work::default(),
            kept: Rc::default(),
        }
    }

    /// What has been read and put together so far.
    pub(crate) fn work(&self) -> &Work {
        &self.work
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Reads `base.conf`, `base.d/*.conf`, `base.local`, `base.d/*.local` and what they include.
    ///
    /// `None` if there is no such file anywhere. What is read again has its findings told already. `presets` are the same
    /// for all of a tree.
    pub(crate) fn read(
        &self,
        base: impl AsRef<Path>,
        presets: &[(&str, &str)],
        findings: &mut Vec<Diagnostic>,
    ) -> Option<Rc<Merged>> {
        let base = base.as_ref();
        if let Some(kept) = self.kept.bases.borrow().get(base) {
            return kept.clone();
        }
        let merged = self.read_all(base, presets, findings).0.map(Rc::new);
        let bytes = merged.as_ref().map_or(base.as_os_str().len(), |merged| merged.bytes);
        if self.kept.takes(bytes) {
            self.kept.bases.borrow_mut().insert(base.to_owned(), merged.clone());
        }
        merged
    }

    /// The same, and which of the files are there but cannot be read.
    pub(crate) fn read_all(
        &self,
        base: impl AsRef<Path>,
        presets: &[(&str, &str)],
        findings: &mut Vec<Diagnostic>,
    ) -> (Option<Merged>, Vec<String>) {
        let mut unreadable = Vec::new();
        let mut merged = Merged {
            work: self.work.clone(),
            ..Merged::default()
        };
        for (option, value) in presets {
            merged.preset(option, value);
        }
        let base = self.dir.join(base);
        let mut mains = vec![with_suffix(&base, ".conf")];
        let (confs, locals): (Vec<_>, Vec<_>) = self
            .listed(&with_suffix(&base, ".d"), &mut unreadable, findings)
            .into_iter()
            .partition(|path| path.extension().is_some_and(|end| end == "conf"));
        mains.extend(confs);
        mains.push(with_suffix(&base, ".local"));
        mains.extend(locals);
        let mut reading = Reading {
            tree: self,
            presets,
            within: Vec::new(),
            files: Vec::new(),
            total_bytes: 0,
            full: false,
            unreadable,
            findings,
        };
        for main in mains {
            if let Some(file) = reading.file(&main, false) {
                reading.with_includes(&main, file);
            }
        }
        let Reading {
            files,
            unreadable,
            total_bytes,
            ..
        } = reading;
        merged.bytes = total_bytes;
        if files.is_empty() {
            return (None, unreadable);
        }
        for parsed in files {
            merged.files.push(parsed.name);
            merged.add(Rc::try_unwrap(parsed.file).unwrap_or_else(|shared| IniFile::clone(&shared)));
        }
        (Some(merged), unreadable)
    }

    /// Where a file that is no ini file stands, if it does (`action.d/smtp.py`).
    pub(crate) fn find(&self, name: &Path) -> Option<PathBuf> {
        let path = self.dir.join(name);
        path.is_file().then_some(path)
    }

    /// The `.conf` and `.local` files of a `.d` directory, by name.
    #[expect(clippy::unused_self, reason = "disk only today, but it is the tree that knows")]
    fn listed(&self, directory: &Path, unreadable: &mut Vec<String>, findings: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    let name = directory.to_string_lossy().into_owned();
                    if !unreadable.contains(&name) {
                        unreadable.push(name);
                    }
                    let what = format!("the directory {} cannot be read: {error}", directory.display());
                    findings.push(
                        Diagnostic::error(what, Place::file(&directory.to_string_lossy()))
                            .why("the files in it are missing")
                            .mend("check its type, owner and mode"),
                    );
                }
                return Vec::new();
            }
        };
        let mut paths: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            // Python's glob passes over hidden files.
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| !name.starts_with('.')))
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "conf" || kind == "local"))
            .take(2 * FILE_COUNT_LIMIT)
            .collect();
        paths.sort();
        paths
    }

    /// The bytes of a file and the name to show for it; `Ok(None)` if there is none.
    fn bytes(&self, path: &Path) -> Result<Option<Content>, Unreadable> {
        let name: Arc<str> = path.to_string_lossy().into();
        let failed = |reason: String| Unreadable {
            name: Arc::clone(&name),
            reason,
        };
        // Looked at first: to open a pipe would wait for somebody to write to it.
        match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => return Err(failed("it is not a regular file".to_owned())),
            Err(error) if missing(&error) => return Ok(self.builtin(path)),
            _ => {}
        }
        match fs::File::options().read(true).custom_flags(O_NONBLOCK).open(path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
                if !metadata.is_file() {
                    return Err(failed("it is not a regular file".to_owned()));
                }
                // The size is right unless somebody writes just now.
                let mut bytes = Vec::with_capacity(
                    usize::try_from(metadata.len())
                        .unwrap_or(0)
                        .saturating_add(1)
                        .min(FILE_LIMIT_BYTES),
                );
                let limit = u64::try_from(FILE_LIMIT_BYTES).unwrap_or(u64::MAX);
                file.take(limit.saturating_add(1))
                    .read_to_end(&mut bytes)
                    .map_err(|error| failed(error.to_string()))?;
                if bytes.len() > FILE_LIMIT_BYTES {
                    return Err(failed(format!("it is larger than {} MB", FILE_LIMIT_BYTES >> 20)));
                }
                Ok(Some((name, bytes)))
            }
            Err(error) if missing(&error) => Ok(self.builtin(path)),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// The built-in file of this path.
    fn builtin(&self, path: &Path) -> Option<Content> {
        let (name, text) = builtin::file(path.strip_prefix(&self.dir).ok()?.to_str()?)?;
        Some((format!("built-in/{name}").into(), text.as_bytes().to_vec()))
    }
}

/// A file's name as it is shown, and its bytes.
type Content = (Arc<str>, Vec<u8>);

/// A file that is there and cannot be read.
struct Unreadable {
    name: Arc<str>,
    reason: String,
}

fn missing(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
    )
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Resolves `.` and `..` by text, so that a file included over two paths counts as one.
fn normalised(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    plain
}

struct Reading<'a> {
    tree: &'a Tree,
    presets: &'a [(&'a str, &'a str)],
    /// The files that include the one being read: none of them is included again, so that includes cannot loop. A file
    /// that is included at two places is read at both, as Fail2Ban does.
    within: Vec<PathBuf>,
    files: Vec<Parsed>,
    /// The sizes of those that were read.
    total_bytes: usize,
    /// Whether it has been told that they are too many.
    full: bool,
    unreadable: Vec<String>,
    findings: &'a mut Vec<Diagnostic>,
}

impl Reading<'_> {
    /// Reads a file; `shared` ones are likely to be read again, for another base.
    fn file(&mut self, path: &Path, shared: bool) -> Option<Parsed> {
        let too_much = if self.files.len() >= FILE_COUNT_LIMIT {
            Some(format!("more than {FILE_COUNT_LIMIT} files"))
        } else if self.total_bytes > TOTAL_LIMIT_BYTES {
            Some(format!("more than {} MB", TOTAL_LIMIT_BYTES >> 20))
        } else {
            None
        };
        if too_much.is_some() && std::mem::replace(&mut self.full, true) {
            return None;
        }
        if let Some(too_much) = too_much {
            let what = format!("{too_much} make up this configuration; the rest is left out");
            let finding = Diagnostic::error(what, Place::file(&path.to_string_lossy()));
            self.findings.push(
                finding
                    .why("files that include one another are read at each place")
                    .mend("include fewer of them"),
            );
            return None;
        }
        let kept = self.tree.kept.files.borrow().get(path).cloned();
        if let Some(kept) = kept {
            self.total_bytes += kept.as_ref().map_or(0, |parsed| parsed.bytes);
            return kept;
        }
        match self.tree.bytes(path) {
            Ok(content) => {
                let parsed = content.map(|(name, bytes)| {
                    // Whether that was too much is asked where the values are made out.
                    self.tree.work.spend(bytes.len());
                    let file = Rc::new(ini::parse(&name, &bytes, self.findings));
                    let bytes = bytes.len();
                    Parsed { name, bytes, file }
                });
                self.total_bytes += parsed.as_ref().map_or(0, |parsed| parsed.bytes);
                if shared {
                    self.tree.kept.keep(path, parsed.as_ref());
                }
                parsed
            }
            Err(Unreadable { name, reason }) => {
                self.unreadable.push(name.to_string());
                let what = format!("{name} cannot be read: {reason}");
                let found = Diagnostic::error(what, Place::file(&name)).why("its settings are missing");
                self.findings.push(found.mend("check its type, owner, mode and size"));
                None
            }
        }
    }

    /// Puts a file with its includes in order: `before` files, itself, `after` files.
    fn with_includes(&mut self, path: &Path, parsed: Parsed) {
        let (before, after) = if self.within.len() < 32 {
            self.includes(path, &parsed.name, &parsed.file)
        } else {
            (Vec::new(), Vec::new())
        };
        if before.is_empty() && after.is_empty() {
            self.files.push(parsed);
            return;
        }
        self.within.push(path.to_owned());
        for include in before {
            self.include(&include);
        }
        self.files.push(parsed);
        for include in after {
            self.include(&include);
        }
        self.within.pop();
    }

    /// Puts an included file, and the `.local` beside it after all that it includes.
    fn include(&mut self, path: &Path) {
        // A file that includes itself is read twice, as by Fail2Ban.
        let outer = || self.within.iter().rev().skip(1);
        let real = |path| self.tree.kept.real(path);
        if outer().any(|outer| outer == path) || outer().any(|outer| real(outer) == real(path)) {
            return;
        }
        // A missing include is no error: stock files name `paths-overrides.local`, which is for the user to make.
        if let Some(file) = self.file(path, true) {
            self.with_includes(path, file);
        }
        if path.extension().is_some_and(|extension| extension == "conf") {
            let local = path.with_extension("local");
            if let Some(file) = self.file(&local, true) {
                self.with_includes(&local, file);
            }
        }
    }

    fn includes(&mut self, path: &Path, name: &Arc<str>, file: &IniFile) -> (Vec<PathBuf>, Vec<PathBuf>) {
        if !file.sections.iter().any(|section| &*section.name == "INCLUDES") {
            return (Vec::new(), Vec::new());
        }
        // `[INCLUDES]` sees its own file only.
        let mut own = Merged {
            work: self.tree.work.clone(),
            ..Merged::default()
        };
        for (option, value) in self.presets {
            own.preset(option, value);
        }
        for section in file
            .sections
            .iter()
            .filter(|section| matches!(&*section.name, "INCLUDES" | "DEFAULT"))
        {
            let copy = ini::IniSection {
                name: Arc::clone(&section.name),
                place: section.place.clone(),
                options: section.options.clone(),
            };
            own.add(IniFile { sections: vec![copy] });
        }
        let directory = path.parent().unwrap_or(Path::new("/"));
        let mut both = [Vec::new(), Vec::new()];
        for (option, list) in ["before", "after"].into_iter().zip(&mut both) {
            match View::new(&own, "INCLUDES").get(option) {
                Ok(Some(value)) => {
                    let names = value.split('\n').map(strip).filter(|text| !text.is_empty());
                    list.extend(
                        names
                            .take(FILE_COUNT_LIMIT)
                            .map(|text| normalised(&directory.join(text))),
                    );
                }
                Ok(None) => {}
                Err(error) => self.findings.push(error.diagnostic(Place::file(name))),
            }
        }
        let [before, after] = both;
        (before, after)
    }
}
