//! One request for what many uploads ask at the same time.

use std::sync::Arc;

use filemill_api::{ErrorBody, Item, limits};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::TaskTracker;

use crate::error::Error;

/// Requests that may be under way at once: one that is answered while the next is collected.
const REQUESTS_AT_ONCE: usize = 2;

/// Most parts (job ranges, chunks) in one request. Each takes some 150 bytes; the server's body cap is 16 MiB.
const PARTS_MAX: usize = 64 << 10;

struct Question<Q, A> {
    ask: Q,
    parts: usize,
    answer: oneshot::Sender<Result<Result<A, ErrorBody>, Error>>,
}

/// Collects questions for as long as earlier ones are under way, and asks them in one request.
pub(crate) struct Combiner<Q, A> {
    questions: mpsc::Sender<Question<Q, A>>,
}

impl<Q: Send + 'static, A: Send + 'static> Combiner<Q, A> {
    /// `post` answers each question, in order. Ends when the combiner is dropped.
    pub(crate) fn start<P, F>(tasks: &TaskTracker, post: P) -> Self
    where
        P: Fn(Vec<Q>) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Vec<Item<A>>, Error>> + Send + 'static,
    {
        let (questions, queue) = mpsc::channel(limits::MAX_UPLOADS_PER_REQUEST);
        tasks.spawn(combine(queue, Arc::new(post)));
        Self { questions }
    }

    /// Asks, `parts` being how many job ranges and chunks it names. The inner error is the server's, about this question
    /// only.
    pub(crate) async fn ask(&self, ask: Q, parts: usize) -> Result<Result<A, ErrorBody>, Error> {
        let (answer, answered) = oneshot::channel();
        self.questions.send(Question { ask, parts, answer }).await.map_err(|_| Error::Stopped)?;
        answered.await.map_err(|_| Error::Stopped)?
    }
}

async fn combine<Q, A, P, F>(mut queue: mpsc::Receiver<Question<Q, A>>, post: Arc<P>)
where
    P: Fn(Vec<Q>) -> F,
    F: Future<Output = Result<Vec<Item<A>>, Error>>,
{
    let mut under_way = FuturesUnordered::new();
    let mut left_over: Option<Question<Q, A>> = None;
    let mut open = true;
    while open || !under_way.is_empty() {
        if under_way.len() >= REQUESTS_AT_ONCE || (!open && left_over.is_none()) {
            under_way.next().await;
            continue;
        }
        let first = match left_over.take() {
            Some(question) => question,
            None => tokio::select! {
                question = queue.recv() => match question {
                    Some(question) => question,
                    None => {
                        open = false;
                        continue;
                    }
                },
                Some(()) = under_way.next() => continue,
            },
        };
        let mut parts = first.parts;
        let mut batch = vec![first];
        while batch.len() < limits::MAX_UPLOADS_PER_REQUEST {
            match queue.try_recv() {
                Ok(question) if parts + question.parts > PARTS_MAX => {
                    left_over = Some(question);
                    break;
                }
                Ok(question) => {
                    parts += question.parts;
                    batch.push(question);
                }
                Err(_) => break,
            }
        }
        under_way.push(ask_all(batch, Arc::clone(&post)));
    }
}

async fn ask_all<Q, A, P, F>(batch: Vec<Question<Q, A>>, post: Arc<P>)
where
    P: Fn(Vec<Q>) -> F,
    F: Future<Output = Result<Vec<Item<A>>, Error>>,
{
    let (asks, mut waiting): (Vec<_>, Vec<_>) =
        batch.into_iter().map(|question| (question.ask, question.answer)).unzip();
    let answered = tokio::select! {
        answered = post(asks) => answered,
        // Nobody needs the answer any more, and while the server is down it might never come. Whatever the server did of it, it
        // is asked again by whoever goes on.
        () = all_gone(&mut waiting) => return,
    };
    // Whoever asked may be gone.
    match answered {
        Ok(answers) => {
            for (waiting, answer) in waiting.into_iter().zip(answers) {
                let _ = waiting.send(Ok(answer.into_result()));
            }
        }
        Err(error) => {
            for waiting in waiting {
                let _ = waiting.send(Err(error.clone()));
            }
        }
    }
}

async fn all_gone<T>(waiting: &mut [oneshot::Sender<T>]) {
    for waiting in waiting {
        waiting.closed().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn what_is_asked_while_requests_are_under_way_goes_together() {
        let gate = Arc::new(Semaphore::new(0));
        let requests = Arc::new(AtomicUsize::new(0));
        let tasks = TaskTracker::new();
        let combiner = {
            let (gate, requests) = (Arc::clone(&gate), Arc::clone(&requests));
            Combiner::start(&tasks, move |asks: Vec<u32>| {
                let (gate, requests) = (Arc::clone(&gate), Arc::clone(&requests));
                async move {
                    requests.fetch_add(1, Ordering::Relaxed);
                    let _permit = gate.acquire().await.unwrap();
                    Ok(asks.into_iter().map(|ask| Item::Ok(ask * 2)).collect())
                }
            })
        };
        let until = |count| {
            let requests = Arc::clone(&requests);
            async move {
                while requests.load(Ordering::Relaxed) < count {
                    tokio::task::yield_now().await;
                }
            }
        };
        let work = async {
            let (first, second) = tokio::join!(combiner.ask(1, 1), async {
                until(1).await;
                combiner.ask(2, 1).await
            });
            assert_eq!((first.unwrap().unwrap(), second.unwrap().unwrap()), (2, 4));
        };
        let many = async {
            until(2).await;
            let answers = futures::future::join_all((0..98).map(|ask| combiner.ask(ask, 1)));
            let opened = async { gate.add_permits(100) };
            tokio::join!(answers, opened).0
        };
        let ((), answers) = tokio::join!(work, many);
        for (ask, answer) in (0..98).zip(answers) {
            assert_eq!(answer.unwrap().unwrap(), ask * 2);
        }
        assert_eq!(requests.load(Ordering::Relaxed), 3);
        drop(combiner);
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_request_that_nobody_waits_for_any_more_is_given_up() {
        let tasks = TaskTracker::new();
        let asked = Arc::new(Semaphore::new(0));
        let combiner: Combiner<u32, u32> = {
            let asked = Arc::clone(&asked);
            Combiner::start(&tasks, move |_| {
                asked.add_permits(1);
                // As a server that is down.
                std::future::pending()
            })
        };
        tokio::select! {
            _ = combiner.ask(1, 1) => unreachable!(),
            permit = asked.acquire() => drop(permit.unwrap()),
        }
        drop(combiner);
        tasks.close();
        tokio::time::timeout(std::time::Duration::from_secs(60), tasks.wait()).await.unwrap();
    }
}
