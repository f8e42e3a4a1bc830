//! The lives of one daemon: it runs the production loop until it is killed, and is started again with
//! an empty disk; never helps it.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use evenkeel_reconciler::{
    ControlLoop, DesiredState, LeaseKeeper, LeaseMetrics, LeaseSettings, LoopHandle, LoopMetrics,
    LoopSettings, Shutdown, StatusBoard,
};
use prometheus::Registry;
use tokio::sync::watch;

use super::CrashPoint;
use super::course::{Shared, lock};
use super::event::{Event, Replica};
use super::forks::Place;
use super::moment::{RESTART_AFTER, down_after_a_kill};
use super::table::TableStore;
use super::wire::Wire;
use crate::SimulatedCloud;

pub(super) struct Life {
    pub(super) course: Shared,
    pub(super) replica: Replica,
    pub(super) desired: watch::Sender<Arc<DesiredState>>,
    pub(super) settings: LoopSettings,
    /// `None` for the only daemon.
    pub(super) lease: Option<LeaseSettings>,
}

impl Life {
    /// Lives again and again.
    pub(super) async fn live(self) {
        loop {
            self.wait_until_raised().await;
            self.once().await;
            tokio::time::sleep(self.down_for()).await;
        }
    }

    fn down_for(&self) -> Duration {
        let course = lock(&self.course);
        let now = course.elapsed();
        if course.weather.kills() { down_after_a_kill(now, course.idle) } else { RESTART_AFTER }
    }

    async fn wait_until_raised(&self) {
        loop {
            let raised = {
                let course = lock(&self.course);
                let seat = course.seats.get(&self.replica).filter(|seat| seat.stays_down);
                seat.map(|seat| Arc::clone(&seat.raised))
            };
            let Some(raised) = raised else { return };
            raised.notified().await;
        }
    }

    /// From a start with an empty disk to the end.
    async fn once(&self) {
        let board = Arc::new(StatusBoard::new());
        let killed = self.start(&board);
        let shutdown = Shutdown::new();
        let keeper = self.keeper();
        let mut control = self.control_loop(board);
        if let Some(keeper) = &keeper {
            control = control.with_lease(keeper.held());
        }
        self.listens(Some(control.handle()));
        let mut running = Box::pin(control.run(shutdown.clone()));
        let keeping = async {
            match keeper {
                Some(keeper) => keeper.run(shutdown).await,
                None => pending().await,
            }
        };
        let awake = poll_fn(|context| {
            if self.dies_on_waking() {
                return Poll::Ready(());
            }
            running.as_mut().poll(context).map(drop)
        });
        tokio::select! {
            biased;
            () = killed.notified() => {}
            () = keeping => {}
            () = awake => {}
        }
        drop(running);
        self.listens(None);
        let mut course = lock(&self.course);
        course.sync();
        course.tell(&Event::Ended(self.replica));
    }

    /// To people's commands.
    fn listens(&self, handle: Option<LoopHandle>) {
        if let Some(seat) = lock(&self.course).seats.get_mut(&self.replica) {
            seat.handle = handle;
        }
    }

    /// Keeps the leases of this life; each life is another incarnation.
    fn keeper(&self) -> Option<LeaseKeeper<TableStore>> {
        let settings = self.lease.clone()?;
        let store = TableStore { course: Arc::clone(&self.course), replica: self.replica };
        let lives = lock(&self.course).seats.get(&self.replica).map_or(0, |seat| seat.lives);
        let seed = settings.seed.map(|seed| seed.wrapping_add(lives));
        let metrics = LeaseMetrics::register(&Registry::new())
            .expect("a new registry takes every metric once");
        let settings = LeaseSettings { seed, ..settings };
        let keeper = LeaseKeeper::new(Arc::new(store), settings, metrics, self.desired.subscribe());
        Some(keeper.expect("the settings of simulations are the defaults, all scaled alike"))
    }

    fn start(&self, board: &Arc<StatusBoard>) -> Arc<tokio::sync::Notify> {
        let mut course = lock(&self.course);
        course.sync();
        if course.weather.has_killed() {
            course.trace.begin_tail();
        }
        course.forget_open_calls();
        course.tell(&Event::Started(self.replica));
        let desired = self.desired.borrow().clone();
        for (key, service) in &desired.services {
            course.tell(&Event::Wanted { by: self.replica, key, service: Some(service) });
        }
        for key in desired.invalid.keys() {
            course.tell(&Event::Invalid { by: self.replica, key, is: true });
        }
        if desired.incomplete.is_some() {
            course.tell(&Event::Incomplete { by: self.replica, is: true });
        }
        let seat = course.seats.entry(self.replica).or_default();
        seat.board = Arc::clone(board);
        seat.lives += 1;
        // What stopped the life before, or came too late to, is none of this one's.
        seat.frozen_until = None;
        seat.killed = Arc::default();
        Arc::clone(&seat.killed)
    }

    fn control_loop(&self, board: Arc<StatusBoard>) -> ControlLoop<SimulatedCloud> {
        let wire = Wire { course: Arc::clone(&self.course), replica: self.replica };
        let region = lock(&self.course).simulation.shared_region();
        let cloud = Arc::new(SimulatedCloud::behind(wire, region));
        let metrics = LoopMetrics::register(&Registry::new())
            .expect("a new registry takes every metric once");
        ControlLoop::new(cloud, self.settings.clone(), metrics, self.desired.subscribe(), board)
    }

    fn dies_on_waking(&self) -> bool {
        let mut course = lock(&self.course);
        let Some(seat) = course.seats.get_mut(&self.replica) else { return false };
        seat.wakes += 1;
        let count = seat.wakes;
        if self.replica == Replica(0) {
            course.note_moment(CrashPoint::Wake(count));
        }
        if self.replica == Replica(0) {
            course.split(Place::Wake(count));
        }
        course.weather.dies_on_waking(self.replica, count)
    }
}
