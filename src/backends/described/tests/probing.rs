//! `ticketgate check`: what is said of a backend that works, and of one that does not.

use super::*;
use crate::backends::{Finding, probe};
use crate::simulate::faults::Faults;
use crate::simulate::rest::start;
use crate::simulate::settings::{RestSettings, System};

async fn findings(description: &Description) -> Vec<(&'static str, Option<bool>, String)> {
    let clock = Arc::new(ManualClock::default());
    let found = probe(description, clock).await.unwrap_or_else(|errors| panic!("{errors:#?}"));
    found.into_iter().map(|Finding { what, works, said }| (what, works, said)).collect()
}

#[tokio::test]
async fn a_search_shows_address_sign_in_and_search_and_writes_nothing() {
    let token = Some("T".into());
    let running = start(RestSettings { token, ..RestSettings::default() }).unwrap();
    let url = running.url("osb");
    let right = "auth = { type = 'bearer', token = 'T' }";
    for (url, more, works, says) in [
        (url.as_str(), right, true, "searched"),
        (&url, "auth = { type = 'bearer', token = 'X' }", false, "credentials"),
        ("http://127.0.0.1:1/osb", right, false, "not reached"),
    ] {
        let found = findings(&simulated(url, more)).await;
        let (what, is, said) = &found[0];
        assert_eq!((*what, *is), ("search", Some(works)), "{found:?}");
        assert!(said.contains(says), "{found:?}");
        assert_eq!((found[1].0, found[1].1), ("changes", Some(works)), "{found:?}");
        let (what, is, said) = &found[2];
        assert_eq!((*what, *is), ("not compared", None));
        assert!(said.contains("object") && !said.contains("summary"), "{said}");
        let (what, is, said) = &found[3];
        assert_eq!((*what, *is), ("not tried", None));
        assert!(said.contains("create") && !said.contains("search"), "{said}");
    }
    assert_eq!(running.ledger.report_of("osb").unwrap().tickets, 0);
}

#[tokio::test]
async fn a_feed_is_read_from_its_beginning() {
    let running =
        start(RestSettings { system: System::Tixngo, ..RestSettings::default() }).unwrap();
    let url = running.url("one");
    let description = described(&format!(
        "id = 'one'\npreset = 'tixngo'\nbase_url = '{url}'\nauth = {{ token = 't' }}"
    ));
    let found = findings(&description).await;
    assert_eq!((found[0].0, found[0].1), ("changes", Some(true)), "{found:?}");
    assert!(found[0].2.contains("0 rows"), "{found:?}");
    running.ledger.set_all_faults(Faults { html_rate: 1.0, ..Faults::default() }).unwrap();
    let found = findings(&description).await;
    assert_eq!((found[0].0, found[0].1), ("changes", Some(false)), "{found:?}");
}

#[tokio::test]
async fn a_busy_backend_is_there_and_one_that_answers_nonsense_is_not_right() {
    for (faults, works, says) in [
        (Faults { busy_rate: 1.0, ..Faults::default() }, true, "busy"),
        (Faults { html_rate: 1.0, ..Faults::default() }, false, "HTML"),
        (Faults { error_before_rate: 1.0, ..Faults::default() }, false, "500"),
    ] {
        let running = start(RestSettings { faults, ..RestSettings::default() }).unwrap();
        let found = findings(&simulated(&running.url("osb"), "")).await;
        assert!(found[0].1 == Some(works) && found[0].2.contains(says), "{found:?}");
    }
    // It finds a ticket by a key that nobody has.
    let lying = Canned::with_json(200, r#"{"tickets":[{"id":"1"}]}"#).await;
    let found = findings(&simulated(&lying.url, "")).await;
    assert!(found[0].1 == Some(false) && found[0].2.contains("heed"), "{found:?}");
}

#[tokio::test]
async fn where_nothing_can_be_searched_the_sign_in_and_the_address_are_tried() {
    let token = Some("right".into());
    let running =
        start(RestSettings { system: System::Oceane, token, ..RestSettings::default() }).unwrap();
    let url = running.url("one");
    for (secret, works) in [("right", true), ("guess", false)] {
        let description = described(&format!(
            "id = 'one'\npreset = 'oceane'\nbase_url = '{url}'\n\
             auth = {{ token_url = '{url}/oauth/token', client_secret = '{secret}' }}"
        ));
        let found = findings(&description).await;
        assert_eq!((found[0].0, found[0].1), ("sign-in", Some(works)), "{found:?}");
        assert_eq!((found[1].0, found[1].1), ("address", Some(true)), "{found:?}");
        assert!(!works || found[0].2.contains("until 20"), "{found:?}");
    }
}
