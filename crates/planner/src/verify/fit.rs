//! What the answers mean for each need, and what to do; never asks.

use std::collections::{BTreeMap, BTreeSet};

use super::trust::{Trust, trust};
use super::{Answers, Asked, AttachedGroup, Check, Demand, Need, Platform, Port, Shown, Verified};
use crate::{Fact, Unknown};

/// What was found about each need, in the same order. The needs must be those of one service: all that has a VPC
/// must be in the same one.
pub fn verify(needs: &[Need], answers: &Answers) -> Vec<Verified> {
    let home = Home::of(needs, answers);
    needs.iter().map(|need| verified(need, answers, home.as_ref())).collect()
}

/// The VPC of a service, and the subnet or group that shows it.
struct Home<'a> {
    vpc: &'a str,
    shown_by: &'a Need,
}

impl<'a> Home<'a> {
    /// Subnets are where tasks run, so the first one decides.
    fn of(needs: &'a [Need], answers: &'a Answers) -> Option<Self> {
        let networked = |check| needs.iter().filter(move |need| need.check == check);
        let mut candidates = networked(Check::Subnet).chain(networked(Check::SecurityGroup));
        candidates.find_map(|need| match answers.get(need.asked()?)? {
            Fact::Known(Shown::InVpc(vpc)) => Some(Self { vpc, shown_by: need }),
            _ => None,
        })
    }

    fn expect(&self, what: &str, vpc: &str) -> Verified {
        if vpc == self.vpc {
            return Verified::Ok;
        }
        Verified::Failed(format!(
            "{what} is in the VPC {vpc}, and {} is in {}: all must be in the same one",
            self.shown_by.text, self.vpc
        ))
    }
}

fn verified(need: &Need, answers: &Answers, home: Option<&Home<'_>>) -> Verified {
    let asked = match (&need.demand, need.asked()) {
        (Demand::Unseen { why }, _) => return Verified::Unknown(format!("not checked: {why}")),
        (_, Some(asked)) => asked,
        (_, None) => return Verified::Unknown("not checked".to_owned()),
    };
    match answers.get(asked) {
        Some(Fact::Known(shown)) => fits(need, shown, home),
        Some(Fact::Absent) => Verified::Failed(missing(asked)),
        Some(Fact::Unknown(why)) => unseen(why),
        None => unseen(&Unknown::NotAsked),
    }
}

fn unseen(why: &Unknown) -> Verified {
    match why {
        Unknown::Denied { operation, message } if message.is_empty() => {
            Verified::Forbidden(format!("not checked: IAM does not allow {operation}"))
        }
        Unknown::Denied { operation, message } => {
            Verified::Forbidden(format!("not checked: {operation}: {message}"))
        }
        Unknown::Failed { operation, message } => {
            Verified::Unknown(format!("not checked: {operation}: {message}"))
        }
        Unknown::CapabilityMissing { operation } => {
            Verified::Unknown(format!("not checked: the server does not know {operation}"))
        }
        Unknown::NotAsked => {
            Verified::Unknown("not checked: there was no answer in time".to_owned())
        }
    }
}

fn missing(asked: &Asked) -> String {
    match asked {
        Asked::Role { name } => {
            format!("the account has no role {name}: create it, or name another")
        }
        Asked::Image { reference } => {
            format!("the registry has no image {reference}: push it, or name another")
        }
        Asked::Secret { id } => format!("there is no secret {id}: create it, or name another"),
        Asked::Parameter { name, region } => {
            let place = in_region(region.as_deref());
            format!("there is no parameter {name}{place}: create it, or name another")
        }
        Asked::LogGroup { name, region } => format!(
            "there is no log group {name}{}: create it, or set `awslogs-create-group` to \"true\"",
            in_region(region.as_deref())
        ),
        Asked::TargetGroup { .. } => {
            "there is no such target group: create it, or name another".to_owned()
        }
        Asked::Alarm { name } => {
            format!("there is no alarm {name}: create it, or take it out of the list")
        }
        Asked::Subnet { id } => format!("there is no subnet {id} in this region: name another"),
        Asked::SecurityGroup { id } => {
            format!("there is no security group {id} in this region: name another")
        }
        Asked::Function { id, region } => {
            let place = in_region(region.as_deref());
            format!("there is no function {id}{place}: create it, or name another")
        }
    }
}

fn in_region(region: Option<&str>) -> String {
    region.map(|region| format!(" in {region}")).unwrap_or_default()
}

fn fits(need: &Need, shown: &Shown, home: Option<&Home<'_>>) -> Verified {
    match (&need.demand, shown) {
        (Demand::Role { principal, .. }, Shown::Role { arn, trust_policy }) => {
            role(&need.text, principal, arn, trust_policy)
        }
        (Demand::Image { os, architecture, .. }, Shown::Image(platforms)) => {
            image(os, *architecture, platforms)
        }
        (Demand::Secret { stage, version, .. }, Shown::Secret { versions, is_to_be_deleted }) => {
            if *is_to_be_deleted {
                let text = "the secret is scheduled for deletion: restore it, or name another";
                return Verified::Failed(text.to_owned());
            }
            secret(stage.as_deref(), version.as_deref(), versions)
        }
        (Demand::TargetGroup { target_type, port, .. }, Shown::TargetGroup(group)) => {
            target_group(target_type, port.as_ref(), group, home)
        }
        (Demand::Vpc { .. }, Shown::InVpc(vpc)) => {
            home.map_or(Verified::Ok, |home| home.expect(&need.text, vpc))
        }
        (Demand::Existence { .. }, _) => Verified::Ok,
        _ => Verified::Unknown("not checked: the answer is about something else".to_owned()),
    }
}

fn secret(
    stage: Option<&str>,
    version: Option<&str>,
    versions: &BTreeMap<String, BTreeSet<String>>,
) -> Verified {
    if let Some(version) = version.filter(|version| !versions.contains_key(*version)) {
        return Verified::Failed(format!("the secret has no version {version}: name another"));
    }
    let has_stage = |stage: &str| versions.values().any(|labels| labels.contains(stage));
    if let Some(stage) = stage.filter(|stage| !has_stage(stage)) {
        return Verified::Failed(format!(
            "no version of the secret has the label {stage}: give it to one, or name another"
        ));
    }
    Verified::Ok
}

/// A role is found by its name: one of another path is another role.
fn role(text: &str, principal: &str, arn: &str, trust_policy: &str) -> Verified {
    if text.starts_with("arn:") && text != arn {
        return Verified::Failed(format!(
            "the account's role of this name is {arn}: name it so, or another one"
        ));
    }
    match trust(trust_policy, principal) {
        Trust::Allowed => Verified::Ok,
        Trust::Denied => Verified::Failed(format!(
            "its trust policy denies {principal} sts:AssumeRole: take the denial away, or name another role"
        )),
        Trust::NotAllowed(others) => {
            let others = match others.as_slice() {
                [] => "no service".to_owned(),
                others => others.join(", "),
            };
            Verified::Failed(format!(
                "its trust policy does not let {principal} assume it, but {others}: allow {principal} \
                 sts:AssumeRole, or name another role"
            ))
        }
        Trust::Unreadable => {
            Verified::Unknown("not checked: its trust policy cannot be read".to_owned())
        }
    }
}

/// An image that does not say what it runs on may run anywhere.
fn image(os: &str, architecture: Option<&str>, platforms: &[Platform]) -> Verified {
    let suits = |one: &Platform| {
        one.os == os && architecture.is_none_or(|wanted| wanted == one.architecture)
    };
    if platforms.is_empty() || platforms.iter().any(suits) {
        return Verified::Ok;
    }
    let has: Vec<String> =
        platforms.iter().map(|one| format!("{}/{}", one.os, one.architecture)).collect();
    let wanted = architecture.map_or_else(|| os.to_owned(), |one| format!("{os}/{one}"));
    Verified::Failed(format!(
        "the image is for {}, and the task runs on {wanted}: push one for {wanted}, or change `runtimePlatform`",
        has.join(", ")
    ))
}

fn target_group(
    target_type: &str,
    port: Option<&Port>,
    group: &AttachedGroup,
    home: Option<&Home<'_>>,
) -> Verified {
    if let Some(kind) = group.target_type.as_deref().filter(|kind| *kind != target_type) {
        return Verified::Failed(format!(
            "the target group is for targets of type {kind}, and tasks of this network mode are of type \
             {target_type}: name one of that type"
        ));
    }
    if let Some(fault) = port.and_then(|port| mismatch(port, group)) {
        return Verified::Failed(fault);
    }
    if group.load_balancers == 0 {
        let text = "no load balancer uses the target group, so ECS refuses it: name it in a listener or in a rule \
                    of one";
        return Verified::Failed(text.to_owned());
    }
    match (&group.vpc, home) {
        (Some(vpc), Some(home)) => home.expect("the target group", vpc),
        _ => Verified::Ok,
    }
}

/// A load balancer that speaks to a port what nobody listens for.
fn mismatch(port: &Port, group: &AttachedGroup) -> Option<String> {
    let spoken = group.protocol.as_deref()?;
    let expected = match spoken {
        "HTTP" | "HTTPS" | "TCP" | "TLS" => "tcp",
        "UDP" | "QUIC" => "udp",
        // Both, or something newer.
        _ => return None,
    };
    if expected == port.protocol {
        return None;
    }
    Some(format!(
        "the target group speaks {spoken}, and the container `{}` maps port {} for {}: map it for {expected}, \
         or name another target group",
        port.container, port.number, port.protocol
    ))
}

#[cfg(test)]
mod tests;
