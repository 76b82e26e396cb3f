//! One call as an HTTP request.
//!
//! What always holds: the request goes to the described host and path; no value can lead it
//! elsewhere. What cannot be filled in is refused before anything is sent.
//!
//! What it leaves to others: credentials (`auth`) and sending (`exchange`).

use super::plan::{CallPlan, Plan};
use super::templates::{Template, Templates};
use super::variables::Variables;
use super::wire::Method;
use minijinja::value::Value;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

/// Fills in a call's templates.
///
/// # Errors
/// Why it cannot be filled in, without any value.
pub(super) fn request(
    client: &Client,
    base: &Url,
    plan: &Plan,
    call: &CallPlan,
    variables: &Variables,
) -> Result<RequestBuilder, String> {
    let templates = &plan.templates;
    let all = variables.as_value();
    let mut url = address(base, &templates.text(&call.path, &all).map_err(in_part("path"))?)?;
    let mut pairs = pairs(templates, &call.query, &all)?;
    if !call.query_each_where.is_empty() {
        for (name, value) in variables.entries() {
            let entry = variables.with_entry(&name, &value);
            pairs.extend(self::pairs(templates, &call.query_each_where, &entry)?);
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }

    let body = call.body.fill(templates, &all).map_err(in_part("body"))?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, template) in &call.headers {
        let text = text(templates, template, &all).map_err(in_part("headers"))?;
        if let Some(text) = text {
            let value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|_| format!("headers: no header can carry the value of {name}"))?;
            headers.insert(name.clone(), value);
        }
    }

    let request = client.request(method(call.method), url).headers(headers);
    Ok(match body {
        Some(body) => request.body(body),
        None => request,
    })
}

fn in_part(part: &'static str) -> impl Fn(String) -> String {
    move |problem| format!("{part}: {problem}")
}

fn address(base: &Url, path: &str) -> Result<Url, String> {
    // Addresses resolve these, escaped or not; a value that is one would lead elsewhere.
    if path.split(['/', '?']).any(|segment| segment == "." || segment == "..") {
        return Err("path: a value must not be . or ..".to_owned());
    }
    let address = format!("{}{path}", base.as_str().trim_end_matches('/'));
    address.parse().map_err(|_| "path: this makes no address".to_owned())
}

fn pairs(
    templates: &Templates,
    pairs: &[[Template; 2]],
    variables: &Value,
) -> Result<Vec<(String, String)>, String> {
    let mut filled = Vec::new();
    for [name, value] in pairs {
        let name = text(templates, name, variables).map_err(in_part("query"))?;
        let value = text(templates, value, variables).map_err(in_part("query"))?;
        filled.extend(name.zip(value));
    }
    Ok(filled)
}

/// None where the template is one expression, and it has no value.
fn text(
    templates: &Templates,
    template: &Template,
    variables: &Value,
) -> Result<Option<String>, String> {
    let value = templates.value(template, variables)?;
    Ok((!value.is_undefined() && !value.is_none()).then(|| value.to_string()))
}

fn method(method: Method) -> reqwest::Method {
    match method {
        Method::Get => reqwest::Method::GET,
        Method::Post => reqwest::Method::POST,
        Method::Put => reqwest::Method::PUT,
        Method::Patch => reqwest::Method::PATCH,
        Method::Delete => reqwest::Method::DELETE,
    }
}
