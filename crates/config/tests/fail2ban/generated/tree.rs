//! A small configuration as blocks that can be left out one by one.

use crate::common::Directory;

/// Files in order, each with its blocks: a section's line, or an option with all lines of its value.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
}

#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) line_end: &'static str,
    pub(crate) blocks: Vec<Vec<String>>,
}

impl File {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            line_end: "\n",
            blocks: Vec::new(),
        }
    }

    /// Adds a block of one or more lines.
    pub(crate) fn add(&mut self, text: &str) {
        self.blocks.push(text.split('\n').map(str::to_owned).collect());
    }

    pub(crate) fn text(&self) -> String {
        let lines = self.blocks.iter().flatten().map(String::as_str);
        lines.flat_map(|line| [line, self.line_end]).collect()
    }
}

impl Tree {
    pub(crate) fn write(&self) -> Directory {
        let directory = Directory::new();
        for file in &self.files {
            directory.write(&file.name, file.text());
        }
        directory
    }

    /// As `testdata/config/*.trees` are written.
    pub(crate) fn shown(&self) -> String {
        let show = |file: &File| format!("==== {}\n{}", file.name, file.text());
        self.files.iter().map(show).collect()
    }
}
