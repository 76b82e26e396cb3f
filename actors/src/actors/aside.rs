//! Work beside an actor: a task of its own, whose end comes back to the actor as a message.
//!
//! Not `Context::spawn`: whenever anything happens to an actor, actix polls every future that its context
//! holds. With a call and a timer for each of a thousand lanes, or hundreds of events on their way to the
//! broker, each end of one would cost a look at all.
//!
//! Always: the work ends with its actor, so that a new one in its place finds nothing of the old one still
//! under way; if it panics, so does its actor, and the keeper makes a new one.

use actix::{Actor, Addr, AsyncContext, Context, Handler, Message};
use futures_util::FutureExt;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};

type Deed<A> = Box<dyn FnOnce(&mut A, &mut Context<A>) + Send>;

/// What an actor does with the end of some work.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Then<A: Actor<Context = Context<A>>>(Deed<A>);

impl<A: Actor<Context = Context<A>>> Then<A> {
    /// Does it.
    pub(super) fn now(self, actor: &mut A, ctx: &mut Context<A>) {
        (self.0)(actor, ctx);
    }
}

/// The work that is under way beside one actor.
#[derive(Debug, Default)]
pub(super) struct Aside(JoinSet<()>);

impl Aside {
    /// Does this, and then that.
    pub(super) fn run<A, T>(
        &mut self,
        ctx: &Context<A>,
        work: impl Future<Output = T> + 'static,
        then: impl FnOnce(T, &mut A, &mut Context<A>) + Send + 'static,
    ) -> AbortHandle
    where
        A: Actor<Context = Context<A>> + Handler<Then<A>>,
        T: Send + 'static,
    {
        // What is over leaves its place.
        while self.0.try_join_next().is_some() {}
        let me: Addr<A> = ctx.address();
        self.0.spawn_local(async move {
            let then: Then<A> = match AssertUnwindSafe(work).catch_unwind().await {
                Ok(out) => Then(Box::new(move |actor, ctx| then(out, actor, ctx))),
                Err(panic) => Then(Box::new(move |_, _| resume_unwind(panic))),
            };
            me.do_send(then);
        })
    }

    /// Does that after a while.
    pub(super) fn later<A>(
        &mut self,
        ctx: &Context<A>,
        wait: Duration,
        then: impl FnOnce(&mut A, &mut Context<A>) + Send + 'static,
    ) -> AbortHandle
    where
        A: Actor<Context = Context<A>> + Handler<Then<A>>,
    {
        self.run(ctx, actix::clock::sleep(wait), move |(), actor, ctx| then(actor, ctx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::{mpsc, oneshot};

    struct Desk {
        aside: Aside,
        said: mpsc::UnboundedSender<&'static str>,
        begun: mpsc::UnboundedSender<()>,
    }
    impl Actor for Desk {
        type Context = Context<Self>;
    }
    impl Handler<Then<Self>> for Desk {
        type Result = ();
        fn handle(&mut self, then: Then<Self>, ctx: &mut Self::Context) {
            then.now(self, ctx);
        }
    }
    #[derive(Message)]
    #[rtype(result = "()")]
    struct Do(oneshot::Receiver<&'static str>);
    impl Handler<Do> for Desk {
        type Result = ();
        fn handle(&mut self, it: Do, ctx: &mut Self::Context) {
            let begun = self.begun.clone();
            let work = async move {
                let _ = begun.send(());
                it.0.await.expect("broken on purpose")
            };
            self.aside.run(ctx, work, |word, desk: &mut Self, _| {
                let _ = desk.said.send(word);
            });
        }
    }

    type Heard<T> = mpsc::UnboundedReceiver<T>;

    fn desk() -> (Addr<Desk>, Heard<&'static str>, Heard<()>) {
        let ((said, heard), (begun, beginnings)) =
            (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        (Desk { aside: Aside::default(), said, begun }.start(), heard, beginnings)
    }

    #[actix::test]
    async fn what_ends_first_is_told_first() {
        let (desk, mut heard, _) = desk();
        let ((first, is_first), (second, is_second)) = (oneshot::channel(), oneshot::channel());
        desk.do_send(Do(is_first));
        desk.do_send(Do(is_second));
        second.send("second").unwrap();
        assert_eq!(heard.recv().await, Some("second"));
        first.send("first").unwrap();
        assert_eq!(heard.recv().await, Some("first"));
    }

    #[actix::test]
    async fn work_that_panics_takes_its_actor_along_and_an_actor_its_work() {
        let (desk, mut heard, mut beginnings) = desk();
        let ((word, is_word), (other, is_other)) =
            (oneshot::channel::<&'static str>(), oneshot::channel());
        desk.do_send(Do(is_word));
        desk.do_send(Do(is_other));
        for _ in 0..2 {
            beginnings.recv().await.expect("it is under way");
        }
        drop(word);
        // The desk is gone, and with it who would hear the other word.
        assert_eq!(heard.recv().await, None);
        assert!(other.send("late").is_err());
    }
}
