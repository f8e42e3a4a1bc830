//! The lease protocol in a world without mercy, for exhaustive checking; drives the production state
//! machine and the production rule for writes, and adds nothing to them.
//!
//! One shard (shards share nothing), several replicas. Time passes in ticks of the world, of which
//! a replica's clock makes one or two seconds, each tick anew: clocks differ in rate by up to a
//! factor of two. Anything that is not forced happens at any time or never, so a replica that does
//! not act for a while is a paused one.

use std::time::Duration;

use evenkeel_reconciler::lease::{
    Holder, LeaseRecord, LeaseTimes, Moment, Put, PutOutcome, ShardLease, Step, Wish,
};
use evenkeel_reconciler::{Grounds, Withheld};
use stateright::{Model, Property};

/// What every replica's clock says, always: instants are rebased after every tick.
const NOW: Moment = Duration::from_secs(1000);

/// What is checked, and how hard.
#[derive(Clone, Debug)]
pub(crate) struct LeaseModel {
    pub(crate) replicas: usize,
    pub(crate) times: LeaseTimes,
    /// Ticks from sending a write to the latest moment at which it can take effect.
    pub(crate) write_takes: u8,
    /// How often each may happen.
    pub(crate) faults: Faults,
    /// The newest generation of the manifests.
    pub(crate) generations: u8,
    /// Where the search ends: the highest epoch, and the most renewals of one.
    pub(crate) epoch_max: u64,
    pub(crate) beat_max: u64,
    /// Live replicas do a whole round in every tick: for how long a takeover takes.
    pub(crate) is_prompt: bool,
    /// Ticks: the wait by a slow clock, a round, and one for telling it.
    pub(crate) takeover_bound: u8,
    pub(crate) defect: Option<Defect>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    pub(crate) crashes: u8,
    /// Requests to the table whose answer is lost; they may still take effect, at any time.
    pub(crate) losses: u8,
    /// A person deletes the record.
    pub(crate) deletions: u8,
    /// A person writes a holder of their own into it.
    pub(crate) edits: u8,
}

/// What the checker must find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    /// Writes are sent for as long as the lease is valid.
    NoMargin,
    ValidityFromTheAnswer,
    /// A plan is written however old it is.
    OldPlans,
    /// A release does not wait for the writes under way.
    ReleaseWithWritesUnderWay,
    /// Where there is no record, one that is put is a lease at once.
    LeaseFromNothing,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    record: Option<LeaseRecord>,
    replicas: Vec<Replica>,
    /// Requests whose answers are lost and that have not reached the table yet.
    late: Vec<Put>,
    newest: u8,
    left: Faults,
    /// Ticks without a holder since the table or the set of replicas changed.
    vacant: u8,
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Replica {
    /// `None` while it is down.
    lease: Option<ShardLease>,
    starts: u8,
    request: Option<Request>,
    /// The newest generation that it has seen.
    seen: u8,
    /// The generation that the plan at hand was made from.
    plan: Option<u8>,
    /// Ticks in which the write under way may still take effect.
    write: Option<u8>,
}

/// What was asked of the table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Request {
    Read { shown: Option<LeaseRecord> },
    Put { put: Put, sent_at: Moment, stored: Option<bool> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// Time passes; the bits say whose clock makes two seconds of it.
    Tick(u8),
    AskForTheRecord(usize),
    Send(usize, Wish),
    Reach(usize),
    Answer(usize),
    LoseAnswer(usize),
    ReachLate(usize),
    Plan(usize),
    Write(usize),
    WriteAnswered(usize),
    ManifestChanges,
    SeeManifest(usize),
    Crash(usize),
    Restart(usize),
    Delete,
    Edit,
}

/// Of a lease that nobody ever held.
fn free() -> LeaseRecord {
    LeaseRecord { holder: String::new(), epoch: 0, beat: 0, version: 1 }
}

impl LeaseModel {
    /// Two replicas and no faults. The times stand to each other as the defaults do: a lease lives
    /// for longer than two writes take, and another waits twice that and a write.
    pub(crate) fn small() -> Self {
        let seconds = Duration::from_secs;
        Self {
            replicas: 2,
            times: LeaseTimes {
                ttl: seconds(3),
                takeover_wait: seconds(7),
                write_needs: seconds(1),
            },
            write_takes: 1,
            faults: Faults::default(),
            generations: 0,
            epoch_max: 2,
            beat_max: 2,
            is_prompt: false,
            takeover_bound: 9,
            defect: None,
        }
    }

    fn start(&self, index: usize, starts: u8) -> ShardLease {
        let letter = char::from(b'a' + u8::try_from(index).unwrap_or(25));
        ShardLease::new(Holder { name: format!("{letter}#{starts}"), version: 1 }, self.times)
    }

    fn as_the_defect_has_it(&self, put: Put) -> Put {
        let is_from_nothing = self.defect == Some(Defect::LeaseFromNothing);
        let expected = put.expected.or_else(|| is_from_nothing.then(free));
        Put { expected, ..put }
    }

    /// The production rule, unless it is the defect.
    fn may_write(&self, replica: &Replica, lease: &ShardLease) -> bool {
        let left = lease.valid_until().map_or(Duration::ZERO, |until| until.saturating_sub(NOW));
        let grounds = Grounds {
            is_in_force: replica.plan == Some(replica.seen),
            look_age: Duration::ZERO,
            look_age_max: Duration::ZERO,
            lease: Some((left, self.times)),
        };
        match grounds.permit() {
            Ok(()) => true,
            Err(Withheld::Superseded) => self.defect == Some(Defect::OldPlans),
            Err(Withheld::LeaseLost) => self.defect == Some(Defect::NoMargin) && !left.is_zero(),
            Err(Withheld::LookExpired) => false,
        }
    }

    fn events_of(&self, world: &World, index: usize, replica: &Replica, out: &mut Vec<Event>) {
        let Some(lease) = &replica.lease else {
            return out.push(Event::Restart(index));
        };
        if world.left.crashes > 0 {
            out.push(Event::Crash(index));
        }
        match &replica.request {
            None => {
                out.push(Event::AskForTheRecord(index));
                let is_idle = replica.write.is_none() && replica.plan.is_none();
                let lets_go = is_idle || self.defect == Some(Defect::ReleaseWithWritesUnderWay);
                let wishes = [Some(Wish::Hold), lets_go.then_some(Wish::LetGo)];
                out.extend(wishes.into_iter().flatten().map(|wish| Event::Send(index, wish)));
            }
            Some(Request::Put { stored: None, .. }) => out.push(Event::Reach(index)),
            Some(Request::Read { .. } | Request::Put { .. }) => out.push(Event::Answer(index)),
        }
        if world.left.losses > 0 && matches!(replica.request, Some(Request::Put { .. })) {
            out.push(Event::LoseAnswer(index));
        }
        if replica.seen < world.newest {
            out.push(Event::SeeManifest(index));
        }
        match (replica.plan, replica.write) {
            (_, Some(_)) => out.push(Event::WriteAnswered(index)),
            (Some(_), None) if self.may_write(replica, lease) => out.push(Event::Write(index)),
            (None, None) if lease.is_valid(NOW) => out.push(Event::Plan(index)),
            (Some(_) | None, None) => {}
        }
    }
}

impl Model for LeaseModel {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        let replica = |index| Replica {
            lease: Some(self.start(index, 0)),
            starts: 0,
            request: None,
            seen: 0,
            plan: None,
            write: None,
        };
        vec![World {
            record: Some(free()),
            replicas: (0..self.replicas).map(replica).collect(),
            late: Vec::new(),
            newest: 0,
            left: self.faults,
            vacant: 0,
            broken: None,
        }]
    }

    fn actions(&self, world: &World, out: &mut Vec<Event>) {
        if world.broken.is_some() {
            return;
        }
        out.extend((0..1 << self.replicas).map(Event::Tick));
        out.extend((0..world.late.len()).map(Event::ReachLate));
        if world.record.is_some() && world.left.deletions > 0 {
            out.push(Event::Delete);
        }
        if world.left.edits > 0 {
            out.push(Event::Edit);
        }
        if self.is_prompt {
            return out.extend(crashes_and_restarts(world));
        }
        if world.newest < self.generations {
            out.push(Event::ManifestChanges);
        }
        for (index, replica) in world.replicas.iter().enumerate() {
            self.events_of(world, index, replica, out);
        }
    }

    fn next_state(&self, world: &World, event: Event) -> Option<World> {
        let mut next = world.clone();
        next.take(self, event)?;
        (next != *world).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("writes of two replicas never overlap", |_, world: &World| {
                world.broken != Some("overlap")
            }),
            Property::always("no two replicas hold the lease", |_, world: &World| {
                let leases = world.replicas.iter().filter_map(|one| one.lease.as_ref());
                leases.filter(|lease| lease.is_valid(NOW)).count() <= 1
            }),
            Property::always(
                "no plan is written after a newer one was seen",
                |_, world: &World| world.broken != Some("backwards"),
            ),
            Property::always(
                "a vacant shard is taken within the bound",
                |model: &Self, world: &World| {
                    !model.is_prompt || world.vacant <= model.takeover_bound
                },
            ),
            Property::sometimes("both replicas come to write", |_, world: &World| {
                world.record.as_ref().is_some_and(|record| record.epoch > 1)
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world
            .record
            .as_ref()
            .is_none_or(|record| record.epoch <= self.epoch_max && record.beat <= self.beat_max)
    }
}

fn crashes_and_restarts(world: &World) -> Vec<Event> {
    let can_crash = world.left.crashes > 0;
    let event = |(index, replica): (usize, &Replica)| match replica.lease {
        Some(_) => can_crash.then_some(Event::Crash(index)),
        None => Some(Event::Restart(index)),
    };
    world.replicas.iter().enumerate().filter_map(event).collect()
}

impl World {
    /// `None` when the event makes no sense after all.
    fn take(&mut self, model: &LeaseModel, event: Event) -> Option<()> {
        match event {
            Event::Tick(fast) => self.tick(model, fast),
            Event::AskForTheRecord(index) => {
                let shown = self.record.clone();
                self.replicas.get_mut(index)?.request = Some(Request::Read { shown });
            }
            Event::Send(index, wish) => self.send(index, wish)?,
            Event::Reach(index) => self.reach(index)?,
            Event::Answer(index) => self.answer(model, index)?,
            Event::LoseAnswer(index) => self.lose_answer(index)?,
            Event::ReachLate(index) => {
                let put = self.late.remove(index);
                self.store(&put);
            }
            Event::Plan(index) => {
                let replica = self.replicas.get_mut(index)?;
                replica.plan = Some(replica.seen);
            }
            Event::Write(index) => self.write(model, index)?,
            Event::WriteAnswered(index) => self.replicas.get_mut(index)?.write = None,
            Event::ManifestChanges => self.newest += 1,
            Event::SeeManifest(index) => self.replicas.get_mut(index)?.seen = self.newest,
            Event::Crash(index) => self.crash(index)?,
            Event::Restart(index) => self.restart(model, index)?,
            Event::Delete => {
                self.left.deletions -= 1;
                (self.record, self.vacant) = (None, 0);
            }
            Event::Edit => self.edit(),
        }
        Some(())
    }

    fn tick(&mut self, model: &LeaseModel, fast: u8) {
        for (index, replica) in self.replicas.iter_mut().enumerate() {
            let seconds = if fast & (1 << index) == 0 { 1 } else { 2 };
            replica.pass_time(model, Duration::from_secs(seconds));
        }
        if model.is_prompt {
            (0..self.replicas.len()).for_each(|index| self.round(model, index));
            self.count_vacancy();
        }
    }

    /// All that the driver of one replica does in one round, with a table that answers at once.
    fn round(&mut self, model: &LeaseModel, index: usize) {
        let Some(lease) = self.replicas.get_mut(index).and_then(|one| one.lease.as_mut()) else {
            return;
        };
        lease.read_ended(NOW, self.record.as_ref());
        if self.send(index, Wish::Hold).is_some() && self.reach(index).is_some() {
            self.answer(model, index);
        }
    }

    fn count_vacancy(&mut self) {
        let mut leases = self.replicas.iter().filter_map(|one| one.lease.as_ref()).peekable();
        let is_dead = leases.peek().is_none();
        if is_dead || leases.any(|lease| lease.is_valid(NOW)) {
            self.vacant = 0;
        } else {
            self.vacant += 1;
        }
    }

    fn send(&mut self, index: usize, wish: Wish) -> Option<()> {
        let replica = self.replicas.get_mut(index)?;
        let Step::Put(put) = replica.lease.as_mut()?.next(NOW, wish) else { return None };
        replica.request = Some(Request::Put { put, sent_at: NOW, stored: None });
        Some(())
    }

    fn reach(&mut self, index: usize) -> Option<()> {
        let request = self.replicas.get(index)?.request.clone()?;
        let Request::Put { put, sent_at, stored: None } = request else { return None };
        let stored = Some(self.store(&put));
        self.replicas.get_mut(index)?.request = Some(Request::Put { put, sent_at, stored });
        Some(())
    }

    fn store(&mut self, put: &Put) -> bool {
        let is_as_expected = self.record == put.expected;
        if is_as_expected {
            self.record = Some(put.record.clone());
            self.vacant = 0;
        }
        is_as_expected
    }

    fn answer(&mut self, model: &LeaseModel, index: usize) -> Option<()> {
        let replica = self.replicas.get_mut(index)?;
        let lease = replica.lease.as_mut()?;
        match replica.request.take()? {
            Request::Read { shown } => lease.read_ended(NOW, shown.as_ref()),
            Request::Put { put, sent_at, stored } => {
                let is_late = model.defect == Some(Defect::ValidityFromTheAnswer);
                let sent_at = if is_late { NOW } else { sent_at };
                let outcome = if stored? { PutOutcome::Stored } else { PutOutcome::Refused };
                let put = model.as_the_defect_has_it(put);
                lease.put_ended(sent_at, NOW, put, outcome);
            }
        }
        Some(())
    }

    fn lose_answer(&mut self, index: usize) -> Option<()> {
        let replica = self.replicas.get_mut(index)?;
        let Request::Put { put, sent_at, stored } = replica.request.take()? else { return None };
        replica.lease.as_mut()?.put_ended(sent_at, NOW, put.clone(), PutOutcome::Unknown);
        self.left.losses -= 1;
        if stored.is_none() {
            self.linger(put);
        }
        Some(())
    }

    fn linger(&mut self, put: Put) {
        self.late.push(put);
        self.late.sort_by_cached_key(|put| format!("{put:?}"));
    }

    fn write(&mut self, model: &LeaseModel, index: usize) -> Option<()> {
        let mut others = self.replicas.iter().enumerate().filter(|(other, _)| *other != index);
        let overlaps = others.any(|(_, one)| one.write.is_some());
        let replica = self.replicas.get_mut(index)?;
        if overlaps {
            self.broken = Some("overlap");
        } else if replica.plan? < replica.seen {
            self.broken = Some("backwards");
        }
        (replica.write, replica.plan) = (Some(model.write_takes), None);
        Some(())
    }

    /// What was sent goes on: requests to the table and writes.
    fn crash(&mut self, index: usize) -> Option<()> {
        let replica = self.replicas.get_mut(index)?;
        let request = replica.request.take();
        let mut lease = replica.lease.take()?;
        (replica.seen, replica.plan) = (0, None);
        self.left.crashes -= 1;
        self.vacant = 0;
        let sending = match request {
            Some(Request::Put { put, stored: None, .. }) => Some(put),
            Some(_) => None,
            None => match lease.next(NOW, Wish::Hold) {
                Step::Put(put) => Some(put),
                Step::Wait(_) | Step::Read => None,
            },
        };
        if let Some(put) = sending {
            self.linger(put);
        }
        Some(())
    }

    fn restart(&mut self, model: &LeaseModel, index: usize) -> Option<()> {
        let replica = self.replicas.get_mut(index)?;
        replica.starts += 1;
        replica.lease = Some(model.start(index, replica.starts));
        self.vacant = 0;
        Some(())
    }

    fn edit(&mut self) {
        let (epoch, beat) = self.record.as_ref().map_or((0, 0), |one| (one.epoch, one.beat));
        let holder = "somebody".to_owned();
        self.left.edits -= 1;
        self.vacant = 0;
        self.record = Some(LeaseRecord { holder, epoch: epoch / 2, beat, version: 1 });
    }
}

impl Replica {
    fn pass_time(&mut self, model: &LeaseModel, passed: Duration) {
        let now = NOW.saturating_add(passed);
        self.lease = self.lease.as_ref().map(|lease| lease.rebased(now, NOW));
        if let Some(Request::Put { sent_at, .. }) = &mut self.request {
            // What was sent longer ago than a lease lives makes no difference any more.
            let oldest = NOW.saturating_sub(model.times.ttl);
            *sent_at = sent_at.saturating_sub(passed).max(oldest);
        }
        self.write = self.write.and_then(|ticks| ticks.checked_sub(1)).filter(|ticks| *ticks > 0);
    }
}
