//! One configuration read by both programs: equal, different for a listed reason, or different.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stockade_config::{Config, Diagnostic, Overrides, Severity};
use stockade_protocol::Value;

use crate::common::{Directory, stream, waits_for_a_log};
use crate::literal;

/// A command: its words.
pub(crate) type Command = Vec<Value>;

/// What a comparison has come to.
pub(crate) enum Verdict {
    /// The lists are the same.
    Equal,
    /// They differ in what `docs/compat/DEVIATIONS.md` lists, and in nothing else.
    Deviates(BTreeSet<&'static str>),
    /// They differ.
    Differs(Difference),
}

/// Two lists and what is the matter.
pub(crate) struct Difference {
    pub(crate) why: String,
    pub(crate) ours: Vec<Command>,
    pub(crate) theirs: Vec<Command>,
}

/// What we make of a folder.
pub(crate) fn ours(dir: &Path) -> (Config, Vec<Command>) {
    let overrides = Overrides {
        version: Some("1.0.2".to_owned()),
        ..Overrides::default()
    };
    let config = stockade_config::load(dir, &overrides);
    let commands = stream::commands(&config);
    (config, commands)
}

/// What Fail2Ban prints for a folder, or why it refuses all of it.
pub(crate) fn theirs(dir: &Path) -> Result<Vec<Command>, String> {
    // Tags that multiply make it take all memory there is, for minutes.
    let output = std::process::Command::new("prlimit")
        .args(["--as=1000000000", "--cpu=15", "fail2ban-client", "-c"])
        .arg(dir)
        .arg("-d")
        .output()
        .unwrap();
    if output.status.code().is_none() || output.stderr.windows(11).any(|word| word == b"MemoryError") {
        return Err(UNFINISHED.to_owned());
    }
    let printed = String::from_utf8(output.stdout).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    // A fault in `fail2ban.conf` is told on standard output. The code alone says nothing: it is 255 too if every jail
    // there is has been left out.
    if printed.lines().any(|line| line.starts_with("ERROR: ")) {
        let reason = said
            .split_once("Failed during configuration: ")
            .map_or(&*printed, |(_, reason)| reason);
        let lines: Vec<&str> = reason
            .lines()
            .take_while(|line| !line.contains(" fail2ban  "))
            .collect();
        // Out of memory, it goes on to say so, without a word of why.
        let reason = if lines.is_empty() || lines == [""] {
            UNFINISHED.to_owned()
        } else {
            lines.join(" ")
        };
        return Err(reason);
    }
    let command = |line: &str| match literal::read(line) {
        Value::List(words) => words,
        other => panic!("no list: {other:?}"),
    };
    Ok(printed.lines().map(command).collect())
}

/// Why Fail2Ban has no answer: it was ended by the limits it runs within here.
const UNFINISHED: &str = "it needs more than 1 GB or 15 s";

/// Compares what both make of a folder.
pub(crate) fn judge(directory: &Directory) -> Verdict {
    judge_made(directory, &ours(directory.path()))
}

/// The same with what we make of it.
pub(crate) fn judge_made(directory: &Directory, (config, made): &(Config, Vec<Command>)) -> Verdict {
    let mut deviations = BTreeSet::new();
    let outcome = match theirs(directory.path()) {
        Ok(printed) => same(config, made, &printed, &mut deviations),
        Err(reason) if reason == UNFINISHED => {
            deviations.insert("D-141: what Fail2Ban does not finish");
            Ok(())
        }
        Err(reason) => refused(directory, config, made, &reason, &mut deviations),
    };
    match outcome {
        Err(difference) => Verdict::Differs(difference),
        Ok(()) if deviations.is_empty() => Verdict::Equal,
        Ok(()) => Verdict::Deviates(deviations),
    }
}

/// The jail a command is about.
fn jail(command: &[Value]) -> Option<&str> {
    match command {
        [Value::Str(word), Value::Str(jail), ..] if matches!(word.as_str(), "add" | "set" | "multi-set" | "start") => {
            Some(jail)
        }
        [Value::Str(word), Value::Str(text)] if word == "config-error" => text
            .strip_prefix("Jail '")
            .and_then(|rest| rest.split_once('\''))
            .map(|(jail, _)| jail),
        _ => None,
    }
}

fn is_config_error(command: &[Value]) -> bool {
    command.first() == Some(&Value::from("config-error"))
}

/// Whether the lists are the same but for listed deviations.
fn same(
    config: &Config,
    ours: &[Command],
    theirs: &[Command],
    deviations: &mut BTreeSet<&'static str>,
) -> Result<(), Difference> {
    let mut lists = Lists {
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
        deviations,
    };
    lists.jails_left_out(config).map_err(|why| Difference {
        why,
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
    })?;
    lists.servers_values(config);
    lists.actions();
    lists.logs_to_come();
    let Lists {
        ours: made,
        theirs: printed,
        ..
    } = lists;
    let why = match made.iter().zip(&printed).position(|(ours, theirs)| ours != theirs) {
        None if made.len() == printed.len() => return Ok(()),
        None => format!("{} commands, not {}", made.len(), printed.len()),
        Some(at) => format!(
            "command {at}\n  ours   {}\n  theirs {}",
            made.get(at).map(|command| stream::line(command)).unwrap_or_default(),
            printed.get(at).map(|command| stream::line(command)).unwrap_or_default()
        ),
    };
    Err(Difference {
        why,
        ours: ours.to_vec(),
        theirs: theirs.to_vec(),
    })
}

/// Both lists while what is listed as a deviation is taken out of them.
struct Lists<'a> {
    ours: Vec<Command>,
    theirs: Vec<Command>,
    deviations: &'a mut BTreeSet<&'static str>,
}

const REFUSED_BY_THE_SERVER: &str = "D-021: a value that Fail2Ban's server refuses";
const COSTS_EVERYTHING: &str = "D-020: a jail that costs all of the configuration there";
const WITHOUT_DEFINITION: &str = "D-031: a filter or action without [Definition]";

impl Lists<'_> {
    /// Jails that we leave out: so must Fail2Ban, or its server refuse what it is sent.
    fn jails_left_out(&mut self, config: &Config) -> Result<(), String> {
        for bad in &config.jails {
            let Some(problem) = &bad.problem else { continue };
            let name = bad.name.as_str();
            let of_jail = |command: &&Command| jail(command) == Some(name);
            let theirs: Vec<&Command> = self.theirs.iter().filter(of_jail).collect();
            if let Some(other) = theirs.iter().find(|command| is_config_error(command)) {
                let own = self.ours.iter_mut().find(|command| of_jail(&&**command));
                if let Some(own) = own.filter(|own| own != other)
                    && let Some(reason) = said_otherwise(problem, own, other)
                {
                    self.deviations.insert(reason);
                    own.clone_from(other);
                }
            } else if theirs.iter().any(|command| refused_by_the_server(command)) {
                self.deviations.insert(REFUSED_BY_THE_SERVER);
                self.ours.retain(|command| jail(command) != Some(name));
                self.theirs.retain(|command| jail(command) != Some(name));
            } else {
                return Err(format!("we leave out [{name}] and Fail2Ban does not: {problem}"));
            }
        }
        Ok(())
    }

    /// Numbers and times of `fail2ban.conf` that are none.
    fn servers_values(&mut self, config: &Config) {
        let none = |command: &Command| matches!(command.as_slice(), [_, Value::Str(_), Value::None]);
        let before = self.theirs.len();
        self.theirs.retain(|command| !none(command));
        if self.theirs.len() < before {
            self.deviations.insert(REFUSED_BY_THE_SERVER);
        }
        for (own, other) in self.ours.iter_mut().zip(&self.theirs) {
            if let [_, Value::Str(name), Value::Str(text)] = other.as_slice()
                && name == "dbpurgeage"
                && stockade_config::duration::parse(text).is_err()
                && errors(config).any(|finding| finding.what.contains("`dbpurgeage`"))
            {
                self.deviations.insert(REFUSED_BY_THE_SERVER);
                own.clone_from(other);
            }
        }
    }

    fn actions(&mut self) {
        for (index, command) in self.theirs.iter_mut().enumerate() {
            let [.., Value::List(properties)] = command.as_mut_slice() else {
                continue;
            };
            if properties.iter().any(is_none) {
                properties.retain(|property| !is_none(property));
                self.deviations.insert(WITHOUT_DEFINITION);
            }
            if let Some([.., Value::List(own)]) = self.ours.get(index).map(Vec::as_slice)
                && own != properties
                && for_every_family(own, properties)
            {
                self.deviations.insert("D-026: an option passed for every family");
            }
        }
    }

    fn logs_to_come(&mut self) {
        let before = self.ours.len();
        self.ours.retain(|command| !waits_for_a_log(&stream::line(command)));
        if self.ours.len() < before {
            self.deviations.insert("D-022: a log that is still to come");
        }
    }
}

/// Why the same jail is left out with another message, if that is a reason.
fn said_otherwise(problem: &str, own: &[Value], other: &[Value]) -> Option<&'static str> {
    let sooner = ["is not a time", "must be a whole number", "neither head nor tail"];
    if sooner.iter().any(|words| problem.contains(words)) {
        // What its server would refuse is found first here.
        Some(REFUSED_BY_THE_SERVER)
    } else if !["Unable to read", "Invalid "]
        .iter()
        .any(|words| problem.starts_with(words))
    {
        // Several things are wrong with the jail: there the one that costs everything is found last.
        Some(COSTS_EVERYTHING)
    } else if without_excerpt(own).is_some_and(|text| Some(text) == without_excerpt(other))
        || [own, other].into_iter().all(is_broken_action)
    {
        Some("D-033: the excerpt in a message")
    } else {
        None
    }
}

/// Takes the values for one family out of Fail2Ban's properties where the jail passes a value, and puts that into commands.
fn for_every_family(own: &[Value], properties: &mut Vec<Value>) -> bool {
    let pair = |property: &Value| match property {
        Value::List(pair) => match pair.as_slice() {
            [Value::Str(name), Value::Str(value)] => Some((name.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    };
    let conditional: Vec<String> = properties
        .iter()
        .filter(|property| !own.contains(property))
        .filter_map(|property| Some(pair(property)?.0.split_once('?')?.0.to_owned()))
        .collect();
    for name in &conditional {
        let Some((_, value)) = own.iter().filter_map(pair).find(|(known, _)| known == name) else {
            return false;
        };
        properties.retain(|property| !pair(property).is_some_and(|(known, _)| known.starts_with(&format!("{name}?"))));
        for property in properties.iter_mut() {
            if let Some((command, text)) = pair(property).filter(|(command, _)| command.starts_with("action")) {
                let text = text.replace(&format!("<{name}>"), &value);
                *property = Value::List(vec![Value::Str(command), Value::Str(text)]);
            }
        }
    }
    !conditional.is_empty()
}

/// Where an action with brackets out of order ends in a list is told differently.
fn is_broken_action(command: &[Value]) -> bool {
    let [_, Value::Str(text)] = command else { return false };
    text.contains("Invalid action definition ") && text.contains(" syntax")
}

/// `… unexpected syntax at 5 after option 'x'` without what stands there.
fn without_excerpt(command: &[Value]) -> Option<&str> {
    let [_, Value::Str(text)] = command else { return None };
    let (_, rest) = text.split_once(" syntax at ")?;
    rest.split_once(": ").map(|(place, _)| place)
}

/// `['actionban', None]`
fn is_none(property: &Value) -> bool {
    matches!(property, Value::List(pair) if pair.last() == Some(&Value::None))
}

/// A number that is none, or a time that is none.
fn refused_by_the_server(command: &[Value]) -> bool {
    match command {
        [Value::Str(set), _, Value::Str(option), _, Value::Str(from)] if set == "set" && option == "addlogpath" => {
            !matches!(from.as_str(), "head" | "tail")
        }
        [Value::Str(set), _, Value::Str(option), value] if set == "set" => match value {
            Value::None => true,
            Value::Str(text) => {
                matches!(
                    option.as_str(),
                    "findtime" | "bantime" | "bantime.maxtime" | "bantime.rndtime"
                ) && stockade_config::duration::parse(text).is_err()
            }
            _ => false,
        },
        _ => false,
    }
}

/// The lines that Fail2Ban cannot read, in the words of its refusal.
fn damaged_lines(reason: &str) -> Option<(String, Vec<usize>)> {
    let quoted = |text: &str| text.split('\'').nth(1).map(str::to_owned);
    let number = |text: &str| {
        text.trim_start()
            .split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    };
    for (file, line) in [
        ("While reading from ", "[line "),
        ("Source contains parsing errors: ", "[line "),
        ("file: ", "line: "),
    ] {
        if let Some((_, rest)) = reason.split_once(file) {
            return Some((quoted(rest)?, rest.split(line).skip(1).filter_map(number).collect()));
        }
    }
    None
}

/// The option that it cannot make out.
fn faulty_option(reason: &str) -> Option<&str> {
    if reason.contains("Invalid log level") {
        return Some("loglevel");
    }
    let word = |begin: &str| {
        reason
            .split_once(begin)
            .and_then(|(_, rest)| rest.split(['\'', ',']).next())
    };
    word("option '").or_else(|| word("fail tag: "))
}

/// Fail2Ban has refused everything: what we leave out must be the reason, and the rest what it makes without that.
fn refused(
    directory: &Directory,
    config: &Config,
    ours: &[Command],
    reason: &str,
    deviations: &mut BTreeSet<&'static str>,
) -> Result<(), Difference> {
    let differs = |why: String| Difference {
        why,
        ours: ours.to_vec(),
        theirs: Vec::new(),
    };
    if let Some((file, lines)) = damaged_lines(reason) {
        deviations.insert("D-020: a damaged line");
        return damaged(directory, config, ours, (&file, &lines), deviations)
            .map_err(|why| differs(format!("{why}: {reason}")));
    }
    if reason.contains("must be followed by")
        && let Some(copy) = marked(directory)
    {
        deviations.insert("D-032: a percent sign in a value that is complete");
        return percent(directory, &copy, ours, deviations).map_err(|why| differs(format!("{why}: {reason}")));
    }
    // Read as if it were not there; Fail2Ban falls over its own `None`.
    if reason.contains("'NoneType'") {
        deviations.insert(WITHOUT_DEFINITION);
        return Ok(());
    }
    if reason.contains("in section 'KNOWN/") {
        deviations.insert("D-034: <known/x> whose value has a reference");
        return Ok(());
    }
    // What nothing uses costs us nothing; that it is at fault is told.
    let told = |reason: &str| {
        if reason.contains("must be followed by") || reason.contains("bad interpolation variable reference") {
            return errors(config)
                .any(|finding| finding.what.contains("lone `%`") || finding.what.contains("unfinished reference"));
        }
        let option = faulty_option(reason).map(|option| format!("`{option}`"));
        option.is_some_and(|option| errors(config).any(|finding| finding.what.contains(&option)))
    };
    let bad: Vec<&str> = config
        .jails
        .iter()
        .filter(|jail| jail.problem.is_some())
        .map(|jail| jail.name.as_str())
        .collect();
    if bad.is_empty() {
        deviations.insert("D-020: a fault in a value that nothing uses");
        return if told(reason) {
            Ok(())
        } else {
            Err(differs(format!("Fail2Ban refuses it, we find nothing: {reason}")))
        };
    }
    deviations.insert(COSTS_EVERYTHING);
    // Without the jails that we leave out it must be content, and make what we make.
    let (copy, rest) = without(directory, &bad);
    let rest = match rest {
        Ok(rest) => rest,
        Err(again) if told(&again) || again.contains("in section 'KNOWN/") => return Ok(()),
        Err(again) if again.contains("must be followed by") && marked(&copy).is_some() => {
            return equal(judge(&copy), deviations).map_err(|why| differs(format!("{why}: {again}")));
        }
        Err(again) if again == UNFINISHED => {
            deviations.insert("D-141: what Fail2Ban does not finish");
            return Ok(());
        }
        // Now it is a damaged line, which it tells first where there is nothing else.
        Err(again) if damaged_lines(&again).is_some() => {
            return equal(judge(&copy), deviations).map_err(|why| differs(format!("{why}: {again}")));
        }
        Err(again) => return Err(differs(format!("refused without {bad:?} too: {again}"))),
    };
    let of_bad = |command: &Command| jail(command).is_some_and(|jail| bad.contains(&jail));
    let good: Vec<Command> = ours.iter().filter(|command| !of_bad(command)).cloned().collect();
    let sound = Config {
        jails: config
            .jails
            .iter()
            .filter(|jail| jail.problem.is_none())
            .cloned()
            .collect(),
        ..config.clone()
    };
    same(&sound, &good, &moved(&rest, &copy, directory), deviations)?;
    // And each of them must be what it cannot bear.
    for name in bad.iter().filter(|_| bad.len() > 1) {
        let others: Vec<&str> = bad.iter().copied().filter(|other| other != name).collect();
        if let (_, Ok(printed)) = without(directory, &others) {
            let told = |command: &&Command| is_config_error(command) || refused_by_the_server(command);
            let mut of_jail = printed.iter().filter(|command| jail(command) == Some(name));
            if !of_jail.any(|command| told(&command)) {
                return Err(differs(format!("we leave out [{name}] and Fail2Ban does not")));
            }
        }
    }
    Ok(())
}

/// What stands for a percent sign that is one.
const MARK: &str = "\u{a4}";

/// A copy with another character in place of each `%%`; `None` if there is none.
fn marked(directory: &Directory) -> Option<Directory> {
    let copy = Directory::copy_of(directory.path());
    let mut found = false;
    let mut folders = vec![copy.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            found |= text.contains("%%");
            fs::write(path, text.replace("%%", MARK)).unwrap();
        }
    }
    found.then_some(copy)
}

/// With another character for `%%` both must make the same, and with `%` in its place it must be what we make.
fn percent(
    directory: &Directory,
    copy: &Directory,
    ours: &[Command],
    deviations: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    let (_, made) = self::ours(copy.path());
    let shown = |commands: &[Command]| -> Vec<String> {
        commands
            .iter()
            .map(|command| stream::line(command).replace(MARK, "%"))
            .collect()
    };
    if shown(&moved(&made, copy, directory)) != shown(ours) {
        return Err("percent signs change something".to_owned());
    }
    equal(judge(copy), deviations)
}

/// A verdict as that of a step: what deviates is added.
fn equal(verdict: Verdict, deviations: &mut BTreeSet<&'static str>) -> Result<(), String> {
    match verdict {
        Verdict::Equal => Ok(()),
        Verdict::Deviates(more) => {
            deviations.extend(more);
            Ok(())
        }
        Verdict::Differs(difference) => Err(format!("without the fault {}", difference.why)),
    }
}

fn errors(config: &Config) -> impl Iterator<Item = &Diagnostic> {
    let findings = config.diagnostics.iter();
    findings.filter(|finding| finding.severity == Severity::Error)
}

/// What Fail2Ban makes of a copy in which these jails are not enabled.
fn without(directory: &Directory, names: &[&str]) -> (Directory, Result<Vec<Command>, String>) {
    let copy = Directory::copy_of(directory.path());
    let off: Vec<String> = names
        .iter()
        .map(|name| format!("[{name}]\nenabled = false\n"))
        .collect();
    fs::create_dir_all(copy.path().join("jail.d")).unwrap();
    fs::write(copy.path().join("jail.d/zzzz-off.local"), off.concat()).unwrap();
    let theirs = theirs(copy.path());
    (copy, theirs)
}

/// Commands with one folder's path in place of another's.
fn moved(commands: &[Command], from: &Directory, to: &Directory) -> Vec<Command> {
    let (from, to) = (from.path().to_str().unwrap(), to.path().to_str().unwrap());
    let lines = commands.iter().map(|command| stream::line(command).replace(from, to));
    lines
        .map(|line| match literal::read(&line) {
            Value::List(words) => words,
            other => panic!("no list: {other:?}"),
        })
        .collect()
}

fn same_file(one: &str, other: &str) -> bool {
    one == other || fs::canonicalize(one).is_ok_and(|one| fs::canonicalize(other).is_ok_and(|other| one == other))
}

/// Each line that it cannot read must be an error of ours, and without them both must make the same, which is what we
/// make with them.
fn damaged(
    directory: &Directory,
    config: &Config,
    ours: &[Command],
    (file, lines): (&str, &[usize]),
    deviations: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    for &line in lines {
        let there = |finding: &Diagnostic| {
            let place = finding.place.as_ref();
            place.is_some_and(|place| same_file(&place.file, file) && usize::try_from(place.line) == Ok(line))
        };
        if !errors(config).any(there) {
            return Err(format!("no error at line {line}"));
        }
    }
    let copy = Directory::copy_of(directory.path());
    let real = fs::canonicalize(file).unwrap();
    let relative = real
        .strip_prefix(fs::canonicalize(directory.path()).unwrap())
        .unwrap()
        .to_owned();
    let text = fs::read_to_string(file).unwrap();
    // Of what is there twice we take the last, so that leaving out the second one changes something.
    let twice = lines.iter().any(|&line| {
        let mut place =
            errors(config).filter(|finding| finding.place.as_ref().is_some_and(|place| place.line as usize == line));
        place.any(|finding| finding.what.contains("twice"))
    });
    let kept: String = text
        .lines()
        .enumerate()
        .map(|(index, line)| {
            if lines.contains(&(index + 1)) {
                "#\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    fs::write(copy.path().join(relative), kept).unwrap();
    let (_, mended) = self::ours(copy.path());
    if !twice && moved(&mended, &copy, directory) != ours {
        return Err("the damaged lines change something".to_owned());
    }
    equal(judge(&copy), deviations)
}
