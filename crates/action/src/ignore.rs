//! `ignorecommand`: a command that says whether somebody is to be ignored.

use std::time::Duration;

use stockade_core::{Ban, JailName};

use crate::error::ActionError;
use crate::lifecycle::report_outcome;
use crate::properties::{Family, Properties};
use crate::run::{self, End};
use crate::tags::Subject;
use crate::template::Template;
use crate::{Context, Counters};

const OPTION: &str = "ignorecommand";

/// A command that may run this long; as Fail2Ban has it.
const LIMIT: Duration = Duration::from_secs(60);

/// A command ready to be asked about failures. What is foreign in it reaches the shell by the environment only.
#[derive(Clone, Debug)]
pub struct IgnoreCommand {
    jail: JailName,
    template: Template,
}

impl IgnoreCommand {
    /// Reads a command. Fails if its tags cannot be filled in.
    pub fn new(jail: &JailName, command: &str) -> Result<Self, ActionError> {
        let mut properties = Properties::new(jail, OPTION);
        properties.set(OPTION, command)?;
        let template = Template::new(OPTION, OPTION, &properties, Family::Any, &mut Vec::new())?;
        Ok(Self {
            jail: jail.clone(),
            template,
        })
    }

    /// Whether it says that this failure, given as a ban that has not been made, is to be ignored: exit code 0. 1 says that it is not; any other
    /// end is told and taken for no.
    pub fn says_ignore(&self, failure: &Ban, context: &mut Context<'_>) -> bool {
        let script = self.template.complete(Subject {
            ban: Some(failure),
            family: Family::of(&failure.id),
            jail: self.jail.as_str(),
            counters: Counters::default(),
            earlier: context.earlier,
        });
        let outcome = run::run(&script.text, &script.variables, LIMIT);
        match outcome.end {
            End::Code(0) => true,
            End::Code(1) => false,
            _ => {
                report_outcome(&script, &outcome, LIMIT, context);
                false
            }
        }
    }
}
