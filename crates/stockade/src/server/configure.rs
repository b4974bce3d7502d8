//! A whole configuration, as a stream of commands: read first, checked then, and made at last.
//!
//! One broken jail takes no other with it, and keeps what it had if it runs.

use stockade_core::JailName;
use stockade_core::logline::Level;
use stockade_protocol::{ErrorClass, ReloadOptions, RemoteError, Reply, Request, ServerSetting, Value, parse};

use super::commands::{exception, unknown};
use super::jails::Jails;
use super::setup::JailSetup;

impl Jails {
    pub(crate) fn reload(&mut self, jail: Option<&JailName>, options: ReloadOptions, stream: &[Value]) -> Reply {
        self.say(
            Level::Info,
            "fail2ban.server",
            &jail.map_or("Reload all jails".to_owned(), |jail| format!("Reload jail {jail}")),
        );
        if options.unban {
            for place in 0..self.jails.len() {
                if jail.is_none_or(|jail| self.jails.get(place).is_some_and(|running| running.setup.name == *jail)) {
                    self.unban_all(place);
                }
            }
        }
        let scope = match jail {
            Some(jail) => Scope::One(jail.clone()),
            None => Scope::All,
        };
        let outcome = self.stream(
            stream,
            Some(&Reload {
                scope,
                restart: options.restart,
            }),
        );
        self.say(Level::Info, "fail2ban.server", "Reload finished.");
        outcome.map(|()| Value::from("OK"))
    }

    /// Carries out a configuration: reads it as a whole, checks every jail, changes those that are sound.
    ///
    /// Fails with all faults after everything sound has been done: one broken jail takes no other with it.
    pub(crate) fn stream(&mut self, stream: &[Value], reload: Option<&Reload>) -> Result<(), RemoteError> {
        let Draft {
            jails,
            broken,
            mut faults,
            server,
        } = Draft::read(stream, |name| {
            // A reload describes each jail anew; what comes alone changes jails that are there.
            let running = reload.is_none().then(|| self.running(name).ok()).flatten()?;
            Some((running.setup.clone(), running.started))
        });
        for setting in server {
            if let Err(error) = self.set_server(setting) {
                faults.push(error.to_string());
            }
        }
        if let Some(reload) = reload {
            let named = |name: &JailName| jails.iter().any(|(setup, _)| setup.name == *name) || broken.contains(name);
            let gone: Vec<JailName> = self
                .jails
                .iter()
                .map(|running| running.setup.name.clone())
                .filter(|name| match &reload.scope {
                    Scope::All => !named(name) || (reload.restart && !broken.contains(name)),
                    Scope::One(jail) => jail == name && (!named(name) || reload.restart),
                })
                .collect();
            // With a restart, a jail is stopped only if it can be started again.
            let gone: Vec<JailName> = gone
                .into_iter()
                .filter(|name| match jails.iter().find(|(setup, _)| setup.name == *name) {
                    Some((setup, _)) => self.prepare(setup.clone()).is_ok(),
                    None => true,
                })
                .collect();
            self.stop_jails(&gone);
        }
        let mut start = Vec::new();
        for (setup, started) in jails {
            let name = setup.name.clone();
            let known = self.position(&name).is_some();
            match self.prepare(setup) {
                Ok(prepared) => {
                    if known {
                        self.say(Level::Info, "fail2ban.server", &format!("Reload jail '{name}'"));
                    }
                    let actions = self.actions_of(&name);
                    self.commit(prepared);
                    if let Some(place) = self.position(&name) {
                        self.announce(place);
                        self.reload_actions(place, &actions);
                    }
                    if started {
                        start.push((name, known));
                    }
                }
                Err(found) => {
                    let rest = if known {
                        "it goes on with what it had"
                    } else {
                        "it is not started; the other jails run"
                    };
                    faults.extend(found.into_iter().map(|fault| format!("jail '{name}': {fault}; {rest}")));
                }
            }
        }
        for (name, known) in start {
            if known {
                self.say(Level::Info, "fail2ban.server", &format!("Jail '{name}' reloaded"));
            }
            if let Some(place) = self.position(&name)
                && let Err(found) = self.start_jail(place)
            {
                faults.extend(found.into_iter().map(|fault| format!("jail '{name}': {fault}")));
            }
        }
        for fault in &faults {
            self.say(Level::Error, "fail2ban.server", fault);
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(exception(faults.join("\n")))
        }
    }
}

/// A reload.
pub(crate) struct Reload {
    scope: Scope,
    /// Stop and start rather than change.
    restart: bool,
}

enum Scope {
    All,
    One(JailName),
}

/// A configuration as a stream of commands describes it.
#[derive(Default)]
struct Draft {
    /// Jails, and whether they are to be started.
    jails: Vec<(JailSetup, bool)>,
    /// Jails that have faults.
    broken: Vec<JailName>,
    faults: Vec<String>,
    server: Vec<ServerSetting>,
}

impl Draft {
    /// `known` tells the jails that are there already and may be changed.
    fn read(stream: &[Value], known: impl Fn(&JailName) -> Option<(JailSetup, bool)>) -> Self {
        let mut draft = Self::default();
        for command in stream {
            let taken = parse(command).and_then(|request| {
                draft.know(&request, &known);
                draft.take(request)
            });
            if let Err(error) = taken {
                let what = stockade_protocol::repr(command);
                let shortened: String = what.chars().take(300).collect();
                draft.faults.push(format!("{error}; in the command {shortened}"));
                if let Value::List(words) = command
                    && let [_, Value::Str(jail), ..] = words.as_slice()
                {
                    draft.breaks(jail);
                }
            }
        }
        let broken = &draft.broken;
        draft.jails.retain(|(setup, _)| !broken.contains(&setup.name));
        draft
    }

    /// Takes up a jail that is there already and about which something is said.
    fn know(&mut self, request: &Request, known: impl Fn(&JailName) -> Option<(JailSetup, bool)>) {
        if let Request::SetJail(name, _) | Request::MultiSet(name, _) | Request::Start(name) = request
            && !self.jails.iter().any(|(setup, _)| setup.name == *name)
        {
            self.jails.extend(known(name));
        }
    }

    fn take(&mut self, request: Request) -> Result<(), RemoteError> {
        match request {
            Request::Add { jail, backend } => {
                if self.jails.iter().any(|(setup, _)| setup.name == jail) {
                    return Err(RemoteError::new(ErrorClass::DuplicateJail, jail.as_str()));
                }
                self.jails.push((JailSetup::new(jail, &backend), false));
                Ok(())
            }
            Request::SetJail(jail, set) | Request::MultiSet(jail, set) => {
                self.jail(&jail).and_then(|(setup, _)| setup.set(&set))
            }
            Request::Start(jail) => self.jail(&jail).map(|(_, started)| *started = true),
            Request::SetServer(setting) => {
                self.server.push(setting);
                Ok(())
            }
            Request::ConfigError(text) => {
                if let Some((_, rest)) = text.split_once("Jail '")
                    && let Some((jail, _)) = rest.split_once('\'')
                {
                    self.breaks(jail);
                }
                self.faults.push(text);
                Ok(())
            }
            other => Err(exception(format!("{other:?} has no place in a configuration"))),
        }
    }

    fn jail(&mut self, name: &JailName) -> Result<&mut (JailSetup, bool), RemoteError> {
        self.jails
            .iter_mut()
            .find(|(setup, _)| setup.name == *name)
            .ok_or_else(|| unknown(name))
    }

    fn breaks(&mut self, jail: &str) {
        self.broken.extend(JailName::new(jail));
    }
}
