//! Telenet's bus takes a write now and calls back later: what the simulated one says, read by the
//! preset's own description.

use super::*;
use crate::callbacks::{self, CallbackSection};
use crate::simulate::callbacks::CallbackSettings;
use crate::simulate::faults::Faults;
use crate::simulate::rest::{Running, start};
use crate::simulate::settings::{RestSettings, System};
use ticketgate_actors::changes::{Asked, Outcome};
use ticketgate_actors::model::BackendId;
use ticketgate_actors::ports::Later;
use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

struct World {
    running: Running,
    /// Who is called back.
    called: MockServer,
    description: Description,
}

impl World {
    async fn with(faults: Faults) -> Self {
        let called = MockServer::start().await;
        let taken = Mock::given(method("POST")).and(path("/callbacks/one"));
        let taken = taken.and(header("authorization", "Bearer the-bus"));
        taken.respond_with(ResponseTemplate::new(200)).mount(&called).await;
        let url = format!("{}/callbacks/{{backend}}", called.uri());
        let callbacks = Some(CallbackSettings { url, token: Some("the-bus".into()) });
        let system = System::TelenetOsb;
        let settings = RestSettings { system, faults, callbacks, ..RestSettings::default() };
        let running = start(settings).unwrap();
        let url = running.url("one");
        let description =
            described(&format!("id = 'one'\npreset = 'telenet-osb'\nbase_url = '{url}/ticketing'"));
        Self { running, called, description }
    }

    async fn takes(&self, work: Work) -> Answer {
        calls(&adapter(&self.description), work).await
    }

    /// The bodies, once there are so many.
    async fn said(&self, count: usize) -> Vec<Vec<u8>> {
        let said = async || self.called.received_requests().await.unwrap();
        let enough = async {
            while said().await.len() < count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, enough).await.unwrap();
        said().await.into_iter().map(|request| request.body).collect()
    }

    fn read(&self, body: &[u8]) -> Later {
        let one = BackendId::new("one");
        let section: CallbackSection = toml::from_str("backend = 'one'").unwrap();
        let callbacks =
            callbacks::by_backend(&[section], std::slice::from_ref(&self.description)).unwrap();
        callbacks[&one].read(&one, body).unwrap()
    }

    fn tickets(&self) -> u64 {
        self.running.ledger.report_of("one").unwrap().tickets
    }
}

#[tokio::test]
async fn what_was_taken_is_confirmed_refused_or_told_twice_under_the_name_of_its_request() {
    let off = Faults::default;
    for (name, faults, times, done, tickets) in [
        ("as it should be", off(), 1, true, 1),
        ("twice", Faults { double_callback_rate: 1.0, ..off() }, 2, true, 1),
        ("refused", Faults { nack_callback_rate: 1.0, ..off() }, 1, false, 0),
    ] {
        let world = World::with(faults).await;
        let answer = world.takes(create("link <down>")).await;
        assert_eq!(kind(&answer), ("taken", "ONE-R1"), "{name}");
        let bodies = world.said(times).await;
        let laters: Vec<_> = bodies.iter().map(|body| world.read(body)).collect();
        for later in &laters {
            let request = RequestId(Uuid::from_u128(9));
            assert_eq!(later.asked, Asked::Both(request, "ONE-R1".to_owned()), "{name}");
            assert_eq!(later.identity, laters[0].identity, "{name}: one answer has one name");
            match &later.outcome {
                Outcome::Done(found) => {
                    assert_eq!((done, found.backend_id.as_str()), (true, "ONE-1"))
                }
                Outcome::Rejected(error) => {
                    assert!(!done && error.reason.contains("refused"), "{name}: {error:?}");
                }
            }
        }
        assert_eq!(world.tickets(), tickets, "{name}");
    }
}

#[tokio::test]
async fn what_is_never_told_was_done_and_is_found() {
    let world = World::with(Faults { no_callback_rate: 1.0, ..Faults::default() }).await;
    assert_eq!(kind(&world.takes(create("s")).await).0, "taken");
    let found = async {
        while kind(&world.takes(look()).await) != ("read", "ONE-1") {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
    assert!(world.said(0).await.is_empty());
}

#[tokio::test]
async fn it_is_done_only_when_its_time_has_come() {
    let world = World::with(Faults { callback_delay_ms: 60_000, ..Faults::default() }).await;
    assert_eq!(kind(&world.takes(create("s")).await).0, "taken");
    assert_eq!(kind(&world.takes(look()).await), ("read", ""));
    assert_eq!(world.tickets(), 0);
}

#[tokio::test]
async fn what_can_be_refused_at_once_is_never_taken() {
    let faults =
        Faults { reject_summary_containing: Some("poison".to_owned()), ..Faults::default() };
    let world = World::with(faults).await;
    assert_eq!(kind(&world.takes(create("poison")).await).0, "refused");
    assert_eq!(kind(&world.takes(update("ONE-9", "s")).await).0, "refused");
    assert_eq!(kind(&world.takes(create("not ours")).await).0, "taken");
    world.said(1).await;
    assert_eq!(kind(&world.takes(update("ONE-1", "s")).await).0, "busy", "another group's");
}
