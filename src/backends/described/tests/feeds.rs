//! What changed, as each preset that can be asked reads it from its simulated system, and what no system
//! here does: by answers that are made by hand.

use super::*;
use crate::simulate::faults::Faults;
use crate::simulate::rest::{Running, start};
use crate::simulate::settings::{RestSettings, System};
use serde_json::json;
use ticketgate_actors::model::{Found, Timestamp};
use ticketgate_actors::ports::{ChangesBy, ChangesPage, Heard};

/// A preset that can be asked what changed, and how people work in its system.
#[derive(Clone, Copy)]
struct Feed {
    preset: &'static str,
    system: System,
    by: ChangesBy,
    size: u32,
    auth: &'static str,
    header: (&'static str, &'static str),
    /// Where a ticket is made, and one that is there lies: ID is its id.
    make: &'static str,
    one: &'static str,
    /// PUT or PATCH.
    write: &'static str,
    /// The field that a person changes, as it is sent and as it is read.
    field: (&'static str, &'static str),
    /// How it is wrapped.
    wrap: fn(serde_json::Value) -> serde_json::Value,
    /// A deleted ticket comes as one.
    tells_of_the_dead: bool,
    /// Times are whole seconds.
    coarse: bool,
}

fn plain(fields: serde_json::Value) -> serde_json::Value {
    fields
}

const FEEDS: [Feed; 4] = [
    Feed {
        preset: "simulated-rest",
        system: System::Rest,
        by: ChangesBy::Time,
        size: 1000,
        auth: "auth = { type = 'bearer', token = 'right' }",
        header: ("Authorization", "Bearer right"),
        make: "/tickets",
        one: "/tickets/ID",
        write: "PATCH",
        field: ("summary", "summary"),
        wrap: plain,
        tells_of_the_dead: true,
        coarse: false,
    },
    Feed {
        preset: "tixngo",
        system: System::Tixngo,
        by: ChangesBy::Cursor,
        size: 1000,
        auth: "auth = { token = 'right' }",
        header: ("Authorization", "Bearer right"),
        make: "/tickets",
        one: "/tickets/ID",
        write: "PATCH",
        field: ("owner", "owner"),
        wrap: plain,
        tells_of_the_dead: true,
        coarse: false,
    },
    Feed {
        preset: "redmine",
        system: System::Redmine,
        by: ChangesBy::Time,
        size: 100,
        auth: "auth = { value = 'right' }",
        header: ("X-Redmine-API-Key", "right"),
        make: "/issues.json",
        one: "/issues/ID.json",
        write: "PUT",
        field: ("subject", "summary"),
        wrap: |fields| json!({ "issue": fields }),
        tells_of_the_dead: false,
        coarse: true,
    },
    Feed {
        preset: "request-tracker",
        system: System::RequestTracker,
        by: ChangesBy::Time,
        size: 100,
        auth: "auth = { value = 'right' }",
        header: ("Authorization", "token right"),
        make: "/REST/2.0/ticket",
        one: "/REST/2.0/ticket/ID",
        write: "PUT",
        field: ("Subject", "summary"),
        wrap: plain,
        tells_of_the_dead: false,
        coarse: true,
    },
];

struct World {
    feed: Feed,
    running: Running,
    backend: Arc<dyn Backend>,
    client: reqwest::Client,
}

impl World {
    fn with(feed: Feed, faults: Faults) -> Self {
        crate::backends::install_tls();
        let token = Some("right".into());
        let settings =
            RestSettings { system: feed.system, token, faults, ..RestSettings::default() };
        let running = start(settings).unwrap();
        let url = running.url("one");
        let (preset, auth) = (feed.preset, feed.auth);
        let backend = adapter(&described(&format!(
            "id = 'one'\npreset = '{preset}'\nbase_url = '{url}'\n{auth}"
        )));
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { feed, running, backend, client }
    }

    fn set(&self, faults: Faults) {
        self.running.ledger.set_faults("one", faults).unwrap();
    }

    async fn asks(&self, method: &str, path: &str, body: serde_json::Value) {
        let (name, value) = self.feed.header;
        let url = format!("{}{path}", self.running.url("one"));
        let request = self.client.request(method.parse().unwrap(), url).header(name, value);
        let answer = request.json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}: {answer:?}", self.feed.preset);
    }

    /// What a person calls the ticket.
    async fn makes(&self, text: &str) {
        let mut given = json!({
            "correlation_key": text, "summary": text, "Queue": "Incident", "tracker_id": 4,
        });
        given[self.feed.field.0] = text.into();
        self.asks("POST", self.feed.make, (self.feed.wrap)(given)).await;
    }

    async fn changes(&self, id: &str, text: &str) {
        let path = self.feed.one.replace("ID", id);
        let change = json!({ self.feed.field.0: text });
        self.asks(self.feed.write, &path, (self.feed.wrap)(change)).await;
    }

    async fn deletes(&self, id: &str) {
        let path = self.feed.one.replace("ID", id);
        match self.feed.system {
            System::RequestTracker => self.asks("PUT", &path, json!({"Status": "deleted"})).await,
            _ => self.asks("DELETE", &path, json!({})).await,
        }
    }

    async fn hears(&self, place: &Place, limit: u32) -> Heard {
        let Place { cursor, since, offset } = place.clone();
        self.backend.call(call(Work::Changes { cursor, since, offset, limit })).await
    }

    /// One page, and whether there is more; the place moves behind it.
    async fn page(&self, place: &mut Place, limit: u32) -> (Vec<Found>, bool) {
        let answer = self.hears(place, limit).await.answer;
        let Answer::Read(reading) = answer else { panic!("{}: {answer:?}", self.feed.preset) };
        match self.feed.by {
            ChangesBy::Cursor => place.cursor = reading.cursor,
            _ => place.offset += u32::try_from(reading.tickets.len()).unwrap(),
        }
        (reading.tickets, reading.more)
    }

    /// All pages.
    async fn all(&self, place: &mut Place, limit: u32) -> Vec<Found> {
        let mut rows = Vec::new();
        loop {
            let (page, more) = self.page(place, limit).await;
            assert!(page.len() <= limit as usize && rows.len() < 100, "{}", self.feed.preset);
            rows.extend(page);
            if !more {
                return rows;
            }
        }
    }

    /// The id of the ticket that was made first, second and so on.
    fn id(&self, number: u32) -> String {
        if self.feed.system == System::Rest { format!("ONE-{number}") } else { number.to_string() }
    }
}

/// Where a reader of a feed is.
#[derive(Clone, Default)]
struct Place {
    cursor: Option<String>,
    since: Option<Timestamp>,
    offset: u32,
}

impl Place {
    /// Where the next pass begins that has read these.
    fn after(&self, rows: &[Found]) -> Self {
        let since = rows.iter().filter_map(|row| row.changed_at).max();
        Self { cursor: self.cursor.clone(), since, offset: 0 }
    }
}

fn ids(rows: &[Found]) -> Vec<&str> {
    rows.iter().map(|row| row.backend_id.as_str()).collect()
}

#[tokio::test]
async fn pages_follow_each_other_and_hold_each_ticket_once_also_where_times_are_equal() {
    for feed in FEEDS {
        let (name, world) = (feed.preset, World::with(feed, Faults::default()));
        let page = ChangesPage { by: feed.by, size: feed.size };
        assert_eq!(world.backend.changes(), Some(page), "{name}");
        for number in 1..=5 {
            world.makes(&format!("t{number}")).await;
        }
        let mut place = Place::default();
        let (first, more) = world.page(&mut place, 2).await;
        assert_eq!((ids(&first), more), (vec![&*world.id(1), &*world.id(2)], true), "{name}");
        let mut rows = first;
        rows.extend(world.all(&mut place, 2).await);
        let made: Vec<_> = (1..=5).map(|number| world.id(number)).collect();
        assert_eq!(ids(&rows), made, "{name}");
        let times: Vec<_> = rows.iter().map(|row| row.changed_at.unwrap()).collect();
        assert!(times.is_sorted(), "{name}: {times:?}");
        // Five within two seconds: the end of a page lies within a second.
        let over_an_end = [1, 3].map(|at| times[at] == times[at + 1]);
        assert!(!feed.coarse || over_an_end.contains(&true), "{name}: {times:?}");
        assert!(rows.iter().all(|row| !row.deleted && row.status.is_some()), "{name}: {rows:?}");
        assert_eq!(rows[2].fields[feed.field.1], "t3", "{name}");
        if feed.coarse {
            assert_eq!(rows[2].fields["kind"], "incident", "{name}");
        }

        // From the first time on, by pages whose ends are not those of whole pages.
        let since = rows.first().and_then(|row| row.changed_at);
        let mut place = Place { since, ..Place::default() };
        let (mut again, _) = world.page(&mut place, 3).await;
        again.extend(world.all(&mut place, 2).await);
        assert_eq!(ids(&again), made, "{name}");
    }
}

#[tokio::test]
async fn a_ticket_that_changes_comes_again_and_nothing_new_is_nothing() {
    for feed in FEEDS {
        let (name, world) = (feed.preset, World::with(feed, Faults::default()));
        for number in 1..=3 {
            world.makes(&format!("t{number}")).await;
        }
        let mut place = Place::default();
        let rows = world.all(&mut place, 2).await;
        let mut next = place.after(&rows);
        let (nothing, more) = world.page(&mut next.clone(), 50).await;
        // By time what has the last time comes again.
        let nothing_new = nothing.iter().all(|row| rows.contains(row));
        assert!(nothing_new && !more && (nothing.len() <= rows.len()), "{name}: {nothing:?}");
        assert_eq!(feed.by == ChangesBy::Cursor, nothing.is_empty(), "{name}");

        world.changes(&world.id(2), "changed").await;
        let (news, _) = world.page(&mut next, 50).await;
        let changed = news.iter().find(|row| row.backend_id == world.id(2)).expect(name);
        assert_eq!(changed.fields[feed.field.1], "changed", "{name}");
        assert_eq!(feed.by == ChangesBy::Cursor, news.len() == 1, "{name}: {news:?}");
        let whole = world.all(&mut Place::default(), 50).await;
        assert_eq!(whole.len(), 3, "{name}: a ticket has one place");
        if !feed.coarse {
            assert_eq!(whole[2].backend_id, world.id(2), "{name}: at the end");
        }
    }
}

#[tokio::test]
async fn a_ticket_that_is_deleted_comes_as_deleted_or_comes_no_more() {
    for feed in FEEDS {
        let (name, world) = (feed.preset, World::with(feed, Faults::default()));
        for number in 1..=3 {
            world.makes(&format!("t{number}")).await;
        }
        world.deletes(&world.id(1)).await;
        let rows = world.all(&mut Place::default(), 50).await;
        let gone: Vec<_> = rows.iter().filter(|row| row.deleted).collect();
        match feed.tells_of_the_dead {
            true => {
                assert_eq!((rows.len(), gone.len()), (3, 1), "{name}: {rows:?}");
                assert_eq!(gone[0].backend_id, world.id(1), "{name}");
            }
            false => assert_eq!((rows.len(), gone.len()), (2, 0), "{name}: {rows:?}"),
        }
    }
}

#[tokio::test]
async fn a_cursor_that_is_not_taken_back_is_refused_and_the_beginning_still_reads() {
    let world = World::with(FEEDS[1], Faults::default());
    world.makes("t1").await;
    let mut place = Place::default();
    world.page(&mut place, 50).await;
    let made_up = Place { cursor: Some("from nowhere".to_owned()), ..Place::default() };
    let answer = world.hears(&made_up, 50).await.answer;
    let Answer::Refused(error) = &answer else { panic!("{answer:?}") };
    assert!(error.description.as_deref().is_some_and(|said| said.contains("key")), "{error:?}");

    world.set(Faults { cursor_refused: true, ..Faults::default() });
    let answer = world.hears(&place, 50).await.answer;
    assert_eq!(kind(&answer).0, "refused", "{answer:?}");
    let (rows, _) = world.page(&mut Place::default(), 50).await;
    assert_eq!(ids(&rows), ["1"]);
    let report = world.running.ledger.report_of("one").unwrap();
    assert_eq!(report.faults_injected["cursor_refused"], 1);
}

#[tokio::test]
async fn a_page_that_fails_reads_as_a_search_that_fails() {
    let off = Faults::default;
    for feed in FEEDS {
        // These two have no word for "busy".
        let busy = if feed.coarse { "in doubt" } else { "busy" };
        let busy = if feed.system == System::Tixngo { "in doubt" } else { busy };
        for (name, faults, expected) in [
            ("busy", Faults { busy_rate: 1.0, ..off() }, busy),
            ("too many", Faults { too_many_rate: 1.0, ..off() }, "busy"),
            ("error before", Faults { error_before_rate: 1.0, ..off() }, "in doubt"),
            ("html", Faults { html_rate: 1.0, ..off() }, "in doubt"),
            ("lost answer", Faults { lost_answer_rate: 1.0, reads_too: true, ..off() }, "in doubt"),
            ("hang", Faults { hang_rate: 1.0, reads_too: true, ..off() }, "in doubt"),
            ("locked out", Faults { unauthorised: true, ..off() }, "unauthorised"),
        ] {
            let world = World::with(feed, faults);
            let work = Work::Changes { cursor: None, since: None, offset: 0, limit: 9 };
            let answer = calls_in_a_hurry(&world.backend, work).await;
            assert_eq!(kind(&answer).0, expected, "{} {name}: {answer:?}", feed.preset);
        }
    }
}

#[tokio::test]
async fn the_backends_clock_is_told_also_where_it_is_wrong() {
    const OFF: i64 = -600_000;
    for feed in FEEDS {
        let name = feed.preset;
        let right = World::with(feed, Faults::default());
        let wrong = World::with(feed, Faults { clock_offset_ms: OFF, ..Faults::default() });
        for world in [&right, &wrong] {
            world.makes("t1").await;
        }
        let heard = right.hears(&Place::default(), 9).await;
        let ours = heard.clock.unwrap();
        let heard = wrong.hears(&Place::default(), 9).await;
        let theirs = heard.clock.unwrap();
        let behind = ours.as_millis() - theirs.as_millis();
        assert!((-OFF - behind).abs() <= 3_000, "{name}: {behind}");
        let Answer::Read(reading) = heard.answer else { panic!("{name}") };
        let age = theirs.as_millis() - reading.tickets[0].changed_at.unwrap().as_millis();
        assert!(age.abs() <= 3_000, "{name}: {age}");
    }
}

#[tokio::test]
async fn a_change_that_is_seen_late_comes_with_its_own_time() {
    let world = World::with(FEEDS[0], Faults::default());
    world.makes("t1").await;
    world.set(Faults { index_lag_ms: 3_600_000, ..Faults::default() });
    world.makes("t2").await;
    let rows = world.all(&mut Place::default(), 9).await;
    assert!(rows.is_empty(), "{rows:?}");
    world.set(Faults::default());
    world.makes("t3").await;
    let rows = world.all(&mut Place::default(), 9).await;
    assert_eq!(ids(&rows), ["ONE-1", "ONE-2", "ONE-3"]);
    let feed = World::with(FEEDS[1], Faults { index_lag_ms: 3_600_000, ..Faults::default() });
    feed.makes("t1").await;
    let mut place = Place::default();
    assert!(feed.all(&mut place, 9).await.is_empty());
    feed.set(Faults::default());
    assert_eq!(ids(&feed.all(&mut place, 9).await), ["1"], "its cursor has not passed it");
}

/// One page, answered by hand.
async fn by_hand(more: &str, work: Work, answer: &str) -> (Answer, Vec<String>) {
    let canned = Canned::with_json(200, answer).await;
    let url = &canned.url;
    let backend =
        adapter(&described(&format!("id = 'x'\ntype = 'rest'\nbase_url = '{url}'\n{more}")));
    let answer = calls(&backend, work).await;
    (answer, canned.heard())
}

fn page_of(offset: u32, limit: u32) -> Work {
    Work::Changes { cursor: None, since: None, offset, limit }
}

#[tokio::test]
async fn rows_come_as_they_are_one_without_an_id_too() {
    let described = "[changes]\nby = 'scan'\nsize = 9\nmethod = 'GET'\npath = '/t?from={{ offset }}'\n\
                     read = { id = '$.id', items = '$.t[*]', changed_at = '$.at', deleted = { select = '$.s', is = ['X', 'Y'] } }";
    let rows = r#"{"t":[{"id":1,"at":"2026-11-21T10:00:00Z"},{"at":"soon"},{"id":1,"s":"X"}]}"#;
    let (answer, heard) = by_hand(described, page_of(4, 5), rows).await;
    let Answer::Read(reading) = answer else { panic!("{answer:?}") };
    assert_eq!((ids(&reading.tickets), reading.more), (vec!["1", "", "1"], false));
    let deleted: Vec<_> = reading.tickets.iter().map(|row| row.deleted).collect();
    assert_eq!(deleted, [false, false, true]);
    let at = Timestamp::parse("2026-11-21T10:00:00Z").ok();
    assert_eq!(
        reading.tickets.iter().map(|row| row.changed_at).collect::<Vec<_>>(),
        [at, None, None]
    );
    assert_eq!(lines(&heard), ["GET /api/t?from=4"]);
    // What is no list is no page without rows.
    for answer in [r#"{"t":null}"#, r#"{}"#, "[]"] {
        let (answer, _) = by_hand(described, page_of(0, 5), answer).await;
        assert_eq!(kind(&answer).0, "in doubt", "{answer:?}");
    }
}

#[tokio::test]
async fn where_a_system_has_no_pages_they_are_cut_here() {
    let described = "[changes]\nby = 'scan'\nsize = 2\nmethod = 'GET'\npath = '/t'\n\
                     read = { id = '$.id', items = '$.t[*]' }";
    let rows = r#"{"t":[{"id":1},{"id":2},{"id":3},{"id":4},{"id":5}]}"#;
    for (offset, limit, page, more) in [
        (0, 9, vec!["1", "2"], true),
        (2, 1, vec!["3"], true),
        (3, 2, vec!["4", "5"], false),
        (5, 2, vec![], false),
        (9, 2, vec![], false),
    ] {
        let (answer, _) = by_hand(described, page_of(offset, limit), rows).await;
        let Answer::Read(reading) = answer else { panic!("{answer:?}") };
        assert_eq!((ids(&reading.tickets), reading.more), (page, more), "{offset} {limit}");
    }
}

#[tokio::test]
async fn numbered_pages_are_asked_for_so_that_the_offset_lies_within() {
    let described = "[changes]\nby = 'scan'\nsize = 3\nmethod = 'GET'\npath = '/t/{{ page }}/{{ page_size }}'\n\
                     read = { id = '$.id', items = '$.t[*]', total = '$.n' }";
    for (offset, limit, path, page, more) in [
        (0, 9, "GET /api/t/1/3", vec!["7", "8", "9"], true),
        (3, 3, "GET /api/t/2/3", vec!["7", "8", "9"], true),
        (4, 3, "GET /api/t/2/3", vec!["8", "9"], true),
        (8, 3, "GET /api/t/3/3", vec!["9"], false),
    ] {
        let rows = r#"{"n":9,"t":[{"id":7},{"id":8},{"id":9}]}"#;
        let (answer, heard) = by_hand(described, page_of(offset, limit), rows).await;
        let Answer::Read(reading) = answer else { panic!("{answer:?}") };
        assert_eq!((ids(&reading.tickets), reading.more), (page, more), "{offset} {limit}");
        assert_eq!(lines(&heard), [path]);
    }
}

#[tokio::test]
async fn a_cursor_that_stands_still_is_told_and_what_lies_before_the_next_is_kept() {
    let described = "[changes]\nby = 'cursor'\nsize = 2\nmethod = 'GET'\npath = '/t/{{ cursor or 0 }}'\n\
                     failure = [{ select = '$.gone', means = 'absent' }]\n\
                     read = { id = '$.id', items = '$.t[*]', more = '$.more', cursor = '$.next' }";
    let from = |cursor: &str| Work::Changes {
        cursor: Some(cursor.to_owned()),
        since: None,
        offset: 0,
        limit: 2,
    };
    for (rows, expected) in [
        (r#"{"t":[{"id":1},{"id":2},{"id":3}],"next":"b"}"#, Ok((3, Some("b"), false))),
        (r#"{"t":[],"next":"b","more":true}"#, Ok((0, Some("b"), true))),
        (r#"{"t":[],"next":"a"}"#, Ok((0, Some("a"), false))),
        (r#"{"t":[]}"#, Ok((0, None, false))),
        (r#"{"t":[{"id":1}],"next":"a","more":true}"#, Err("in doubt")),
        (r#"{"t":[{"id":1}],"more":true}"#, Err("in doubt")),
        // That nothing is there does not say that nothing has changed.
        (r#"{"gone":true}"#, Err("in doubt")),
    ] {
        let (answer, _) = by_hand(described, from("a"), rows).await;
        match (answer, expected) {
            (Answer::Read(reading), Ok(expected)) => {
                let is = (reading.tickets.len(), reading.cursor.as_deref(), reading.more);
                assert_eq!(is, expected, "{rows}");
            }
            (answer, Err(expected)) => assert_eq!(kind(&answer).0, expected, "{rows}: {answer:?}"),
            (answer, Ok(_)) => panic!("{rows}: {answer:?}"),
        }
    }
}

#[tokio::test]
async fn request_tracker_is_asked_in_its_users_zone_and_answers_in_any() {
    for (zone, time) in [("UTC", "2026-07-21 10:00:00"), ("Europe/Brussels", "2026-07-21 12:00:00")]
    {
        let answer = r#"{"items":[{"id":"1","LastUpdated":"2026-07-21T10:00:00Z"}],"total":1}"#;
        let canned = Canned::with_json(200, answer).await;
        let text = format!(
            "id = 'x'\npreset = 'request-tracker'\nbase_url = '{}'\nauth = {{ value = 'x' }}\n\
             times = {{ zone = '{zone}' }}",
            canned.url
        );
        // A machine without the zones of the world knows only this one.
        let Ok(description) = load(text.parse().unwrap()) else {
            assert_ne!(zone, "UTC");
            continue;
        };
        let since = Timestamp::parse("2026-07-21T10:00:00.900Z").ok();
        let work = Work::Changes { cursor: None, since, offset: 0, limit: 9 };
        let Answer::Read(reading) = calls(&adapter(&description), work).await else { panic!() };
        assert_eq!(reading.tickets[0].changed_at, Timestamp::parse("2026-07-21T10:00:00Z").ok());
        let heard = canned.heard();
        let asked = lines(&heard)[0].replace('+', " ").replace("%3A", ":").replace("%27", "'");
        assert!(asked.contains(&format!("LastUpdated %3E%3D '{time}'&")), "{asked}");
        assert!(asked.contains("%28Queue %3D 'Incident' OR Queue %3D 'Change' OR"), "{asked}");
    }
}

#[tokio::test]
async fn who_has_no_feed_says_so() {
    let running = start(RestSettings { system: System::S360, ..RestSettings::default() }).unwrap();
    let url = running.url("one");
    let backend = adapter(&described(&format!(
        "id = 'one'\npreset = 's360'\nbase_url = '{url}'\nauth = {{ token = 't' }}"
    )));
    assert_eq!(backend.changes(), None);
    let answer = calls(&backend, page_of(0, 9)).await;
    assert_eq!(kind(&answer), ("refused", "this backend's description has no changes"));
}
