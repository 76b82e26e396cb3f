//! One call as an HTTP request.
//!
//! What always holds: the request goes to the described host and path; no value can lead it
//! elsewhere, and no answer but to another page below `base_url`. What cannot be filled in is refused
//! before anything is sent.
//!
//! What it leaves to others: credentials in headers (`auth`) and sending (`exchange`).

use super::plan::{CallPlan, Plan};
use super::templates::{Template, Templates};
use super::variables::Variables;
use super::wire::Method;
use minijinja::value::Value;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, RequestBuilder, Url};

const SOAP_ACTION: HeaderName = HeaderName::from_static("soapaction");

/// What a request is made of besides its description.
pub(super) struct Making<'a> {
    pub client: &'a Client,
    pub base: &'a Url,
    pub plan: &'a Plan,
    pub variables: &'a Variables,
    /// Another page, where an answer told its address.
    pub page: Option<&'a Url>,
    /// What the sign-in puts into an envelope's header.
    pub security: Option<String>,
}

/// Fills in a call's templates.
///
/// # Errors
/// Why it cannot be filled in, without any value.
pub(super) fn request(making: Making<'_>, call: &CallPlan) -> Result<RequestBuilder, String> {
    let Making { client, base, plan, variables, page, security } = making;
    let templates = &plan.templates;
    let all = variables.as_value();
    let url = match page {
        Some(page) => page.clone(),
        None => address(base, call, templates, variables, &all)?,
    };
    let action = match &call.action {
        Some(action) => text(templates, action, &all).map_err(in_part("action"))?,
        None => None,
    };
    let mut body = call.body.fill(templates, variables, &all).map_err(in_part("body"))?;
    let mut headers = HeaderMap::new();
    let mut content_type = "application/json".to_owned();
    if let Some(envelope) = &plan.envelope {
        let mut header = security.unwrap_or_default();
        if let Some(template) = &plan.envelope_header {
            header.push_str(&templates.text(template, &all).map_err(in_part("soap.header"))?);
        }
        let inner = body.unwrap_or_default();
        body = Some(envelope.around(&header, &inner).map_err(in_part("body"))?);
        content_type = envelope.content_type(action.as_deref());
        if let Some(action) = envelope.action_header(action.as_deref()) {
            headers.insert(SOAP_ACTION, value(&SOAP_ACTION, &action)?);
        }
        let accepted = "text/xml, application/soap+xml";
        headers.insert(ACCEPT, HeaderValue::from_static(accepted));
    } else {
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    }
    if body.is_some() {
        headers.insert(CONTENT_TYPE, value(&CONTENT_TYPE, &content_type)?);
    }
    for (name, template) in &call.headers {
        let text = text(templates, template, &all).map_err(in_part("headers"))?;
        if let Some(text) = text {
            headers.insert(name.clone(), value(name, &text)?);
        }
    }

    let request = client.request(method(call.method), url).headers(headers);
    Ok(match body {
        Some(body) => request.body(body),
        None => request,
    })
}

/// The address of another page, if it lies where the backend is.
///
/// # Errors
/// That it does not.
pub(super) fn next_page(base: &Url, at: &Url, link: &str) -> Result<Url, String> {
    let url = at.join(link).map_err(|_| "the next page's address is none".to_owned())?;
    let below = base.path().trim_end_matches('/');
    let same = url.scheme() == base.scheme()
        && url.host() == base.host()
        && url.port_or_known_default() == base.port_or_known_default()
        && url.path().starts_with(below);
    if same { Ok(url) } else { Err("the next page does not lie below base_url".to_owned()) }
}

fn in_part(part: &'static str) -> impl Fn(String) -> String {
    move |problem| format!("{part}: {problem}")
}

fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| format!("headers: no header can carry the value of {name}"))
}

fn address(
    base: &Url,
    call: &CallPlan,
    templates: &Templates,
    variables: &Variables,
    all: &Value,
) -> Result<Url, String> {
    let path = templates.text(&call.path, all).map_err(in_part("path"))?;
    // Addresses resolve these, escaped or not; a value that is one would lead elsewhere.
    if path.split(['/', '?']).any(|segment| segment == "." || segment == "..") {
        return Err("path: a value must not be . or ..".to_owned());
    }
    let address = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let mut url: Url = address.parse().map_err(|_| "path: this makes no address".to_owned())?;
    let mut pairs = pairs(templates, &call.query, all)?;
    if !call.query_each_where.is_empty() {
        for (name, value) in variables.entries() {
            let entry = variables.with_entry(name, value).as_value();
            pairs.extend(self::pairs(templates, &call.query_each_where, &entry)?);
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(url)
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
pub(super) fn text(
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_next_page_lies_below_the_base_address() {
        let base: Url = "https://crm.example/api".parse().unwrap();
        let at: Url = "https://crm.example/api/tickets?page=1".parse().unwrap();
        for (link, address) in [
            ("?page=2", Some("https://crm.example/api/tickets?page=2")),
            ("/api/tickets?page=2", Some("https://crm.example/api/tickets?page=2")),
            ("https://crm.example:443/api/t", Some("https://crm.example/api/t")),
            ("https://evil.example/api/t", None),
            ("http://crm.example/api/t", None),
            ("//evil.example/api", None),
            ("/other", None),
            ("../../x", None),
        ] {
            let next = next_page(&base, &at, link).ok();
            assert_eq!(next.as_ref().map(Url::as_str), address, "{link}");
        }
    }
}
