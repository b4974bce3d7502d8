//! A path or glob becomes the files that stand there now, and the list of directory entries that would change the answer.
//!
//! Links are followed here, one component at a time, and not by the kernel: a link that is turned elsewhere, a directory
//! that appears or one that is replaced must all be noticed, so each name on the way is something to watch.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};

use crate::glob;

/// Files per glob; each takes a descriptor, and the usual limit of descriptors is 1024 or more.
pub(crate) const FILE_LIMIT: usize = 512;

/// Directory entries looked at per glob. Links make directories without end of few, and the whole server waits meanwhile.
pub(crate) const WALK_LIMIT: usize = 20_000;

/// As the kernel's own limit.
const LINK_LIMIT: usize = 40;

/// A change of which entries of a directory matters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Name(OsString),
    Pattern(OsString),
}

impl Interest {
    pub(crate) fn concerns(&self, name: &OsStr) -> bool {
        match self {
            Self::Name(wanted) => wanted == name,
            Self::Pattern(pattern) => glob::fits(pattern, name),
        }
    }
}

/// What a path or glob leads to.
#[derive(Debug, Default)]
pub(crate) struct Resolution {
    /// Regular files: the path as the glob gives it, and the same without links. Sorted by the former.
    pub(crate) files: Vec<(PathBuf, PathBuf)>,
    /// Directories, without links, and what matters in them.
    pub(crate) watch: Vec<(PathBuf, Interest)>,
    /// What stands in the way.
    pub(crate) obstacles: Vec<Obstacle>,
    pub(crate) too_many: bool,
    /// The walk was ended at [`WALK_LIMIT`].
    pub(crate) too_wide: bool,
    walked: usize,
}

#[derive(Debug)]
pub(crate) enum Obstacle {
    NotAFile { path: PathBuf, kind: &'static str },
    Unreadable { path: PathBuf, error: io::Error },
}

/// Where the walk stands.
#[derive(Clone)]
struct Place {
    /// Without links.
    real: PathBuf,
    /// As the operator would write it.
    shown: PathBuf,
    /// What is still to be walked, the next one last.
    rest: Vec<Step>,
    links: usize,
}

#[derive(Clone)]
struct Step {
    name: OsString,
    /// Out of a link: part of the real path only, and never a pattern.
    from_link: bool,
}

/// Walks an absolute path or glob.
pub(crate) fn resolve(pattern: &Path) -> Resolution {
    let mut found = Resolution::default();
    let start = Place {
        real: "/".into(),
        shown: "/".into(),
        rest: steps(pattern, false),
        links: 0,
    };
    let mut todo = vec![start];
    while let Some(place) = todo.pop() {
        found.walked += 1;
        if found.walked > WALK_LIMIT {
            found.too_wide = true;
            break;
        }
        walk(place, &mut todo, &mut found);
    }
    found.files.sort();
    found.files.dedup();
    if found.files.len() > FILE_LIMIT {
        found.files.truncate(FILE_LIMIT);
        found.too_many = true;
    }
    found
}

fn steps(path: &Path, from_link: bool) -> Vec<Step> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    path.components()
        .rev()
        .filter_map(name)
        .map(|name| Step { name, from_link })
        .collect()
}

fn walk(mut place: Place, todo: &mut Vec<Place>, found: &mut Resolution) {
    let Some(step) = place.rest.pop() else { return };
    if step.name == ".." {
        place.real.pop();
        if !step.from_link {
            place.shown.push("..");
        }
        todo.push(place);
        return;
    }
    if step.from_link || !glob::is_pattern(&step.name) {
        found
            .watch
            .push((place.real.clone(), Interest::Name(step.name.clone())));
        enter(place, &step, todo, found, false);
        return;
    }
    found
        .watch
        .push((place.real.clone(), Interest::Pattern(step.name.clone())));
    let entries = match fs::read_dir(&place.real) {
        Ok(entries) => entries,
        Err(error) => {
            obstacle(found, &place.real, error);
            return;
        }
    };
    for entry in entries.flatten() {
        found.walked += 1;
        if found.walked > WALK_LIMIT {
            found.too_wide = true;
            return;
        }
        if !glob::fits(&step.name, &entry.file_name()) {
            continue;
        }
        let step = Step {
            name: entry.file_name(),
            from_link: false,
        };
        enter(place.clone(), &step, todo, found, true);
    }
}

/// Goes into one entry of a directory. `by_glob`: what is not a file was not asked for by name.
fn enter(mut place: Place, step: &Step, todo: &mut Vec<Place>, found: &mut Resolution, by_glob: bool) {
    let directory = place.real.clone();
    place.real.push(&step.name);
    if !step.from_link {
        place.shown.push(&step.name);
    }
    let metadata = match fs::symlink_metadata(&place.real) {
        Ok(metadata) => metadata,
        Err(error) => {
            obstacle(found, &place.real, error);
            return;
        }
    };
    let kind = metadata.file_type();
    if kind.is_symlink() {
        place.links += 1;
        match fs::read_link(&place.real) {
            Ok(target) if place.links <= LINK_LIMIT => {
                place.real = if target.is_absolute() { "/".into() } else { directory };
                place.rest.extend(steps(&target, true));
                todo.push(place);
            }
            Ok(_) => obstacle(found, &place.shown, io::Error::from(rustix::io::Errno::LOOP)),
            Err(error) => obstacle(found, &place.real, error),
        }
    } else if !place.rest.is_empty() {
        if kind.is_dir() {
            todo.push(place);
        }
    } else if kind.is_file() {
        found.files.push((place.shown, place.real));
    } else if !by_glob {
        let kind = match kind {
            kind if kind.is_dir() => "a directory",
            kind if kind.is_fifo() => "a pipe",
            kind if kind.is_socket() => "a socket",
            _ => "a device",
        };
        found.obstacles.push(Obstacle::NotAFile {
            path: place.shown,
            kind,
        });
    }
}

fn obstacle(found: &mut Resolution, path: &Path, error: io::Error) {
    if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
        found.obstacles.push(Obstacle::Unreadable {
            path: path.to_owned(),
            error,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use testkit::TempDir;

    fn shown(pattern: &Path) -> Vec<PathBuf> {
        resolve(pattern).files.into_iter().map(|(shown, _)| shown).collect()
    }

    fn watched(pattern: &Path, directory: &Path, name: &str) -> bool {
        resolve(pattern)
            .watch
            .iter()
            .any(|(watched, interest)| watched == directory && interest.concerns(name.as_ref()))
    }

    #[test]
    fn every_name_on_the_way_to_a_missing_file_is_watched_up_to_the_nearest_directory() {
        let dir = TempDir::new("resolve");
        let base = fs::canonicalize(dir.path()).unwrap();
        let wanted = base.join("a/b/c.log");
        assert!(resolve(&wanted).files.is_empty());
        assert!(watched(&wanted, &base, "a"));
        assert!(watched(
            &wanted,
            base.parent().unwrap(),
            base.file_name().unwrap().to_str().unwrap()
        ));
        assert!(!watched(&wanted, &base, "b"));
        dir.write("a/other", "");
        assert!(watched(&wanted, &base.join("a"), "b"));
        dir.write("a/b/c.log", "");
        assert_eq!(shown(&wanted), [wanted]);
    }

    #[test]
    fn links_are_followed_and_both_ends_are_watched() {
        let dir = TempDir::new("links");
        let base = fs::canonicalize(dir.path()).unwrap();
        dir.write("real/day1", "");
        symlink("../real/day1", base.join("now")).unwrap();
        fs::create_dir(base.join("logs")).unwrap();
        symlink("../real/day1", base.join("logs/now")).unwrap();
        symlink(base.join("logs"), base.join("way")).unwrap();
        symlink("loop", base.join("loop")).unwrap();
        let by_way = base.join("way/now");
        assert_eq!(resolve(&by_way).files, [(by_way.clone(), base.join("real/day1"))]);
        assert!(watched(&by_way, &base, "way"));
        assert!(watched(&by_way, &base.join("logs"), "now"));
        assert!(watched(&by_way, &base.join("real"), "day1"));
        assert!(matches!(
            resolve(&base.join("loop")).obstacles.as_slice(),
            [Obstacle::Unreadable { .. }]
        ));
        assert_eq!(shown(&base.join("logs/../way/n*")), [base.join("logs/../way/now")]);
    }

    #[test]
    fn a_glob_into_directories_without_end_comes_to_an_end() {
        let dir = TempDir::new("endless");
        let base = fs::canonicalize(dir.path()).unwrap();
        for name in ["a", "b", "c"] {
            symlink(".", base.join(name)).unwrap();
        }
        dir.write("x.log", "");
        let begun = std::time::Instant::now();
        let found = resolve(&base.join("*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/x.log"));
        assert!(found.too_wide);
        assert!(
            begun.elapsed() < std::time::Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        assert!(!resolve(&base.join("*/x.log")).too_wide);
    }

    #[test]
    fn globs_give_files_sorted_and_pass_over_directories() {
        let dir = TempDir::new("globs");
        let base = fs::canonicalize(dir.path()).unwrap();
        for name in ["b/x.log", "a/y.log", "a/x.log", "a/x.txt", ".h/x.log"] {
            dir.write(name, "");
        }
        fs::create_dir(base.join("a/z.log")).unwrap();
        let pattern = base.join("*/*.log");
        assert_eq!(
            shown(&pattern),
            [base.join("a/x.log"), base.join("a/y.log"), base.join("b/x.log")]
        );
        assert!(resolve(&pattern).obstacles.is_empty());
        let by_name = resolve(&base.join("a"));
        assert!(matches!(
            by_name.obstacles.as_slice(),
            [Obstacle::NotAFile {
                kind: "a directory",
                ..
            }]
        ));
    }
}
