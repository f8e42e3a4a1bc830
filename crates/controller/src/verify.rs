//! Finds out whether what manifests name and do not make is there: asks AWS and registries, each question once; never
//! writes, and never says what an answer means.

mod registry;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use evenkeel_planner::{Answers, Asked, Fact, Shown, Unknown};
use evenkeel_reconciler::Cloud;
use futures_util::{Stream, StreamExt, stream};
use tokio::time::{Instant, timeout, timeout_at};

use registry::Registries;

/// Enough for hundreds of services within a minute, and few enough for IAM, whose limit is the lowest.
const AT_ONCE: usize = 8;
/// For one question, its tokens, pages and second attempts included.
const TIMEOUT: Duration = Duration::from_secs(30);
/// A thing that somebody mends meanwhile is seen at the next look of a sweep, and ten services with one role are one
/// question.
const REMEMBERED_FOR: Duration = Duration::from_mins(2);
/// Some hundred bytes each.
const REMEMBERED_MAX: usize = 10_000;

/// Who knows what AWS has. What it cannot say is unknown, with the reason.
pub(crate) trait Looks: Send + Sync {
    fn look(&self, asked: &Asked) -> impl Future<Output = Fact<Shown>> + Send;

    /// The credentials of ECR's registries in a region, for `Authorization: Basic`.
    fn registry_token(&self, region: &str) -> impl Future<Output = Result<String, Unknown>> + Send;
}

/// Asks a cloud.
#[derive(Debug)]
pub(crate) struct OfCloud<C>(pub(crate) Arc<C>);

impl<C: Cloud> Looks for OfCloud<C> {
    async fn look(&self, asked: &Asked) -> Fact<Shown> {
        self.0.look_at(asked).await
    }

    async fn registry_token(&self, region: &str) -> Result<String, Unknown> {
        self.0.registry_token(region).await
    }
}

/// Asks, and remembers for a while.
pub(crate) struct Verifier<L> {
    looks: L,
    registries: Registries,
    remembered: Mutex<BTreeMap<Asked, (Instant, Fact<Shown>)>>,
}

impl<L> fmt::Debug for Verifier<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl<L: Looks> Verifier<L> {
    /// Fails when the certificates of this machine cannot be read.
    pub(crate) fn new(looks: L) -> io::Result<Self> {
        Ok(Self { looks, registries: Registries::new()?, remembered: Mutex::default() })
    }

    /// An answer to every question, many at a time.
    pub(crate) async fn answers(&self, asked: BTreeSet<Asked>) -> Answers {
        self.each(asked).collect().await
    }

    /// Those answers that come within this time.
    pub(crate) async fn answers_within(&self, asked: BTreeSet<Asked>, time: Duration) -> Answers {
        let deadline = Instant::now() + time;
        let mut each = pin!(self.each(asked));
        let mut answers = Answers::new();
        while let Ok(Some((asked, answer))) = timeout_at(deadline, each.next()).await {
            answers.insert(asked, answer);
        }
        answers
    }

    fn each(&self, asked: BTreeSet<Asked>) -> impl Stream<Item = (Asked, Fact<Shown>)> {
        let each = stream::iter(asked).map(move |one| async move {
            let answer = self.answer(&one).await;
            (one, answer)
        });
        each.buffer_unordered(AT_ONCE)
    }

    async fn answer(&self, asked: &Asked) -> Fact<Shown> {
        if let Some(answer) = self.recall(asked) {
            return answer;
        }
        let look = async {
            match asked {
                Asked::Image { reference } => self.registries.look(reference, &self.looks).await,
                other => self.looks.look(other).await,
            }
        };
        let late = || {
            let message = format!("no answer within {} s", TIMEOUT.as_secs());
            let operation = format!("the {}", asked.check().word());
            Fact::Unknown(Unknown::Failed { operation, message })
        };
        let answer = timeout(TIMEOUT, look).await.unwrap_or_else(|_| late());
        self.remember(asked, &answer);
        answer
    }

    fn recall(&self, asked: &Asked) -> Option<Fact<Shown>> {
        let remembered = self.locked();
        let (since, answer) = remembered.get(asked)?;
        (since.elapsed() < REMEMBERED_FOR).then(|| answer.clone())
    }

    fn remember(&self, asked: &Asked, answer: &Fact<Shown>) {
        let mut remembered = self.locked();
        remembered.retain(|_, (since, _)| since.elapsed() < REMEMBERED_FOR);
        if remembered.len() < REMEMBERED_MAX {
            remembered.insert(asked.clone(), (Instant::now(), answer.clone()));
        }
    }

    fn locked(&self) -> MutexGuard<'_, BTreeMap<Asked, (Instant, Fact<Shown>)>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers every question after a second, and remembers how many were open at once.
    #[derive(Default)]
    struct Slow {
        asked: Mutex<Vec<Asked>>,
        open: Mutex<(usize, usize)>,
    }

    impl Looks for Slow {
        async fn look(&self, asked: &Asked) -> Fact<Shown> {
            self.asked.lock().unwrap().push(asked.clone());
            {
                let mut open = self.open.lock().unwrap();
                open.0 += 1;
                open.1 = open.1.max(open.0);
            }
            let takes = if *asked == alarm("slow") { 3600 } else { 1 };
            tokio::time::sleep(Duration::from_secs(takes)).await;
            self.open.lock().unwrap().0 -= 1;
            Fact::Known(Shown::Exists)
        }

        async fn registry_token(&self, _: &str) -> Result<String, Unknown> {
            Err(Unknown::NotAsked)
        }
    }

    fn alarm(name: &str) -> Asked {
        Asked::Alarm { name: name.to_owned() }
    }

    fn verifier() -> Verifier<Slow> {
        Verifier::new(Slow::default()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn every_question_is_answered_and_a_few_are_asked_at_a_time() {
        let verifier = verifier();
        let asked: BTreeSet<_> = (0..50).map(|number| alarm(&number.to_string())).collect();
        let answers = verifier.answers(asked.clone()).await;
        assert!(answers.keys().eq(&asked));
        assert!(answers.values().all(|answer| *answer == Fact::Known(Shown::Exists)));
        assert_eq!(verifier.looks.open.lock().unwrap().1, AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_remembered_for_two_minutes() {
        let verifier = verifier();
        let asked = || BTreeSet::from([alarm("errors")]);
        let count = || verifier.looks.asked.lock().unwrap().len();
        verifier.answers(asked()).await;
        tokio::time::advance(Duration::from_secs(119)).await;
        verifier.answers(asked()).await;
        assert_eq!(count(), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        verifier.answers(asked()).await;
        assert_eq!(count(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_cannot_wait_gets_what_is_answered_by_then() {
        let asked = BTreeSet::from([alarm("slow"), alarm("errors")]);
        let answers = verifier().answers_within(asked, Duration::from_secs(8)).await;
        assert!(answers.keys().eq([&alarm("errors")]), "{answers:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_that_nobody_answers_is_unknown_and_hinders_no_other() {
        let answers = verifier().answers(BTreeSet::from([alarm("slow"), alarm("errors")])).await;
        assert_eq!(answers[&alarm("errors")], Fact::Known(Shown::Exists));
        let Fact::Unknown(Unknown::Failed { operation, message }) = &answers[&alarm("slow")] else {
            panic!("{answers:?}");
        };
        assert_eq!([operation, message], ["the alarm", "no answer within 30 s"]);
    }
}
