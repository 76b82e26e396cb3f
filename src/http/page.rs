//! `/`: one plain page that says what is going on, until the dashboard takes its place. No script,
//! no external part; everything from outside is escaped.

use super::Face;
use super::problem::Problem;
use actix_web::{HttpResponse, get, web};
use minijinja::{Environment, context};
use ticketgate_actors::model::Origin;
use ticketgate_actors::ports::{Page, TicketFilter};

/// Tickets shown.
const TICKETS: u32 = 30;

const TEMPLATE: &str = include_str!("overview.html");

#[get("/")]
pub(super) async fn overview(face: web::Data<Face>) -> Result<HttpResponse, Problem> {
    let outside = &face.cast.outside;
    let figures = outside.reads.figures().await?;
    let page = Page { before: None, after: None, limit: TICKETS };
    let mut tickets = Vec::new();
    for (_, ticket) in outside.reads.tickets(TicketFilter::default(), page).await? {
        let alarm = match &ticket.origin {
            Origin::Alarm { at, .. } | Origin::Group { first: at, .. } => Some(&at.alarm),
            Origin::Command { .. } => None,
        };
        tickets.push(context! {
            backend => ticket.backend.as_str(),
            backend_id => ticket.backend_id,
            status => ticket.status.as_str(),
            summary => ticket.fields.get("summary").and_then(|s| s.as_str()).unwrap_or("—"),
            source => alarm.map(|alarm| alarm.source.as_str()),
            alarm => alarm.map(|alarm| alarm.id.as_str()),
            changed_at => ticket.changed_at.to_string(),
        });
    }
    let mut lanes = Vec::new();
    let ids = outside.backends.names();
    for id in ids {
        let counts = outside.reads.lane_counts(id.clone()).await?;
        let view = outside.views.lanes.get(&id).map(|view| view.clone()).unwrap_or_default();
        lanes.push(context! {
            id => id.as_str(),
            pending => counts.pending,
            in_doubt => counts.in_doubt,
            undecided => counts.undecided,
            calls => view.calls,
            held => view.glance.held,
        });
    }
    let mut templates = Environment::new();
    let page = templates
        .add_template("overview.html", TEMPLATE)
        .and_then(|()| templates.get_template("overview.html"))
        .and_then(|template| {
            template.render(context! {
                node => face.node.as_str(),
                bus => outside.bus.connected(),
                alarms => figures.alarms,
                unsettled => figures.unsettled_alarms,
                made => figures.tickets,
                parked => figures.parked,
                unsent => figures.unsent_events,
                tickets,
                lanes,
            })
        })
        .map_err(|error| Problem::busy(format!("the page cannot be rendered: {error}")))?;
    Ok(HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header(("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .body(page))
}
