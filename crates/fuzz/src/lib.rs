//! Hostile input: for everything that reads what others wrote, one function that takes any bytes and panics
//! when a promise is broken; never talks to anything and never reads a clock.
//!
//! libFuzzer drives these functions (`just fuzz`); the ordinary tests replay through them what is checked
//! in: `seeds/` to begin with, `findings/` of the past.

mod canonical;
mod look;
mod manifests;
pub mod mutate;
mod plans;
mod reasons;
mod replies;
mod tags;

/// A reader of hostile input.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Of the binary for libFuzzer and of the directories of seeds and findings.
    pub name: &'static str,
    pub run: fn(&[u8]),
}

/// Every target.
pub const TARGETS: &[Target] = &[
    Target { name: "manifests", run: manifests::run },
    Target { name: "canonical", run: canonical::run },
    Target { name: "replies", run: replies::run },
    Target { name: "plans", run: plans::run },
    Target { name: "reasons", run: reasons::run },
    Target { name: "tags", run: tags::run },
];

/// Runs the target of this name.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let target = target.unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(data);
}
