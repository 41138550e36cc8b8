//! The links between the validators, and how they are cut.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use gongsuan::wire::{Rule, Rules};

use super::hosts::Hosts;
use super::network::{Error, whole};

/// What the validators' links go through.
#[derive(Debug)]
pub(super) enum Links {
    /// The wire of `gongsuan cluster`: a process on loopback that delays, loses and holds back what is sent. Works everywhere.
    Wire(Wire),
    /// Hosts of their own: what is sent into a cut is dropped.
    Hosts(Hosts),
}

/// The wire's process and the file of its rules.
#[derive(Debug)]
pub(super) struct Wire {
    process: Child,
    rules: PathBuf,
}

impl Wire {
    pub(super) fn start(program: &Path, dir: &Path, rules: PathBuf) -> Result<Self, Error> {
        let log = std::fs::File::create(dir.join("wire.log"))?;
        let mut command = Command::new(program);
        command.args(["wire", "--dir"]).arg(dir).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self { process: command.stderr(log).spawn()?, rules })
    }

    fn change(&self, change: impl FnOnce(&mut Rules)) -> Result<(), Error> {
        let mut rules = Rules::load(&self.rules).map_err(whole)?;
        change(&mut rules);
        rules.save(&self.rules).map_err(whole)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Links {
    /// Cuts groups off from each other; with `one_way` only what the first sends to the others.
    pub(super) fn cut(&mut self, groups: &[Vec<usize>], one_way: bool) -> Result<(), Error> {
        match self {
            Self::Wire(wire) => wire.change(|rules| rules.partition(groups, one_way)),
            Self::Hosts(hosts) => {
                for (place, group) in groups.iter().enumerate() {
                    let others = groups.iter().skip(place + 1).flatten();
                    for (a, b) in others.flat_map(|b| group.iter().map(move |a| (*a, *b))) {
                        hosts.cut(a, b).map_err(Error)?;
                        if !one_way {
                            hosts.cut(b, a).map_err(Error)?;
                        }
                    }
                }
                Ok(())
            }
        }
    }

    /// Lets everything pass, at once.
    pub(super) fn heal(&mut self) -> Result<(), Error> {
        match self {
            Self::Wire(wire) => wire.change(Rules::heal),
            Self::Hosts(hosts) => hosts.heal().map_err(Error),
        }
    }

    /// Slows every link.
    pub(super) fn slow(&mut self, rule: Rule) -> Result<(), Error> {
        match self {
            Self::Wire(wire) => wire.change(|rules| rules.all = rule),
            Self::Hosts(_) => Err(Error("the router drops packets and does not delay them".into())),
        }
    }
}
