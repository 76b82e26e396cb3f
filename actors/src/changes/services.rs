//! A backend's table of ticketing services: a person imports it, and selects one of them.
//!
//! A request keeps the name of the service that was selected when it was accepted; its address binds when
//! a call is sent. So a service stays for as long as an un-ended request names it.

use super::{Applied, Halt, Refusal};
use crate::model::{BackendId, Request, ServiceTable, State, Timestamp};
use crate::ports::Tx;
use std::collections::BTreeSet;

/// A person brings a whole table, or takes it away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportServices {
    /// Whose.
    pub backend: BackendId,
    /// The table; none: the backend's own address counts again.
    pub table: Option<ServiceTable>,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

/// A person selects a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectService {
    /// Whose.
    pub backend: BackendId,
    /// Which.
    pub name: String,
    /// Who.
    pub who: String,
    /// Why.
    pub why: String,
}

pub(super) fn import(
    tx: &mut dyn Tx,
    it: &ImportServices,
    now: Timestamp,
) -> Result<Applied, Halt> {
    let stays = |name: &str| it.table.as_ref().is_some_and(|table| table.named(name).is_some());
    let before = tx.services(&it.backend)?;
    let before = before.iter().flat_map(|table| &table.services);
    let gone: BTreeSet<_> = before.map(|it| it.name.clone()).filter(|it| !stays(it)).collect();
    if let Some((service, requests)) = named_by_open_requests(tx, &it.backend, &gone)? {
        return Ok(Applied::ServiceInUse { service, requests });
    }
    tx.put_services(&it.backend, it.table.as_ref())?;
    let what = match &it.table {
        Some(table) => format!(
            "{} services of {} imported, selected: {}",
            table.services.len(),
            it.backend,
            table.selected
        ),
        None => format!("the services of {} removed", it.backend),
    };
    tx.audit(now, &it.who, &what, &it.why)?;
    Ok(Applied::Done)
}

pub(super) fn select(tx: &mut dyn Tx, it: &SelectService, now: Timestamp) -> Result<Applied, Halt> {
    let mut table = tx.services(&it.backend)?.ok_or(Refusal::NotFound)?;
    table.named(&it.name).ok_or(Refusal::NotFound)?;
    let before = std::mem::replace(&mut table.selected, it.name.clone());
    tx.put_services(&it.backend, Some(&table))?;
    let what = format!("service {} of {} selected, before: {before}", it.name, it.backend);
    tx.audit(now, &it.who, &what, &it.why)?;
    Ok(Applied::Done)
}

/// A request that is accepted now is for the service that is selected now.
pub(super) fn accept(tx: &mut dyn Tx, request: &mut Request) -> Result<(), Halt> {
    request.service = tx.services(&request.backend)?.map(|table| table.selected);
    Ok(())
}

/// The first of these services that un-ended requests name, and how many do. Read by their states, since
/// a table is imported seldom and an index would cost every request.
fn named_by_open_requests(
    tx: &mut dyn Tx,
    backend: &BackendId,
    gone: &BTreeSet<String>,
) -> Result<Option<(String, u64)>, Halt> {
    let mut named: Option<(String, u64)> = None;
    if gone.is_empty() {
        return Ok(None);
    }
    for state in State::ALL.into_iter().filter(|state| !state.ended()) {
        for request in tx.requests_in(backend, state)? {
            let Some(service) = request.service.filter(|service| gone.contains(service)) else {
                continue;
            };
            let (name, count) = named.get_or_insert((service.clone(), 0));
            *count += u64::from(*name == service);
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::changes::{Change, Context, SetRoute};
    use crate::model::{Moment, Route, Service, ServiceTable};
    use crate::testing::Rows;

    #[test]
    fn what_people_set_is_written_down_with_who_and_why() {
        let mut rows = Rows::default();
        let backend = BackendId::new("noc");
        let (who, why) = ("ann".to_owned(), "moved".to_owned());
        let service = |name: &str| Service {
            name: name.to_owned(),
            host: "h".to_owned(),
            port: 1,
            path: String::new(),
            tls: false,
            user: None,
            timeout: None,
        };
        let services = vec![service("a"), service("b")];
        let table = Some(ServiceTable { services, selected: "a".to_owned() });
        let import = |table| {
            let (backend, who, why) = (backend.clone(), who.clone(), why.clone());
            Change::ImportServices(Box::new(ImportServices { backend, table, who, why }))
        };
        let select = {
            let (backend, who, why) = (backend.clone(), who.clone(), why.clone());
            let name = "b".to_owned();
            Change::SelectService(Box::new(SelectService { backend, name, who, why }))
        };
        let route = {
            let route = Some(Route { exchange: String::new(), key: "k".to_owned() });
            let (backend, who, why) = (backend.clone(), who.clone(), why.clone());
            Change::SetRoute(Box::new(SetRoute { backend, route, only_new: true, who, why }))
        };
        let context = Context { now: Moment::default(), node: "n" };
        for change in [import(table), select, import(None), route] {
            rows.apply_now(&change.into(), context).unwrap();
        }
        let told: Vec<_> = rows.audited().iter().map(|(_, _, what, _)| what.as_str()).collect();
        assert_eq!(
            told,
            [
                "2 services of noc imported, selected: a",
                "service b of noc selected, before: a",
                "the services of noc removed",
                "route of noc set to exchange \"\", key \"k\"",
            ]
        );
        assert!(rows.audited().iter().all(|(_, who, _, why)| who == "ann" && why == "moved"));
    }
}
