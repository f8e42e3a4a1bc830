//! People who give the daemons commands, wait for the answer, and say it again while there is none;
//! never change anything themselves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use evenkeel_manifest::ServiceKey;
use evenkeel_planner::{Command, Gates, Order, Status};
use evenkeel_reconciler::{Followed, LoopHandle, NotFollowed};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::course::{Shared, lock};
use super::event::{Event, Replica};

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub command: Command,
    pub who: String,
    pub why: String,
}

/// After which the daemon's HTTP server answers in its stead.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between an answer that is none and the next try.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// For longer than reads lag.
const TRIES: u32 = 30;

/// Everybody who has something to say. Each says one thing after the other; two may speak at once.
#[derive(Debug)]
pub(super) struct People {
    course: Shared,
    replicas: usize,
    mouths: BTreeMap<String, Arc<Mutex<()>>>,
    speaking: JoinSet<()>,
}

impl People {
    pub(super) fn new(course: Shared, replicas: usize) -> Self {
        Self { course, replicas, mouths: BTreeMap::new(), speaking: JoinSet::new() }
    }

    /// Returns at once; the answer is told as an event.
    pub(super) fn ask(&mut self, key: &ServiceKey, request: &Request) {
        let mouth = Arc::clone(self.mouths.entry(request.who.clone()).or_default());
        let Request { command, who, why } = request.clone();
        let order = Order { command, who, why };
        let course = Arc::clone(&self.course);
        let talk = lock(&course).begin_talk();
        let errand = Errand { course, key: key.clone(), order, replicas: self.replicas };
        self.speaking.spawn(async move {
            // Whoever asked for it first gets it first.
            let _one_at_a_time = mouth.lock().await;
            errand.run().await;
            lock(&errand.course).end_talk(talk);
        });
    }

    /// Waits until nobody has anything to say any more; whether somebody had.
    pub(super) async fn have_spoken(&mut self) -> bool {
        while self.speaking.try_join_next().is_some() {}
        let had = !self.speaking.is_empty();
        while self.speaking.join_next().await.is_some() {}
        had
    }
}

/// One command until it is followed or refused.
struct Errand {
    course: Shared,
    key: ServiceKey,
    order: Order,
    replicas: usize,
}

/// What a person does after an answer.
enum Next {
    Leaves,
    Asks(Replica, Duration),
}

impl Errand {
    async fn run(&self) {
        let mut of = Replica(0);
        let gate = self.status().and_then(|status| gate(&status));
        let verdict = self.verdict();
        for _ in 0..TRIES {
            match self.next(of, &self.ask(of).await) {
                Next::Leaves => return,
                Next::Asks(other, after) => {
                    tokio::time::sleep(after).await;
                    of = other;
                }
            }
            // Said once more, these go one step further: who got no answer looks at the status first.
            let is_followed = match &self.order.command {
                Command::Promote(Gates::Now) => self.has_passed(gate.as_deref()).await,
                Command::Undo { .. } => self.verdict() != verdict,
                _ => false,
            };
            if is_followed {
                return;
            }
        }
    }

    async fn ask(&self, of: Replica) -> Result<Followed, NotFollowed> {
        let (key, who, command) = (&self.key, &*self.order.who, &self.order.command);
        self.tell(&Event::Asked { of, key, who, command });
        let answered = async {
            let handle = self.listener(of).ok_or(NotFollowed::Unanswered)?;
            let answer = tokio::time::timeout(PATIENCE, handle.order(key, self.order.clone()));
            answer.await.unwrap_or(Err(NotFollowed::Unanswered))
        };
        let answer = answered.await;
        self.tell(&Event::Heard { from: of, key, who, command, answer: answer.as_ref() });
        let told = told(answer.as_ref());
        lock(&self.course).heard.insert(key.clone(), told);
        answer
    }

    fn next(&self, asked: Replica, answer: &Result<Followed, NotFollowed>) -> Next {
        let next = Replica((asked.0 + 1) % self.replicas);
        match answer {
            // It cannot be followed yet, and the sentence says so.
            Err(NotFollowed::Refused(why)) if why.contains("try again") => {
                Next::Asks(asked, AGAIN_AFTER)
            }
            // Who knows that the manifest is there waits until it is read again.
            Err(NotFollowed::Refused(_) | NotFollowed::Unmanaged)
                if lock(&self.course).is_sourceless =>
            {
                Next::Asks(asked, AGAIN_AFTER)
            }
            Ok(_) | Err(NotFollowed::Refused(_) | NotFollowed::Unmanaged) => Next::Leaves,
            Err(NotFollowed::Elsewhere { replica: Some(name) }) => {
                let named = name.strip_prefix("daemon-").and_then(|number| number.parse().ok());
                Next::Asks(named.map_or(next, Replica), Duration::from_secs(1))
            }
            Err(NotFollowed::Elsewhere { replica: None }) => Next::Asks(next, AGAIN_AFTER),
            Err(_) => Next::Asks(asked, AGAIN_AFTER),
        }
    }

    fn tell(&self, event: &Event<'_>) {
        let mut course = lock(&self.course);
        course.sync();
        course.tell(event);
    }

    fn listener(&self, of: Replica) -> Option<LoopHandle> {
        lock(&self.course).seats.get(&of)?.handle.clone()
    }

    fn status(&self) -> Option<Arc<Status>> {
        let course = lock(&self.course);
        course.seats.values().find_map(|seat| seat.board.get(&self.key))
    }

    /// Whether the rollout no longer stands at the gate that the person means.
    async fn has_passed(&self, meant: Option<&str>) -> bool {
        let Some(meant) = meant else { return false };
        for _ in 0..TRIES {
            match self.status() {
                Some(status) => return gate(&status).as_deref() != Some(meant),
                None => tokio::time::sleep(AGAIN_AFTER).await,
            }
        }
        false
    }

    /// The verdict that the status tells of.
    fn verdict(&self) -> Option<String> {
        let course = lock(&self.course);
        let facts = course.simulation.region().facts(&self.key.cluster, &self.key.name)?;
        facts.tags.get("evenkeel:rejected").cloned()
    }
}

/// The gate at which a rollout stands.
fn gate(status: &Status) -> Option<String> {
    let gate = status.rollout.as_ref()?.shift.as_ref()?.gate.as_ref()?;
    Some(gate.hook.clone())
}

/// An answer in a word, and whole.
pub(super) fn told(answer: Result<&Followed, &NotFollowed>) -> (&'static str, String) {
    match answer {
        Ok(followed) if followed.changed => ("followed", followed.sentence.clone()),
        Ok(followed) => ("unchanged", followed.sentence.clone()),
        Err(why) => (why.word(), why.to_string()),
    }
}
