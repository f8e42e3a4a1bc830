//! Courses that begin as one: at each point of a sweep the process is split in two, and the new one goes on perturbed;
//! never plays what they have in common twice.
//!
//! A course cannot be copied, for it lies in futures; a process can. Only one with a single thread may be split.

use std::collections::BTreeMap;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use fork::Fork;
use jiff::Timestamp;

use super::{CrashPoint, Fingerprint, Perturbation, Visited};

/// How much of where a course stood is told: what a pipe holds with nobody who reads it, which is 64 KiB.
const TOLD: usize = 8_000;

/// Where in a course it is split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    /// When the call of that number is about to be sent.
    Call(u64),
    /// When the loop is about to be woken for that time.
    Wake(u64),
}

/// The processes that one course is split into.
#[derive(Debug)]
pub struct Forks {
    points: BTreeMap<Place, Vec<(usize, Perturbation)>>,
    /// Of a perturbation that never comes: until a split, all is as it is before one of that kind.
    before: Perturbation,
    /// Where fine ones stood, known to each process that is split off after they ended.
    visited: Option<Arc<Visited>>,
    /// How many processes may live besides this one.
    most: usize,
    alive: BTreeMap<i32, (usize, PipeReader)>,
    reports: BTreeMap<usize, ForkReport>,
    /// What this process is, after a split.
    child: Option<Child>,
}

/// A process that plays one perturbed course to its end.
#[derive(Debug)]
pub struct Child {
    writer: PipeWriter,
    split_at: Duration,
}

/// What came of one perturbed course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForkReport {
    pub is_fine: bool,
    /// Whether it came to where a fine one stood.
    pub joined: bool,
    /// From the split to the end.
    pub played: Duration,
    /// Where it stood, from its beginning on; as much as is told.
    pub trail: Vec<Fingerprint>,
}

impl Forks {
    /// For perturbations of one kind, each under a number; `None` where one of them is not bound to a call or a waking.
    pub fn new(
        perturbations: Vec<(usize, Perturbation)>,
        visited: Option<Arc<Visited>>,
        most: usize,
    ) -> Option<Self> {
        let before = dormant(&perturbations.first()?.1)?;
        let mut points: BTreeMap<Place, Vec<(usize, Perturbation)>> = BTreeMap::new();
        for (number, perturbation) in perturbations {
            points.entry(place(&perturbation)?).or_default().push((number, perturbation));
        }
        let (alive, reports) = (BTreeMap::new(), BTreeMap::new());
        Some(Self { points, before, visited, most: most.max(1), alive, reports, child: None })
    }

    /// Under which the common beginning is played.
    pub(crate) fn before(&self) -> Perturbation {
        self.before.clone()
    }

    /// What perturbs the course from here on, so long after it began: in each new process something, in this one nothing.
    ///
    /// # Panics
    ///
    /// When the machine has no room for another process.
    pub(crate) fn split(&mut self, place: Place, at: Duration) -> Option<Perturbation> {
        for (number, perturbation) in self.points.remove(&place)? {
            while self.alive.len() >= self.most {
                self.wait_for_one();
            }
            let (reader, writer) = io::pipe().expect("a pipe for each process");
            match fork::fork().expect("room for another process") {
                Fork::Child => {
                    self.alive.clear();
                    std::mem::forget(std::mem::take(&mut self.points));
                    self.child = Some(Child { writer, split_at: at });
                    return Some(perturbation);
                }
                Fork::Parent(process) => {
                    self.alive.insert(process, (number, reader));
                }
            }
        }
        None
    }

    pub(crate) fn is_child(&self) -> bool {
        self.child.is_some()
    }

    /// What this process is, if it was split off.
    pub fn take_child(&mut self) -> Option<Child> {
        self.child.take()
    }

    /// Waits for all; what each came to, by its number. One that died or was never split off has no report.
    pub fn reports(mut self) -> BTreeMap<usize, ForkReport> {
        while !self.alive.is_empty() {
            self.wait_for_one();
        }
        self.reports
    }

    fn wait_for_one(&mut self) {
        let (process, _) =
            fork::wait_any().expect("a process that was split off and not waited for");
        let Some((number, mut reader)) = self.alive.remove(&process) else { return };
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        let Some(report) = read.ok().and(ForkReport::from_bytes(&bytes)) else { return };
        if let Some(visited) = self.visited.as_ref().filter(|_| report.is_fine) {
            visited.add(&report.trail);
        }
        self.reports.insert(number, report);
    }
}

impl Child {
    /// Since its course began.
    pub fn split_at(&self) -> Duration {
        self.split_at
    }

    /// Ends this process.
    pub fn report(mut self, report: &ForkReport) -> ! {
        // The one that it was split off takes silence for a failure.
        drop(self.writer.write_all(&report.to_bytes()));
        std::process::exit(0);
    }
}

impl ForkReport {
    fn to_bytes(&self) -> Vec<u8> {
        let nanos = u64::try_from(self.played.as_nanos()).unwrap_or(u64::MAX);
        let mut bytes = vec![u8::from(self.is_fine), u8::from(self.joined)];
        bytes.extend(nanos.to_le_bytes());
        bytes.extend(self.trail.iter().take(TOLD).flat_map(|one| one.to_bytes()));
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (head, trail) = bytes.split_first_chunk::<10>()?;
        let [is_fine, joined, nanos @ ..] = *head;
        let played = Duration::from_nanos(u64::from_le_bytes(nanos));
        let (trail, []) = trail.as_chunks() else { return None };
        let trail = trail.iter().copied().map(Fingerprint::from_bytes).collect();
        Some(Self { is_fine: is_fine == 1, joined: joined == 1, played, trail })
    }
}

fn place(perturbation: &Perturbation) -> Option<Place> {
    match perturbation {
        Perturbation::Nothing | Perturbation::Source { .. } => None,
        Perturbation::Crashes(points) => match points.first()? {
            CrashPoint::Call(number, _) => Some(Place::Call(*number)),
            CrashPoint::Wake(count) => Some(Place::Wake(*count)),
        },
        Perturbation::Stale { read, .. } => Some(Place::Call(*read)),
        Perturbation::Unobserved { call, .. } => Some(Place::Call(*call)),
    }
}

/// Of the same kind, and never met.
fn dormant(perturbation: &Perturbation) -> Option<Perturbation> {
    match perturbation {
        Perturbation::Nothing | Perturbation::Source { .. } => None,
        Perturbation::Crashes(_) => Some(Perturbation::Crashes(Vec::new())),
        Perturbation::Stale { as_of, .. } => {
            Some(Perturbation::Stale { read: u64::MAX, as_of: *as_of, frozen: false })
        }
        Perturbation::Unobserved { .. } => {
            Some(Perturbation::Unobserved { call: u64::MAX, until: Timestamp::MAX })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_written_and_half_of_one_is_none() {
        let played = Duration::from_millis(17);
        let trail = vec![Fingerprint::from_bytes([1; 8]), Fingerprint::from_bytes([2; 8])];
        let report = ForkReport { is_fine: true, joined: false, played, trail };
        let bytes = report.to_bytes();
        assert_eq!(ForkReport::from_bytes(&bytes), Some(report.clone()));
        for length in [5, 12] {
            assert_eq!(ForkReport::from_bytes(bytes.get(..length).expect("it is longer")), None);
        }
        assert_eq!(ForkReport::from_bytes(&[]), None);
    }
}
