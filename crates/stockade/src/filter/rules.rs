//! The filter that is tried.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use stockade_config::{Place, Setting, Value, builtin};
use stockade_filter::{Filter, FilterSettings, UseDns};

use super::samples::Samples;

/// A filter by its name or file.
pub(super) struct Named {
    pub(super) name: String,
    /// The configuration.
    folder: PathBuf,
    /// Its path in there, without `.conf`.
    base: PathBuf,
}

/// A filter with options, compiled.
pub(super) struct Rules {
    pub(super) filter: Filter,
    pub(super) settings: FilterSettings,
    all: Vec<Setting>,
}

impl Named {
    pub(super) fn new(folder: &Path, given: &OsStr) -> Result<Self, String> {
        let path = Path::new(given);
        let text = given.to_str().ok_or("the name of the filter is no text")?;
        let plain = text.strip_suffix(".conf").unwrap_or(text);
        if !path.is_file() {
            if text.contains('/') {
                return Err(format!("there is no filter file {}", text.escape_debug()));
            }
            return Ok(Self {
                name: plain.to_owned(),
                folder: folder.to_owned(),
                base: Path::new("filter.d").join(plain),
            });
        }
        let plain = Path::new(plain);
        let name = plain.file_name().and_then(OsStr::to_str).unwrap_or_default().to_owned();
        let parent = plain.parent().filter(|parent| *parent != Path::new(""));
        let parent = parent.unwrap_or(Path::new("."));
        // A file in a filter.d may include others of its configuration.
        let (folder, base) = match parent
            .parent()
            .filter(|_| parent.file_name() == Some(OsStr::new("filter.d")))
        {
            Some(above) if above == Path::new("") => (PathBuf::from("."), Path::new("filter.d").join(&name)),
            Some(above) => (above.to_owned(), Path::new("filter.d").join(&name)),
            None => (parent.to_owned(), PathBuf::from(&name)),
        };
        Ok(Self { name, folder, base })
    }

    /// Its samples: those beside it, else those of the built-in filter of its name.
    pub(super) fn samples(&self) -> Result<Samples, String> {
        let beside = self
            .folder
            .join(self.base.with_file_name(format!("{}.samples", self.name)));
        // In a checkout.
        let ours = self
            .folder
            .join("../testdata/samples")
            .join(format!("{}.samples", self.name));
        if let Some(path) = [&beside, &ours].into_iter().find(|path| path.is_file()) {
            return Samples::read(path);
        }
        let is_named = self.base.starts_with("filter.d");
        let text = builtin::samples(&self.name).filter(|_| is_named).ok_or_else(|| {
            format!(
                "the filter `{}` has no samples: there is no {}\n  mend: write them there, or name their file behind the filter",
                self.name.escape_debug(),
                beside.display()
            )
        })?;
        Samples::parse(format!("built-in {}.samples", self.name), text)
    }

    /// The filter with options, `[mode=aggressive]`, or none.
    pub(super) fn rules(&self, options: &str) -> Result<Rules, String> {
        let passed = stockade_config::options::parse(&format!("{}{options}", self.name))
            .map_err(|error| format!("`{options}` are no options: {error}"))?
            .options;
        let read = stockade_config::filter_settings(&self.folder, &self.base, &passed, false, &mut Vec::new());
        let read = read.ok_or_else(|| {
            format!(
                "there is no filter `{}` in {}\n  mend: name a file, or the configuration with -c",
                self.name.escape_debug(),
                self.folder.display()
            )
        })?;
        let all = read.map_err(|finding| finding.to_string())?.settings;
        let settings = settings(&all);
        if settings.failregex.is_empty() {
            return Err(format!(
                "the filter `{}` has no failregex\n  mend: one with <ADDR> in the place of the address",
                self.name.escape_debug()
            ));
        }
        let filter = Filter::new(&settings, &crate::zone::system()).map_err(|errors| {
            let errors: Vec<String> = errors
                .iter()
                .map(|error| format!("{error}\n  mend: {}", error.mend))
                .collect();
            errors.join("\n")
        })?;
        Ok(Rules { filter, settings, all })
    }
}

impl Rules {
    /// Where a rule stands.
    pub(super) fn place(&self, option: &str, index: usize) -> Place {
        let is_it = |setting: &&Setting| setting.option.trim_start_matches("add") == option;
        let lines = self.all.iter().filter(is_it).flat_map(|setting| match &setting.value {
            Value::Lines(lines) => lines.as_slice(),
            _ => &[],
        });
        let line = lines.map(|line| &line.place).nth(index);
        let setting = || self.all.iter().find(is_it).map(|setting| &setting.place);
        line.or_else(setting)
            .cloned()
            .unwrap_or_else(|| Place::file("the filter"))
    }
}

fn settings(all: &[Setting]) -> FilterSettings {
    let mut settings = FilterSettings {
        // Names are not looked up: whom a line names is compared as it stands there.
        usedns: UseDns::Warn,
        maxlines: 1,
        ..FilterSettings::default()
    };
    for setting in all {
        match (setting.option.as_ref(), &setting.value) {
            ("maxlines", Value::Int(lines)) => settings.maxlines = u32::try_from(*lines).unwrap_or(1).max(1),
            ("datepattern", Value::Text(pattern)) => {
                settings.datepattern = Some(pattern.clone()).filter(|pattern| !pattern.is_empty());
            }
            ("prefregex", Value::Text(rule)) => settings.prefregex = Some(rule.clone()).filter(|rule| !rule.is_empty()),
            ("addfailregex", Value::Lines(lines)) => {
                settings.failregex.extend(lines.iter().map(|line| line.text.clone()));
            }
            ("addignoreregex", Value::Lines(lines)) => {
                settings.ignoreregex.extend(lines.iter().map(|line| line.text.clone()));
            }
            // The rest concerns the log.
            _ => {}
        }
    }
    settings
}
