//! Restarts an actor that panicked. actix's own Supervisor does not: a panicking handler kills
//! actor and supervisor alike. Every kept actor owns an [`Alive`]; its drop, also during a panic's
//! unwinding, tells the keeper, which makes a new one from the factory. A [`Post`] is the address
//! that stays the same.

use actix::dev::ToEnvelope;
use actix::{Actor, Addr, Context, Handler, Message};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;

/// The pause before a new actor takes the place of one that panicked: a fault that comes back at
/// once must not spin.
const PAUSE: Duration = Duration::from_millis(100);

/// The stable address of a kept actor.
pub struct Post<A: Actor>(Arc<Mutex<Option<Addr<A>>>>);

impl<A: Actor> Clone for Post<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Actor> Default for Post<A> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<A: Actor<Context = Context<A>>> Post<A> {
    fn addr(&self) -> Option<Addr<A>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends without waiting. A message to an actor that is just being replaced is lost: senders
    /// say only what the receiver also learns from the store, or hold a guard.
    ///
    /// actix puts no limit on this; each kind of message is limited by its sender: wake-ups are
    /// folded, the others come at most once per ticket client.
    pub fn tell<M>(&self, message: M)
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        if let Some(addr) = self.addr() {
            addr.do_send(message);
        }
    }

    /// Sends and waits for the answer; none if the actor went away.
    pub fn ask<M>(&self, message: M) -> impl Future<Output = Option<M::Result>> + use<A, M>
    where
        A: Handler<M>,
        A::Context: ToEnvelope<A, M>,
        M: Message + Send + 'static,
        M::Result: Send,
    {
        let request = self.addr().map(|addr| addr.send(message));
        async move {
            match request {
                Some(request) => request.await.ok(),
                None => None,
            }
        }
    }
}

/// Tells the keeper when its owner is gone.
pub struct Alive(mpsc::UnboundedSender<()>);

impl Drop for Alive {
    fn drop(&mut self) {
        // The keeper may be gone already at the end of the process.
        let _ = self.0.send(());
    }
}

/// Keeps actors alive until told to rest.
#[derive(Clone, Default)]
pub struct Keeper {
    resting: Arc<AtomicBool>,
}

impl Keeper {
    /// Starts an actor from its factory, and again whenever it is gone.
    pub fn keep<A, F>(&self, name: &'static str, post: &Post<A>, factory: F)
    where
        A: Actor<Context = Context<A>>,
        F: Fn(Alive) -> A + 'static,
    {
        let (gone, mut is_gone) = mpsc::unbounded_channel();
        let (slot, resting) = (post.0.clone(), self.resting.clone());
        let start = move || {
            let addr = factory(Alive(gone.clone())).start();
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(addr);
        };
        start();
        actix::spawn(async move {
            while is_gone.recv().await.is_some() {
                if resting.load(Ordering::SeqCst) {
                    return;
                }
                tracing::error!(actor = name, "an actor stopped unexpectedly: a new one starts");
                actix::clock::sleep(PAUSE).await;
                start();
            }
        });
    }

    /// Lets the actors stop for good.
    pub fn rest(&self) {
        self.resting.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Glass {
        _alive: Alive,
    }
    impl Actor for Glass {
        type Context = Context<Self>;
    }
    #[derive(Message)]
    #[rtype(result = "u32")]
    struct Tap(bool);
    impl Handler<Tap> for Glass {
        type Result = u32;
        fn handle(&mut self, tap: Tap, _: &mut Self::Context) -> u32 {
            assert!(!tap.0, "broken on purpose");
            7
        }
    }

    #[actix::test]
    async fn an_actor_that_panicked_is_replaced_at_the_same_post() {
        let (keeper, post) = (Keeper::default(), Post::default());
        keeper.keep("glass", &post, |alive| Glass { _alive: alive });
        assert_eq!(post.ask(Tap(false)).await, Some(7));
        assert_eq!(post.ask(Tap(true)).await, None);
        actix::clock::timeout(Duration::from_secs(10), async {
            while post.ask(Tap(false)).await != Some(7) {
                actix::clock::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .unwrap();
    }
}
