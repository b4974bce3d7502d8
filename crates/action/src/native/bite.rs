//! Why somebody who is banned may go on to appear in the log, and what to do about it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use stockade_core::effect::Ban;
use stockade_core::{FailureId, Timestamp};
use stockade_firewall::{Hook, Traffic};

use super::Options;

/// Lines that were on their way when the ban was made come within this time.
const ON_THE_WAY: i64 = 10;

/// How often one address is spoken of, in seconds.
const AGAIN: i64 = 3600;

/// How often anybody is spoken of, in seconds.
const ANYBODY_AGAIN: i64 = 60;

/// So many addresses are remembered.
const REMEMBERED: usize = 1000;

/// Of whom it was told when that a ban does not bite.
#[derive(Default)]
pub(super) struct Bite {
    told: BTreeMap<FailureId, Timestamp>,
    last: Option<Timestamp>,
}

impl Bite {
    /// Whether there is something new to tell of a ban whose owner appears all the same; it counts as told then.
    pub(super) fn is_news(&mut self, ban: &Ban, now: Timestamp) -> bool {
        let age = seconds_between(ban.since, now);
        let is_recent = |told: &Timestamp, limit| seconds_between(*told, now) < limit;
        if ban.restored
            || age <= ON_THE_WAY
            || self.last.as_ref().is_some_and(|told| is_recent(told, ANYBODY_AGAIN))
            || self.told.get(&ban.id).is_some_and(|told| is_recent(told, AGAIN))
        {
            return false;
        }
        if self.told.len() >= REMEMBERED {
            self.told.clear();
        }
        self.told.insert(ban.id.clone(), now);
        self.last = Some(now);
        true
    }
}

/// What may be the matter with a ban that is in the kernel and whose owner appears all the same.
pub(super) fn diagnosis(ban: &Ban, blocked: Option<Traffic>, options: &Options, now: Timestamp) -> String {
    let age = seconds_between(ban.since, now);
    let forwards = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.trim() == "1");
    let reasons = reasons(ban, options, forwards);
    let blocked = match blocked {
        None => String::new(),
        Some(Traffic { packets: 0, .. }) => ", no packet of it has come to the rules".to_owned(),
        Some(Traffic { packets, .. }) => format!(", {packets} packet(s) of it were blocked"),
    };
    format!(
        "{} is banned since {age} s, the kernel has the ban{blocked}, and its attempts still reach the log; {}",
        ban.id.to_string().escape_debug(),
        reasons.join("; or ")
    )
}

fn seconds_between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros().saturating_sub(from.micros()) / 1_000_000
}

/// What may be, the likely first, each with its mend.
fn reasons(ban: &Ban, options: &Options, forwards: bool) -> Vec<String> {
    let mut reasons = Vec::new();
    let hooks: Vec<Hook> = options.target.chains().into_iter().map(|(_, hook)| hook).collect();
    if let Some(address) = ban.id.as_net().map(|net| net.addr())
        && is_near_by(address)
    {
        reasons.push(format!(
            "{address} is an address of this network, perhaps of a proxy through which others come: let the service log their own addresses"
        ));
    }
    if forwards
        && !hooks
            .iter()
            .any(|hook| matches!(hook, Hook::Forward | Hook::Ingress(_)))
    {
        reasons.push(
            "the service may be in a container, whose packets are forwarded and do not come through hook input: set `chain_hook = input,forward`"
                .to_owned(),
        );
    }
    if let Some(ports) = &options.target.ports {
        let ports: Vec<String> = ports
            .iter()
            .map(|range| match range.last {
                last if last == range.first => last.to_string(),
                last => format!("{}-{last}", range.first),
            })
            .collect();
        reasons.push(format!(
            "they come to other ports or by another protocol than the action blocks ({}): set `port` and `protocol`, or `type = allports`",
            ports.join(",")
        ));
    }
    if !options.cut_flows {
        reasons.push(
            "they come over flows that are passed on without a look at the rules (flow tables, connections that another rule accepts before): \
             set `cut_flows = yes`, or a lower `chain_priority`"
                .to_owned(),
        );
    }
    reasons.push(
        "the log names another address than the packets have: a proxy or a content network; ban there".to_owned(),
    );
    reasons
}

/// Private, or of the machine itself.
fn is_near_by(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || address.is_loopback() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}
