//! The operators' dashboard: files that the binary carries, at `/`, `/new-ticket` and below
//! `/dashboard`. They are a client of the API like any other; nothing here knows what they show.
//!
//! What always holds: no page runs or loads anything that is not from this address (the policy below),
//! none may stand in a frame of somebody else's, and a browser asks again at every load whether its copy
//! is still right, so that an upgrade is seen at once.

use super::problem::Problem;
use actix_web::http::header::{CACHE_CONTROL, ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, get, web};
use sha2::{Digest, Sha256};
use std::sync::OnceLock;

/// No inline script or style, no other address, no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
     img-src 'self' data:; font-src 'self'; form-action 'self'; base-uri 'none'; \
     frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

macro_rules! files {
    ($($name:literal: $kind:ident),* $(,)?) => {
        &[$(($name, $kind, include_str!(concat!("../dashboard/", $name)))),*]
    };
}

/// Every file by its name below `/dashboard`; a test sees to it that none is forgotten.
const FILES: &[(&str, &str, &str)] = files! {
    "index.html": HTML,
    "icon.svg": IMAGE,
    "base.css": STYLE,
    "parts.css": STYLE,
    "api.js": SCRIPT,
    "dialog.js": SCRIPT,
    "dom.js": SCRIPT,
    "format.js": SCRIPT,
    "keys.js": SCRIPT,
    "live.js": SCRIPT,
    "main.js": SCRIPT,
    "pages.js": SCRIPT,
    "parts.js": SCRIPT,
    "plot.js": SCRIPT,
    "search.js": SCRIPT,
    "sign-in.js": SCRIPT,
    "stream.js": SCRIPT,
    "table.js": SCRIPT,
    "theme.js": SCRIPT,
    "worker.js": SCRIPT,
    "pages/alarms.js": SCRIPT,
    "pages/audit.js": SCRIPT,
    "pages/backends.js": SCRIPT,
    "pages/clients.js": SCRIPT,
    "pages/communication.js": SCRIPT,
    "pages/config.js": SCRIPT,
    "pages/debug.js": SCRIPT,
    "pages/heartbeats.js": SCRIPT,
    "pages/held.js": SCRIPT,
    "pages/history.js": SCRIPT,
    "pages/lanes.js": SCRIPT,
    "pages/missing.js": SCRIPT,
    "pages/names.js": SCRIPT,
    "pages/new-ticket.js": SCRIPT,
    "pages/overview.js": SCRIPT,
    "pages/parked.js": SCRIPT,
    "pages/requests.js": SCRIPT,
    "pages/routes.js": SCRIPT,
    "pages/services.js": SCRIPT,
    "pages/sync.js": SCRIPT,
    "pages/tickets.js": SCRIPT,
    "pages/undecided.js": SCRIPT,
};

/// One tag for all of them: they belong together.
fn tag() -> &'static str {
    static TAG: OnceLock<String> = OnceLock::new();
    TAG.get_or_init(|| {
        let mut digest = Sha256::new();
        for (name, _, text) in FILES {
            digest.update(name);
            digest.update(text);
        }
        let hex: String = digest.finalize()[..8].iter().map(|it| format!("{it:02x}")).collect();
        format!("\"{hex}\"")
    })
}

fn serve(name: &str, request: &HttpRequest) -> Result<HttpResponse, Problem> {
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let (_, kind, text) =
        found.ok_or_else(|| Problem::not_found("the dashboard has no such file"))?;
    let seen = request.headers().get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_seen = seen.is_some_and(|tags| tags.split(',').any(|it| it.trim() == tag()));
    let mut response = if is_seen { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response
        .insert_header((ETAG, tag()))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header(("Content-Security-Policy", POLICY))
        .insert_header(("X-Content-Type-Options", "nosniff"))
        .insert_header(("Referrer-Policy", "same-origin"));
    Ok(if is_seen { response.finish() } else { response.content_type(*kind).body(*text) })
}

#[get("/")]
pub(super) async fn dashboard(request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve("index.html", &request)
}

/// The form that an alarm console opens; its six values are for the page.
#[get("/new-ticket")]
pub(super) async fn new_ticket(request: HttpRequest) -> Result<HttpResponse, Problem> {
    serve("index.html", &request)
}

#[get("/dashboard/{file}")]
pub(super) async fn file(
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&path, &request)
}

#[get("/dashboard/pages/{page}")]
pub(super) async fn page(
    request: HttpRequest,
    path: web::Path<String>,
) -> Result<HttpResponse, Problem> {
    serve(&format!("pages/{path}"), &request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_folder_is_carried() {
        let mut found = BTreeSet::new();
        below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard"), "", &mut found);
        let carried: BTreeSet<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(carried, found);
    }

    #[test]
    fn nothing_comes_from_elsewhere_and_no_text_is_read_as_markup() {
        for (name, kind, text) in FILES {
            // An XML namespace is a name and no address.
            let text = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!text.contains("http://") && !text.contains("//cdn"), "{name}");
            for markup in ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=\""]
            {
                assert!(!text.contains(markup), "{name}: {markup}");
            }
            if *kind == HTML {
                assert!(!text.contains("onclick=") && !text.contains("<style"), "{name}");
            }
        }
    }
}
