//! A backend's services, and routes: what people set, and what requests remember of it.

use crate::cases::refused;
use crate::world::{World, noc};
use ticketgate_actors::changes::{
    Applied, Change, Guard, ImportServices, Refusal, SelectService, SetRoute, TakeCommand, Write,
};
use ticketgate_actors::model::{
    BackendId, CommandId, CorrelationKey, Fields, Kind, Reply, Route, Service, ServiceTable,
};
use ticketgate_actors::ports::{Page, RequestFilter};
use uuid::Uuid;

fn service(name: &str, port: u16) -> Service {
    Service {
        name: name.to_owned(),
        host: "osb.example".to_owned(),
        port,
        path: "/ticketing".to_owned(),
        tls: true,
        user: Some("noc".to_owned()),
        timeout: Some(std::time::Duration::from_millis(1_500)),
    }
}

fn table(names: &[&str], selected: &str) -> Option<ServiceTable> {
    let services = names.iter().map(|name| service(name, 8650)).collect();
    Some(ServiceTable { services, selected: selected.to_owned() })
}

fn import(table: Option<ServiceTable>) -> Change {
    Change::ImportServices(Box::new(ImportServices {
        backend: noc(),
        table,
        who: "ann".to_owned(),
        why: "moved".to_owned(),
    }))
}

fn select(name: &str) -> Change {
    Change::SelectService(Box::new(SelectService {
        backend: noc(),
        name: name.to_owned(),
        who: "ann".to_owned(),
        why: "the other is down".to_owned(),
    }))
}

pub async fn a_request_keeps_the_service_that_was_selected_when_it_was_accepted(world: &mut World) {
    let epoch = world.take_lane().await;
    let before = world.accepted("before").await;
    assert_eq!(before.service, None);
    assert_eq!(world.apply(import(table(&["a", "b"], "a"))).await, Applied::Done);
    assert_eq!(world.reads.services(noc()).await.unwrap(), table(&["a", "b"], "a"));
    assert_eq!(world.reads.services(BackendId::new("crm")).await.unwrap(), None);
    let first = world.accepted("first").await;
    world.apply(select("b")).await;
    assert_eq!(world.reads.services(noc()).await.unwrap(), table(&["a", "b"], "b"));
    let second = world.accepted("second").await;
    let command = TakeCommand {
        id: CommandId(Uuid::from_u128(77)),
        body_hash: [0; 16],
        write: Write::Create { backend: noc(), kind: Kind::Incident, alarm: None },
        fields: Fields::new(),
        guard: Guard::None,
        reply: Reply::default(),
        request: world.request_id(),
        ticket: world.ticket_key(),
        correlation_key: CorrelationKey("tg-command".to_owned()),
        admission: Default::default(),
    };
    let third = match world.apply(Change::Command(Box::new(command))).await {
        Applied::Command(taken) => taken.request,
        other => panic!("{other:?}"),
    };
    let mut services = Vec::new();
    for request in [&before, &first, &second, &third] {
        services.push(world.reads.request(request.id).await.unwrap().unwrap().service);
    }
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(services, [None, name("a"), name("b"), name("b")]);
    // Nor does an attempt of it change that.
    let intended = world.intended(epoch, first.id).await;
    assert_eq!(intended.service, name("a"));
}

pub async fn a_service_that_open_requests_name_stays(world: &mut World) {
    let epoch = world.take_lane().await;
    world.apply(import(table(&["a", "b"], "a"))).await;
    let open = world.done(epoch, "ended", "INC1").await;
    assert_eq!(open.service.as_deref(), Some("a"));
    let request = world.accepted("open").await;
    let in_use = || Applied::ServiceInUse { service: "a".to_owned(), requests: 1 };
    for without in [table(&["b"], "b"), None] {
        assert_eq!(world.apply(import(without)).await, in_use());
        assert_eq!(world.reads.services(noc()).await.unwrap(), table(&["a", "b"], "a"));
    }
    // Its address may change: it binds when a call is sent.
    let mut moved = table(&["a", "c"], "c");
    moved.as_mut().unwrap().services[0] = service("a", 9000);
    assert_eq!(world.apply(import(moved.clone())).await, Applied::Done);
    assert_eq!(world.reads.services(noc()).await.unwrap(), moved);
    let intended = world.intended(epoch, request.id).await;
    let found = crate::world::found("INC2");
    world.concluded(epoch, &intended, ticketgate_actors::changes::End::Done(found)).await;
    assert_eq!(world.apply(import(None)).await, Applied::Done);
    assert_eq!(world.reads.services(noc()).await.unwrap(), None);
}

pub async fn only_a_service_of_the_table_can_be_selected(world: &mut World) {
    assert_eq!(world.try_apply(select("a")).await, refused(Refusal::NotFound));
    world.apply(import(table(&["a", "b"], "a"))).await;
    assert_eq!(world.try_apply(select("c")).await, refused(Refusal::NotFound));
    assert_eq!(world.reads.services(noc()).await.unwrap(), table(&["a", "b"], "a"));
}

pub async fn a_route_is_set_replaced_and_removed(world: &mut World) {
    let route = |key: &str| Some(Route { exchange: "x".to_owned(), key: key.to_owned() });
    let set = |route: Option<Route>, only_new: bool| {
        let (who, why) = ("ann".to_owned(), "moved".to_owned());
        Change::SetRoute(Box::new(SetRoute { backend: noc(), route, only_new, who, why }))
    };
    assert_eq!(world.try_apply(set(None, false)).await, refused(Refusal::NotFound));
    world.apply(set(route("one"), true)).await;
    assert_eq!(world.try_apply(set(route("two"), true)).await, refused(Refusal::Conflict));
    assert_eq!(world.reads.route(noc()).await.unwrap(), route("one"));
    world.apply(set(route("two"), false)).await;
    assert_eq!(world.reads.route(noc()).await.unwrap(), route("two"));
    assert_eq!(world.reads.routes().await.unwrap(), [(noc(), route("two").unwrap())]);
    assert_eq!(world.reads.route(BackendId::new("crm")).await.unwrap(), None);
    world.apply(set(None, false)).await;
    assert_eq!(world.reads.route(noc()).await.unwrap(), None);
    assert_eq!(world.reads.routes().await.unwrap(), []);
}

pub async fn what_waits_is_told_from_what_has_ended(world: &mut World) {
    let epoch = world.take_lane().await;
    let ended = world.done(epoch, "a", "INC1").await;
    let waits = world.accepted("b").await;
    for (backend, ticket, open, ids) in [
        (None, None, Some(true), vec![waits.id]),
        (Some(noc()), None, Some(true), vec![waits.id]),
        (Some(BackendId::new("crm")), None, Some(true), vec![]),
        (None, Some(ended.ticket), Some(true), vec![]),
        (Some(noc()), None, Some(false), vec![ended.id]),
        (None, None, None, vec![waits.id, ended.id]),
    ] {
        let filter = RequestFilter { backend, state: None, ticket, open };
        let page = Page { before: None, after: None, limit: 10 };
        let rows = world.reads.requests(filter.clone(), page).await.unwrap();
        let found: Vec<_> = rows.iter().map(|request| request.id).collect();
        assert_eq!(found, ids, "{filter:?}");
    }
}
