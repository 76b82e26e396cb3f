//! Who is not signed in is asked to, and comes to the page that was wanted; who may not do a thing sees so.

use crate::browser::Browser;
use crate::form;
use crate::world::World;

const TOKENS: &str = "\
[[http.tokens]]
name = 'night shift'
role = 'operator'
token = 'operator-0123456789'
[[http.tokens]]
name = 'a guest'
role = 'viewer'
token = 'viewer-0123456789'
";
const REFUSED: &[&str] = &[
    "/api/v1/sync",
    "/api/v1/config",
    "/api/v1/alarms/dma/",
    "/api/v1/commands",
    "/api/v1/me",
    "401",
];

#[actix::test]
async fn a_page_survives_the_sign_in_and_shows_what_its_reader_may_not_do() {
    let world = World::with(TOKENS).await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/lanes").await;
    browser.until("the sign-in", "document.querySelector('input[name=token]')").await;
    browser.is_accessible("the sign-in").await;
    browser.write("Token", "viewer-0123456789").await;
    browser.press("Sign in").await;
    browser.says("One lane a backend").await;
    browser.until("who it is", "document.body.innerText.includes('a guest (viewer)')").await;
    let greyed = "[...document.querySelectorAll('td button')].every((it) => it.disabled && it.title.includes('operator'))";
    browser.until("what needs an operator is greyed", greyed).await;
    browser.go("/#/config").await;
    browser.says("This is shown to administrators alone").await;
    browser.shot("viewer").await;
    browser.press("Sign out").await;
    browser.until("the sign-in", "document.querySelector('input[name=token]')").await;
    browser.close(REFUSED).await;
    world.stop().await;
}

#[actix::test]
async fn the_form_survives_the_sign_in_and_its_maker_stands_in_the_audit() {
    let world = World::with(TOKENS).await;
    let browser = Browser::open(world.base()).await;
    browser.go(form::LINK).await;
    browser.write("Token", "operator-0123456789").await;
    browser.press("Sign in").await;
    browser.says("Encoder 7 (enc/7)").await;
    browser.says("This alarm was never seen here").await;
    browser.press("Create ticket").await;
    browser.says("You can close this page").await;
    browser.go("/#/lanes").await;
    browser.press_in("tr[data-key=crm]", "Pause…").await;
    browser.confirm("planned work", "Pause").await;
    browser.says("planned work (by night shift)").await;
    assert_eq!(world.crm.ledger.report_of("crm").unwrap().tickets, 1);
    browser.close(REFUSED).await;
    world.stop().await;
}

const LIMITED: &str = "\
[[http.tokens]]
name = 'crm desk'
role = 'operator'
backends = ['crm']
token = 'limited-0123456789'
[[http.tokens]]
name = 'night shift'
role = 'operator'
token = 'operator-0123456789'
";

#[actix::test]
async fn a_token_of_one_backend_has_pages_of_that_alone_and_none_that_fails() {
    let world = World::with(LIMITED).await;
    let browser = Browser::open(world.base()).await;
    browser.go("/#/lanes").await;
    browser.until("the sign-in", "document.querySelector('input[name=token]')").await;
    browser.write("Token", "limited-0123456789").await;
    browser.press("Sign in").await;
    browser.says("crm").await;
    for (path, words) in [
        ("/", "Nothing. Every lane makes its calls"),
        ("/#/alarms", "No alarm matches"),
        ("/#/tickets", "No ticket matches"),
        ("/#/requests", "Nothing waits"),
        ("/#/clients", "0 of 4 locked"),
        ("/#/clients/1", "shown to those who see all of them"),
        ("/#/backends", "A lost create"),
        ("/#/communication", "crm"),
        ("/#/heartbeats", "n.1"),
        ("/#/history/status", "No write has ended"),
        ("/#/audit", "Audit"),
    ] {
        browser.go(path).await;
        browser.says(words).await;
        let hidden = "document.querySelector('[data-item=parked]').hidden";
        browser.until("parked messages have no place", hidden).await;
        assert_eq!(browser.run("return text().includes('oceane');").await, false, "{path}");
    }
    browser.go("/#/history/status").await;
    let greyed =
        "[...document.querySelectorAll('button')].find((it) => it.textContent === 'Offload now…')";
    browser.until("what concerns all is greyed", &format!("{greyed}.disabled")).await;
    let why = browser.run(&format!("return {greyed}.title;")).await;
    assert_eq!(why, "concerns backends that are not yours");
    // The page that asks for the sign-in is refused first.
    browser.close(&["401", "/api/v1/me"]).await;
    world.stop().await;
}
