//! What people's hands do to lanes and requests: pause, hold, release, retry, cancel, settle. Each is
//! stored first, and the lane hears of it before the person does.

use super::gateway::Gateway;
use crate::changes::{Applied, Cancel, Change, Concluded, HoldTicket, Retry, Settle};
use crate::logic::lane::Input;
use crate::model::{BackendId, Request};
use crate::ports::{Pause, StoreError};
use actix::{ActorFutureExt, AsyncContext, Context, Handler, Message, ResponseFuture, WrapFuture};
use tokio::sync::oneshot;

/// A person's answer to an undecided request.
#[derive(Message)]
#[rtype(result = "Result<Request, StoreError>")]
pub struct SettleRequest(pub Settle);

/// A person has a failed request done again: the fresh one.
#[derive(Message)]
#[rtype(result = "Result<Request, StoreError>")]
pub struct RetryRequest(pub Retry);

/// A person cancels a request before it is sent.
#[derive(Message)]
#[rtype(result = "Result<Request, StoreError>")]
pub struct CancelRequest(pub Cancel);

/// A person pauses a lane.
#[derive(Message)]
#[rtype(result = "Result<Pause, StoreError>")]
pub struct PauseLane {
    /// Whose lane.
    pub backend: BackendId,
    /// Who.
    pub who: String,
    /// Why.
    pub reason: String,
}

/// A person holds one ticket of a lane, or lets it go on.
#[derive(Message)]
#[rtype(result = "Result<Pause, StoreError>")]
pub struct Hold(pub HoldTicket);

fn concluded(applied: Option<Applied>) -> Result<(Request, Option<Box<Concluded>>), StoreError> {
    match applied {
        Some(Applied::Concluded(it)) => Ok((it.request.clone(), Some(it))),
        _ => Err(StoreError::Down("the store answered oddly".to_owned())),
    }
}

impl Handler<SettleRequest> for Gateway {
    type Result = ResponseFuture<Result<Request, StoreError>>;

    fn handle(&mut self, it: SettleRequest, ctx: &mut Self::Context) -> Self::Result {
        self.by_another_hand(Change::Settle(Box::new(it.0)), ctx, concluded)
    }
}

impl Handler<RetryRequest> for Gateway {
    type Result = ResponseFuture<Result<Request, StoreError>>;

    fn handle(&mut self, it: RetryRequest, ctx: &mut Self::Context) -> Self::Result {
        self.by_another_hand(Change::Retry(Box::new(it.0)), ctx, concluded)
    }
}

impl Handler<CancelRequest> for Gateway {
    type Result = ResponseFuture<Result<Request, StoreError>>;

    fn handle(&mut self, it: CancelRequest, ctx: &mut Self::Context) -> Self::Result {
        self.by_another_hand(Change::Cancel(Box::new(it.0)), ctx, concluded)
    }
}

impl Handler<PauseLane> for Gateway {
    type Result = ResponseFuture<Result<Pause, StoreError>>;

    fn handle(&mut self, it: PauseLane, ctx: &mut Self::Context) -> Self::Result {
        let PauseLane { backend, who, reason } = it;
        let (by, why) = (who.clone(), reason.clone());
        let change = Change::PauseByHand { backend: backend.clone(), who, reason };
        self.kept(change, ctx, move |gateway, pause, ctx| {
            gateway.feed(&backend, Input::Paused(pause), ctx);
            gateway.ops(&backend, "paused", &why, &by);
        })
    }
}

impl Handler<Hold> for Gateway {
    type Result = ResponseFuture<Result<Pause, StoreError>>;

    fn handle(&mut self, it: Hold, ctx: &mut Self::Context) -> Self::Result {
        let Hold(hold) = it;
        let (backend, ticket, held) = (hold.backend.clone(), hold.ticket, hold.hold);
        self.kept(Change::HoldTicket(Box::new(hold)), ctx, move |gateway, _, ctx| {
            gateway.feed(&backend, Input::Held(ticket, held), ctx);
        })
    }
}

impl Gateway {
    /// Stores a change that keeps something from being called, and tells the lane once it is stored.
    fn kept(
        &self,
        change: Change,
        ctx: &mut Context<Self>,
        tell: impl FnOnce(&mut Self, Pause, &mut Context<Self>) + 'static,
    ) -> ResponseFuture<Result<Pause, StoreError>> {
        let stored = self.apply(change);
        let (told, is_told) = oneshot::channel();
        ctx.spawn(stored.into_actor(self).map(move |result, gateway, ctx| {
            let answer = match result.map(|mut applied| applied.pop()) {
                Ok(Some(Applied::Held(pause))) => {
                    tell(gateway, pause.clone(), ctx);
                    Ok(pause)
                }
                Ok(_) => Err(StoreError::Down("the store answered oddly".to_owned())),
                Err(error) => Err(error),
            };
            // The asker may have gone away.
            let _ = told.send(answer);
        }));
        Box::pin(async move {
            let gone = || Err(StoreError::Down("the gateway went away".to_owned()));
            is_told.await.unwrap_or_else(|_| gone())
        })
    }
}
