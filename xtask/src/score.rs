//! `cargo xtask score`: the asterisk filter against recorded attacks, beside Fail2Ban's stock filter and the guide's.
//!
//! For every recorded log: which attackers reach `maxretry` within `findtime`, whether anybody else does, and whether each
//! line is read as naming the address it really came from. The same counting serves all three filters.

mod json;
mod reader;
mod table;
mod truth;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::root;
use reader::{Engine, Named};
use table::table;
use truth::Recording;

const HELP: &str = "\
usage: cargo xtask score [--markdown] [--by-fail2ban] [--recordings FOLDER]

  --markdown           the table as Markdown
  --by-fail2ban        our filter too is read by the installed Fail2Ban, so that only the filters differ
  --recordings FOLDER  the recorded runs (default: ../shared/data/asterisk beside the repository)";

/// Failures within [`FINDTIME`] that make a ban.
const MAXRETRY: usize = 5;
/// Seconds within which failures count together.
const FINDTIME: f64 = 600.0;

/// What one filter made of one log.
#[derive(Clone, Debug, Default)]
struct Score {
    /// Attackers there are.
    all: usize,
    /// Attackers the log tells often enough for a ban.
    told: usize,
    /// Attackers banned of those.
    attackers: usize,
    /// Legitimate addresses banned.
    legitimate: usize,
    /// Banned addresses that never sent a packet.
    injected: usize,
    /// The same, if lines are taken in that an attacker forged as a whole.
    forged: usize,
    /// Lines with a source to be named.
    lines: usize,
    /// Lines read as naming their true source.
    right: usize,
    /// Lines read as naming somebody else.
    wrong: usize,
}

/// Runs the command; prints the table.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let options = Options::read(args)?;
    let scratch = std::env::temp_dir().join(format!("stockade-score-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|error| format!("{}: {error}", scratch.display()))?;
    let outcome = report(&options, &scratch);
    // Nobody needs to know if the scratch folder stays behind.
    let _ = fs::remove_dir_all(&scratch);
    let (text, ours) = outcome?;
    println!("{text}");
    if ours.attackers < ours.told || ours.legitimate + ours.injected + ours.wrong > 0 || ours.right < ours.lines {
        return Err("our filter is not what it was: see the table".to_owned());
    }
    Ok(())
}

struct Options {
    markdown: bool,
    /// What reads our filter.
    ours: Engine,
    recordings: PathBuf,
}

impl Options {
    fn read(args: &[String]) -> Result<Self, String> {
        let shared = std::env::var_os("STOCKADE_SHARED").map_or_else(|| root().join("../shared"), PathBuf::from);
        let mut options = Self {
            markdown: false,
            ours: Engine::Stockade,
            recordings: shared.join("data/asterisk"),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--markdown" => options.markdown = true,
                "--by-fail2ban" => options.ours = Engine::Fail2Ban,
                "--recordings" => options.recordings = args.next().map(PathBuf::from).ok_or(HELP)?,
                _ => return Err(HELP.to_owned()),
            }
        }
        Ok(options)
    }
}

/// The table with its notes, and our own total.
fn report(options: &Options, scratch: &Path) -> Result<(String, Score), String> {
    let stock = Path::new("/etc/fail2ban/filter.d/asterisk.conf");
    if !stock.exists() {
        return Err(format!(
            "{} is missing: the comparison needs Debian's package fail2ban",
            stock.display()
        ));
    }
    let stock = stock.to_string_lossy().into_owned();
    let built_in = match options.ours {
        Engine::Stockade => "asterisk".to_owned(),
        Engine::Fail2Ban => root()
            .join("config/filter.d/asterisk.conf")
            .to_string_lossy()
            .into_owned(),
    };
    let guide = guide_filter(&options.recordings, scratch)?;
    let mut rows = Vec::new();
    let mut total = [Score::default(), Score::default(), Score::default()];
    for recording in Recording::all(&options.recordings, MAXRETRY)? {
        let all = options.ours.read(&recording, &format!("{built_in}[logging=all]"))?;
        let counted = options
            .ours
            .read(&recording, &format!("{built_in}[logging={}]", recording.logging))?;
        let stock = Engine::Fail2Ban.read(&recording, &stock)?;
        let guide = Engine::Fail2Ban.read(&recording, &guide)?;
        let scores = [
            score(&recording, &all, &counted),
            score(&recording, &stock, &stock),
            score(&recording, &guide, &guide),
        ];
        rows.push(row(&recording.name, recording.logging, &scores));
        for (sum, score) in total.iter_mut().zip(&scores) {
            sum.add(score);
        }
    }
    rows.push(row("all", "", &total));
    let text = format!("{}\n{}", table(&rows, options.markdown), notes(options.ours));
    let [ours, ..] = total;
    Ok((text, ours))
}

impl Score {
    fn add(&mut self, other: &Self) {
        self.all += other.all;
        self.told += other.told;
        self.attackers += other.attackers;
        self.legitimate += other.legitimate;
        self.injected += other.injected;
        self.forged += other.forged;
        self.lines += other.lines;
        self.right += other.right;
        self.wrong += other.wrong;
    }
}

/// `all` is how each line is read, `counted` what counts towards a ban.
fn score(recording: &Recording, all: &[Named], counted: &[Named]) -> Score {
    let mut score = Score {
        all: recording.attackers.len(),
        told: recording.told.len(),
        lines: recording.classes.values().filter(|class| class.is_scored()).count(),
        ..Score::default()
    };
    for named in all {
        let class = named.line.and_then(|line| recording.classes.get(&line));
        let victim = recording.never_ban.contains(&named.address);
        match class {
            Some(class) if class.is_forged() => {}
            Some(class) if class.is_scored() && class.source == named.address => score.right += 1,
            Some(class) if class.is_scored() => score.wrong += 1,
            _ if victim => score.wrong += 1,
            _ => {}
        }
    }
    let is_forged = |named: &&Named| {
        let class = named.line.and_then(|line| recording.classes.get(&line));
        class.is_some_and(truth::Class::is_forged)
    };
    let banned = banned(counted.iter());
    let without_forged = self::banned(counted.iter().filter(|named| !is_forged(named)));
    let among = |group: &BTreeSet<String>, banned: &BTreeSet<&str>| {
        group.iter().filter(|address| banned.contains(address.as_str())).count()
    };
    score.attackers = among(&recording.told, &banned);
    score.legitimate = among(&recording.legitimate, &banned);
    score.injected = among(&recording.never_ban, &without_forged);
    score.forged = among(&recording.never_ban, &banned) - score.injected;
    score
}

/// The addresses with [`MAXRETRY`] failures within [`FINDTIME`].
fn banned<'a>(failures: impl Iterator<Item = &'a Named>) -> BTreeSet<&'a str> {
    let mut times: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for named in failures {
        times.entry(&named.address).or_default().push(named.at);
    }
    let reached = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times
            .windows(MAXRETRY)
            .any(|window| matches!(window, [first, .., last] if last - first <= FINDTIME))
    };
    times
        .into_iter()
        .filter_map(|(address, mut times)| reached(&mut times).then_some(address))
        .collect()
}

/// The guide's own filter, cut out of its text into a file.
fn guide_filter(recordings: &Path, scratch: &Path) -> Result<String, String> {
    let guide = recordings.join("../../guide/securing-asterisk.txt");
    let text = fs::read_to_string(&guide).map_err(|error| format!("{}: {error}", guide.display()))?;
    let rest = text.split_once("# Fail2Ban configuration file");
    let filter = rest.and_then(|(_, rest)| rest.split_once("\nignoreregex ="));
    let (filter, _) = filter.ok_or_else(|| format!("{}: holds no filter", guide.display()))?;
    let file = scratch.join("guide.conf");
    fs::write(&file, format!("{filter}\nignoreregex =\n")).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(file.to_string_lossy().into_owned())
}

fn row(name: &str, logging: &str, scores: &[Score; 3]) -> Vec<String> {
    let [ours, ..] = scores;
    let mut cells = vec![
        name.to_owned(),
        logging.to_owned(),
        ours.all.to_string(),
        ours.told.to_string(),
    ];
    cells.extend(scores.iter().map(|score| score.attackers.to_string()));
    cells.extend(scores.iter().map(|score| score.legitimate.to_string()));
    cells.extend(scores.iter().map(|score| match score.forged {
        0 => score.injected.to_string(),
        forged => format!("{}+{forged}", score.injected),
    }));
    cells.push(ours.lines.to_string());
    cells.extend(scores.iter().map(|score| score.right.to_string()));
    cells.extend(scores.iter().map(|score| score.wrong.to_string()));
    cells
}

fn notes(ours: Engine) -> String {
    let reader = match ours {
        Engine::Stockade => "Stockade's own engine",
        Engine::Fail2Ban => "the installed Fail2Ban",
    };
    format!(
        "ours: config/filter.d/asterisk.conf read by {reader}; f2b: the installed Fail2Ban with its stock filter; guide: Fail2Ban with the guide's filter.\n\
         A ban is {MAXRETRY} failures within {FINDTIME} s. of: attackers; told: those whose address stands in at \
         least {MAXRETRY} lines of that log.\n\
         ours is banned with the `logging` shown, which counts attempts; lines are read with `logging=all`.\n\
         injected a+b: b more through lines that an attacker forged as a whole with a newline; nothing in a plain file tells \
         them from real ones.\n\
         named wrong: lines taken to name an address that is not their source, forged lines apart."
    )
}
