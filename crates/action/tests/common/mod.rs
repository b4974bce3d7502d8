//! What the tests of actions share: bans, and actions whose commands write down that they were called.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]
#![expect(dead_code, reason = "each test file uses its part")]

pub(crate) mod configured;
pub(crate) mod private;

use stockade_action::{Action, ActionError, Context, Counters, Report};
use stockade_config::{ActionKind, Overrides, Value};
use stockade_core::effect::Ban;
use stockade_core::{FailureId, Fields, JailName, LineText, Seconds, Timestamp, Until};
use testkit::TempDir;

pub(crate) const NOW: i64 = 1_795_364_400;

pub(crate) fn ban(id: &str) -> Ban {
    Ban {
        id: FailureId::parse(id),
        since: Timestamp::from_secs(NOW),
        until: Until::At(Timestamp::from_secs(NOW + 600)),
        bantime: Seconds(600),
        failures: 3,
        matches: Vec::new(),
        fields: Fields::default(),
        count: 1,
        restored: false,
    }
}

/// A ban whose field `user` and whose only match are this text.
pub(crate) fn ban_with(text: &str) -> Ban {
    let mut ban = ban("192.0.2.7");
    ban.fields.set("user", text);
    ban.matches = vec![LineText {
        text: text.into(),
        date: 0..0,
    }];
    ban
}

pub(crate) fn action(properties: &[(&str, &str)]) -> Result<Action, ActionError> {
    let properties: Vec<(String, String)> = properties
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    Action::new(&JailName::new("j").unwrap(), "act", &properties)
}

/// The properties of an action as the client would send them.
pub(crate) fn properties(action: &str) -> Vec<(String, String)> {
    let directory = TempDir::new("kernel");
    std::os::unix::fs::symlink("/etc/fail2ban/action.d", directory.join("action.d")).unwrap();
    directory.write("filter.d/f.conf", "[Definition]\nfailregex = ^x <HOST>$\n");
    let log = directory.write("log", "");
    directory.write(
        "jail.conf",
        format!(
            "[j]\nenabled = true\nfilter = f\nlogpath = {}\naction = {action}\n",
            log.display()
        ),
    );
    let config = stockade_config::load(directory.path(), &Overrides::default());
    let [jail] = config.jails.as_slice() else {
        panic!("{action}")
    };
    let [loaded] = jail.actions.as_slice() else {
        panic!("{action}: {:?}", jail.problem)
    };
    let ActionKind::Properties(properties) = &loaded.kind else {
        panic!("{action} is Python")
    };
    properties
        .iter()
        .map(|property| {
            let value = match &property.value {
                Value::Text(text) => text.clone(),
                Value::Int(number) => number.to_string(),
                Value::Bool(truth) => truth.to_string(),
                other => panic!("{action}: {other:?}"),
            };
            (property.name.clone(), value)
        })
        .map(|(name, value)| match value.strip_suffix("tables <lockingopt>") {
            Some(family) if action.contains("legacy") => (name, format!("{family}tables-legacy <lockingopt>")),
            _ if action.contains("interval") => (
                name,
                value.replace(r"type <addr_type>\;", r"type <addr_type>\; flags interval\;"),
            ),
            _ => (name, value),
        })
        .collect()
}

/// An action of these properties.
pub(crate) fn built(properties: &[(String, String)]) -> Action {
    Action::new(&JailName::new("j").unwrap(), "act", properties).unwrap()
}

/// Calls something of an action, and gives its outcome with what it reported.
pub(crate) fn with<T>(work: impl FnOnce(&mut Context<'_>) -> T) -> (T, Vec<Report>) {
    let mut reports = Vec::new();
    let mut report = |report| reports.push(report);
    let mut context = Context {
        earlier: &|_, _| None,
        now: Timestamp::from_secs(NOW),
        counters: Counters::default(),
        report: &mut report,
    };
    let outcome = work(&mut context);
    (outcome, reports)
}

/// The texts of reports, one per line.
pub(crate) fn texts(reports: &[Report]) -> String {
    reports.iter().fold(String::new(), |text, report| {
        format!("{text}{:?} {}\n", report.level, report.text)
    })
}

/// A directory in which commands write down their calls, and in which files say which of them fail.
pub(crate) struct Stage {
    pub(crate) directory: TempDir,
}

impl Stage {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            directory: TempDir::new(name),
        }
    }

    /// A command that writes down its call and fails while a file `fail-NAME` is there; START and REPAIR remove `wiped`.
    pub(crate) fn command(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().display();
        format!("echo \"{text}\" >> {path}/calls; test ! -e {path}/fail-{name}")
    }

    /// Properties that call each command by its name, as Fail2Ban's client would send them.
    pub(crate) fn properties(&self, options: &[(&str, &str)]) -> Vec<(String, String)> {
        let path = self.directory.path().display();
        let mut all = vec![
            (
                "actionstart".to_owned(),
                format!("{} && rm -f {path}/wiped", self.command("start", "START<by>")),
            ),
            ("actionstop".to_owned(), self.command("stop", "STOP<by>")),
            (
                "actioncheck".to_owned(),
                format!("{}; test ! -e {path}/wiped", self.command("check", "CHECK<by>")),
            ),
            ("actionban".to_owned(), self.command("ban", "BAN <ip>")),
            ("actionunban".to_owned(), self.command("unban", "UNBAN <ip>")),
            ("by".to_owned(), String::new()),
        ];
        for (key, value) in options {
            let value = value
                .replace("CALLS", &format!("{path}/calls"))
                .replace("WIPED", &format!("{path}/wiped"));
            match all.iter_mut().find(|(known, _)| known == key) {
                Some((_, old)) => *old = value,
                None => all.push(((*key).to_owned(), value)),
            }
        }
        all
    }

    pub(crate) fn action(&self, options: &[(&str, &str)]) -> Action {
        Action::new(&JailName::new("j").unwrap(), "act", &self.properties(options)).unwrap()
    }

    /// From now on this command fails.
    pub(crate) fn fail(&self, name: &str) {
        self.directory.write(format!("fail-{name}"), "");
    }

    pub(crate) fn succeed(&self, name: &str) {
        std::fs::remove_file(self.directory.join(format!("fail-{name}"))).unwrap();
    }

    /// The environment is gone: checks fail until the next start.
    pub(crate) fn wipe(&self) {
        self.directory.write("wiped", "");
    }

    /// The calls since the last time, joined by `, `.
    pub(crate) fn calls(&self) -> String {
        let file = self.directory.join("calls");
        let calls = std::fs::read_to_string(&file).unwrap_or_default();
        let _ = std::fs::remove_file(file);
        calls.lines().collect::<Vec<_>>().join(", ")
    }
}
