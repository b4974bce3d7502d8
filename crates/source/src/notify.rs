//! inotify: which directories and files are watched, and what the kernel says of them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::event::FileId;

/// What may change which files a path or glob leads to. `ATTRIB`: a file that could not be read may be readable now.
const DIRECTORY: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::ONLYDIR);

/// File systems whose files change without the kernel here knowing: NFS, SMB, FUSE, 9p, Ceph, AFS, Coda, Lustre, GFS2, OCFS2.
const FOREIGN: [u64; 12] = [
    0x6969,
    0x517B,
    0xFF53_4D42,
    0xFE53_4D42,
    0x6573_5546,
    0x0102_1997,
    0x00C3_6400,
    0x5346_414F,
    0x7375_7245,
    0x0BD0_0BD0,
    0x0116_1970,
    0x7461_636F,
];

/// What the kernel said, in terms of what is watched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Notice {
    /// There may be more to read.
    Written(FileId),
    /// An entry of this directory came, went or changed.
    Entry {
        directory: PathBuf,
        name: OsString,
        what: Entry,
    },
    /// The directory itself came, went or moved.
    Directory(PathBuf),
    /// The kernel lost notices: everything may have changed.
    Overflow,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Came,
    Went,
    MovedAway { cookie: u32 },
    MovedHere { cookie: u32 },
}

#[derive(Debug)]
enum Target {
    /// More than one path if a directory is mounted in two places.
    Directories(Vec<PathBuf>),
    /// More than one if a file is being caught up with from several positions.
    Files(Vec<FileId>),
}

/// An inotify instance and what its watch numbers stand for.
#[derive(Debug)]
pub(crate) struct Notify {
    pub(crate) descriptor: OwnedFd,
    targets: HashMap<i32, Target>,
    directories: HashMap<PathBuf, i32>,
    files: HashMap<FileId, i32>,
}

impl Notify {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            descriptor: inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?,
            targets: HashMap::new(),
            directories: HashMap::new(),
            files: HashMap::new(),
        })
    }

    /// Watches a directory; `true` if it was not watched before, so that its entries must be looked at again.
    pub(crate) fn watch_directory(&mut self, path: &Path) -> Result<bool, Errno> {
        let watch = inotify::add_watch(&self.descriptor, path, DIRECTORY)?;
        if self.directories.get(path) == Some(&watch) {
            return Ok(false);
        }
        // Another directory stood at this path before.
        self.forget_directory(path);
        self.directories.insert(path.to_owned(), watch);
        match self
            .targets
            .entry(watch)
            .or_insert_with(|| Target::Directories(Vec::new()))
        {
            Target::Directories(paths) => paths.push(path.to_owned()),
            Target::Files(_) => return Err(Errno::NOTDIR),
        }
        Ok(true)
    }

    /// Watches an open file, whatever its path has become meanwhile.
    pub(crate) fn watch_file(&mut self, id: FileId, file: &File) -> Result<(), Errno> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let watch = inotify::add_watch(&self.descriptor, path, WatchFlags::MODIFY)?;
        self.files.insert(id, watch);
        match self.targets.entry(watch).or_insert_with(|| Target::Files(Vec::new())) {
            Target::Files(ids) => ids.push(id),
            Target::Directories(_) => return Err(Errno::ISDIR),
        }
        Ok(())
    }

    pub(crate) fn forget_directory(&mut self, path: &Path) {
        let Some(watch) = self.directories.remove(path) else {
            return;
        };
        if let Some(Target::Directories(paths)) = self.targets.get_mut(&watch) {
            paths.retain(|other| other != path);
            if paths.is_empty() {
                self.remove(watch);
            }
        }
    }

    pub(crate) fn forget_file(&mut self, id: FileId) {
        let Some(watch) = self.files.remove(&id) else { return };
        if let Some(Target::Files(ids)) = self.targets.get_mut(&watch) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.remove(watch);
            }
        }
    }

    fn remove(&mut self, watch: i32) {
        self.targets.remove(&watch);
        // An error means that the kernel removed it first, when the file or directory went.
        let _ = inotify::remove_watch(&self.descriptor, watch);
    }

    /// The directories watched now.
    pub(crate) fn directories(&self) -> impl Iterator<Item = &PathBuf> {
        self.directories.keys()
    }

    /// Takes all notices that wait, in order.
    pub(crate) fn read(&mut self, mut out: impl FnMut(Notice)) -> Result<(), Errno> {
        let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
        let mut gone = Vec::new();
        let mut reader = inotify::Reader::new(&self.descriptor, &mut buffer);
        loop {
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error),
            };
            let flags = event.events();
            if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                out(Notice::Overflow);
                continue;
            }
            match self.targets.get(&event.wd()) {
                Some(Target::Files(ids)) => ids.iter().for_each(|&id| out(Notice::Written(id))),
                Some(Target::Directories(paths)) => {
                    for path in paths {
                        out(directory_notice(
                            path,
                            flags,
                            event.cookie(),
                            event.file_name().map(|name| OsStr::from_bytes(name.to_bytes())),
                        ));
                    }
                }
                None => {}
            }
            if flags.contains(ReadFlags::IGNORED) {
                gone.push(event.wd());
            }
        }
        for watch in gone {
            match self.targets.remove(&watch) {
                Some(Target::Directories(paths)) => self.directories.retain(|path, _| !paths.contains(path)),
                Some(Target::Files(ids)) => self.files.retain(|id, _| !ids.contains(id)),
                None => {}
            }
        }
        Ok(())
    }
}

fn directory_notice(path: &Path, flags: ReadFlags, cookie: u32, name: Option<&OsStr>) -> Notice {
    let Some(name) = name else {
        return Notice::Directory(path.to_owned());
    };
    let what = if flags.contains(ReadFlags::MOVED_FROM) {
        Entry::MovedAway { cookie }
    } else if flags.contains(ReadFlags::MOVED_TO) {
        Entry::MovedHere { cookie }
    } else if flags.contains(ReadFlags::DELETE) {
        Entry::Went
    } else {
        Entry::Came
    };
    Notice::Entry {
        directory: path.to_owned(),
        name: name.to_owned(),
        what,
    }
}

/// Whether inotify would miss changes of this file or directory.
pub(crate) fn is_foreign(path: &Path) -> bool {
    // The type is a signed or an unsigned number of 32 or 64 bits, by architecture; the magic numbers have 32.
    rustix::fs::statfs(path)
        .is_ok_and(|statfs| u64::try_from(statfs.f_type & 0xFFFF_FFFF).is_ok_and(|kind| FOREIGN.contains(&kind)))
}
