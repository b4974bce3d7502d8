//! `status JAIL kernel`: what the kernel holds of a jail's bans, and what these have blocked.
//!
//! Each action that can tell is asked on its own thread, behind what waits there, one after the other; only the client waits.

use std::sync::mpsc::SyncSender;

use stockade_action::{Account, Action, Context};
use stockade_core::JailName;
use stockade_protocol::{Reply, Value};

use super::acting::{Job, Lane};
use super::commands::pair;
use super::jails::Jails;

/// So many of those who were blocked most are named.
const MOST: usize = 10;

/// An answer on its way from action to action.
pub(crate) struct Telling {
    /// Who is still to be asked, the last one first.
    rest: Vec<Lane>,
    told: Vec<Value>,
    reply: SyncSender<Reply>,
}

impl Telling {
    /// Asks the next action, or answers if there is none.
    pub(crate) fn go_on(mut self) {
        match self.rest.pop() {
            Some(lane) if lane.can_tell() => lane.give(Job::Tell(self)),
            Some(lane) => {
                let unknown = pair("In kernel", Value::from("unknown: its commands are run as written"));
                self.told.push(pair(lane.name(), Value::List(vec![unknown])));
                self.go_on();
            }
            // A client that went away does not want the answer.
            None => drop(self.reply.send(Ok(Value::List(self.told)))),
        }
    }

    /// Adds what an action has to tell.
    pub(crate) fn add(&mut self, action: &mut Action, context: &Context<'_>) {
        if let Some(account) = action.account(context) {
            self.told.push(pair(action.name(), shown(account)));
        }
    }
}

fn shown(account: Account) -> Value {
    let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    let count = |count: usize| number(u64::try_from(count).unwrap_or(u64::MAX));
    let mut told = vec![
        pair("In kernel", count(account.standing.in_kernel)),
        pair("Should be", count(account.standing.should_be)),
        pair("Put right", number(account.standing.repairs)),
    ];
    if let Some(mut blocked) = account.blocked {
        blocked.retain(|(_, traffic)| traffic.packets > 0);
        let (packets, bytes) = blocked.iter().fold((0_u64, 0_u64), |(packets, bytes), (_, traffic)| {
            (
                packets.saturating_add(traffic.packets),
                bytes.saturating_add(traffic.bytes),
            )
        });
        blocked.sort_by(|(first, one), (second, other)| other.cmp(one).then(first.cmp(second)));
        let most = blocked.iter().take(MOST).map(|(net, traffic)| {
            let who = if net.prefix_len() == net.max_prefix_len() {
                net.addr().to_string()
            } else {
                net.to_string()
            };
            Value::from(format!("{who} ({} packets, {} bytes)", traffic.packets, traffic.bytes))
        });
        told.extend([
            pair("Blocked packets", number(packets)),
            pair("Blocked bytes", number(bytes)),
            pair("Most blocked", Value::List(most.collect())),
        ]);
    }
    Value::List(told)
}

impl Jails {
    /// Answers `status JAIL kernel` when all actions have been asked.
    pub(crate) fn tell(&self, jail: &JailName, reply: SyncSender<Reply>) {
        match self.running(jail) {
            Ok(running) => {
                let (rest, told) = (running.lanes.iter().rev().cloned().collect(), Vec::new());
                Telling { rest, told, reply }.go_on();
            }
            // A client that went away does not want the answer.
            Err(error) => drop(reply.send(Err(error))),
        }
    }
}
