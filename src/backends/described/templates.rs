//! Templates: compiled once, each in the style of the place where its text goes.
//!
//! What always holds: a value can never say more than its place allows. In a path it is escaped and
//! never empty, in a JSON body it is a JSON value, as an item of a JSON table it is a string, in XML it
//! is text. Work is bounded by fuel, so that no template hangs a lane.
//!
//! What it leaves to others: which variables there are (`variables`), putting the texts together
//! (`request`).

use super::variables::stand_ins;
use super::words::{Words, elements, escaped, into_xml};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Steps a template may take: some thousand values, and a second at the very most.
const FUEL: u64 = 200_000;

/// Where a template's text goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Into a path: values are escaped and must not be missing or empty.
    Path,
    /// Into a header or query: values must not be missing.
    Line,
    /// A whole JSON body: values are JSON.
    Json,
    /// A string within JSON: as it is; what is missing is empty.
    Item,
    /// What an envelope holds: values are text and must not be missing.
    Xml,
}

/// A compiled template.
#[derive(Debug)]
pub(super) struct Template {
    text: String,
    style: Style,
    /// Where the text is exactly one `{{ expression }}`: that.
    expression: Option<String>,
    /// Where that only follows names, such as `fields.note`: these.
    names: Option<Vec<String>>,
    /// The text has nothing to be filled in.
    constant: bool,
}

impl Template {
    /// Where it only follows names, and what is missing is empty: these.
    pub fn item_names(&self) -> Option<&[String]> {
        self.names.as_deref().filter(|_| self.style == Style::Item)
    }

    /// Its text, where that has nothing to be filled in.
    pub fn constant(&self) -> Option<&str> {
        self.constant.then_some(&self.text)
    }
}

/// The compiled templates of one backend, each under its own text: a description says many things more than
/// once, and a compiled template takes some 9 KiB, whatever it says.
#[derive(Debug)]
pub(super) struct Templates {
    path: Environment<'static>,
    line: Environment<'static>,
    json: Environment<'static>,
    item: Environment<'static>,
    xml: Environment<'static>,
    words: Arc<Words>,
    used: BTreeSet<String>,
}

impl Templates {
    /// None yet.
    pub fn new(words: Words) -> Self {
        let words = Arc::new(words);
        Self {
            path: environment(Style::Path, &words),
            line: environment(Style::Line, &words),
            json: environment(Style::Json, &words),
            item: environment(Style::Item, &words),
            xml: environment(Style::Xml, &words),
            words,
            used: BTreeSet::new(),
        }
    }

    /// Maps and times.
    pub fn words(&self) -> &Arc<Words> {
        &self.words
    }

    /// Compiles a template.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn add(&mut self, text: &str, style: Style) -> Result<Template, String> {
        let expression = match style {
            Style::Line | Style::Item => only_expression(text),
            Style::Path | Style::Json | Style::Xml => None,
        };
        let words = Arc::clone(&self.words);
        let environment = self.environment_mut(style);
        if environment.get_template(text).is_err() {
            environment.add_template_owned(text.to_owned(), text.to_owned()).map_err(in_words)?;
        }
        if let Some(odd) = unknown_filter(environment, text) {
            return Err(format!("no filter is called {odd}"));
        }
        let compiled = environment.get_template(text).map_err(in_words)?;
        let mut names = compiled.undeclared_variables(false);
        // `fields.note` besides `fields`.
        names.extend(compiled.undeclared_variables(true).into_iter().filter(|n| n.contains('.')));
        words.trying.store(true, Ordering::Relaxed);
        let tried = compiled.render(stand_ins());
        words.trying.store(false, Ordering::Relaxed);
        // Only a run finds these; what else goes wrong may be due to the stand-ins.
        if let Err(error) = tried
            && let ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction =
                error.kind()
        {
            return Err(in_words(error));
        }
        // Of an item that is one expression only its value is asked for, and that compiles it (`value`).
        if style == Style::Item && expression.is_some() {
            environment.remove_template(text);
        }
        let functions: Vec<_> = environment.globals().map(|(name, _)| name.to_owned()).collect();
        self.used.extend(names.into_iter().filter(|name| !functions.contains(name)));
        let names = expression.and_then(only_names);
        let expression = expression.map(str::to_owned);
        // A template drops the end of its last line.
        let constant = !text.contains('{') && !text.ends_with('\n');
        Ok(Template { text: text.to_owned(), style, expression, names, constant })
    }

    /// Compiles an expression that is true or not.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn add_condition(&mut self, text: &str) -> Result<Template, String> {
        let template = self.add(&format!("{{{{ {text} }}}}"), Style::Item)?;
        match template.expression {
            Some(_) => Ok(template),
            None => Err("this must be one expression, such as fields.note".to_owned()),
        }
    }

    /// The text with stand-ins for all values, if it can be filled with them.
    pub fn tried(&self, template: &Template) -> Option<String> {
        self.words.trying.store(true, Ordering::Relaxed);
        let tried = self.text(template, &stand_ins());
        self.words.trying.store(false, Ordering::Relaxed);
        tried.ok()
    }

    /// The variables that were used since this was last asked.
    pub fn take_used(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.used)
    }

    /// These were used as well.
    pub fn note_used(&mut self, names: BTreeSet<String>) {
        self.used.extend(names);
    }

    /// The value of a template that is one expression; a text otherwise.
    ///
    /// # Errors
    /// What is wrong, without any value.
    pub fn value(&self, template: &Template, variables: &Value) -> Result<Value, String> {
        let names = template.names.as_ref();
        if let Some(found) = names.and_then(|names| follow(names, variables))
            // Where that is a mistake, the engine says so.
            && (template.style == Style::Item || !found.is_undefined())
        {
            return Ok(found);
        }
        let environment = self.environment(template.style);
        match &template.expression {
            // Compiling borrows from the environment, and costs some microseconds.
            Some(expression) => environment
                .compile_expression(expression)
                .and_then(|expression| expression.eval(variables.clone()))
                .map_err(in_words),
            None => self.text(template, variables).map(Value::from),
        }
    }

    /// The text.
    ///
    /// # Errors
    /// What is wrong, without any value.
    pub fn text(&self, template: &Template, variables: &Value) -> Result<String, String> {
        if let Some(text) = template.constant() {
            return Ok(text.to_owned());
        }
        if template.style == Style::Item && template.expression.is_some() {
            return self.value(template, variables).map(|value| value.to_string());
        }
        let compiled = self.environment(template.style).get_template(&template.text);
        compiled.and_then(|compiled| compiled.render(variables.clone())).map_err(in_words)
    }

    fn environment(&self, style: Style) -> &Environment<'static> {
        match style {
            Style::Path => &self.path,
            Style::Line => &self.line,
            Style::Json => &self.json,
            Style::Item => &self.item,
            Style::Xml => &self.xml,
        }
    }

    fn environment_mut(&mut self, style: Style) -> &mut Environment<'static> {
        match style {
            Style::Path => &mut self.path,
            Style::Line => &mut self.line,
            Style::Json => &mut self.json,
            Style::Item => &mut self.item,
            Style::Xml => &mut self.xml,
        }
    }
}

/// A filter that there is not. A run finds only those that it comes by; in an expression that stops
/// half-way, as `or` does, the rest would be found in the night.
fn unknown_filter(environment: &Environment<'_>, text: &str) -> Option<String> {
    let mut rest = text;
    while let Some(at) = rest.find(['|', '\'', '"']) {
        let (mark, behind) = (rest[at..].chars().next()?, &rest[at + 1..]);
        if mark != '|' {
            // What stands in quotes is no filter.
            rest = behind.find(mark).map_or("", |end| &behind[end + 1..]);
            continue;
        }
        rest = behind;
        let name: String = behind
            .trim_start()
            .chars()
            .take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_')
            .collect();
        let is_unknown = |name: &str| {
            let tried = environment.compile_expression(&format!("'x' | {name}"))?.eval(());
            tried.map(drop)
        };
        if name.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && is_unknown(&name).is_err_and(|error| error.kind() == ErrorKind::UnknownFilter)
        {
            return Some(name);
        }
    }
    None
}

/// The names of an expression such as `fields.note` that has nothing else.
fn only_names(expression: &str) -> Option<Vec<String>> {
    let is_name = |name: &&str| {
        name.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
            && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let names: Vec<&str> = expression.trim().split('.').collect();
    names.iter().all(is_name).then(|| names.into_iter().map(str::to_owned).collect())
}

/// What these names lead to; none: the first is no variable, but perhaps a word of the language.
fn follow(names: &[String], variables: &Value) -> Option<Value> {
    let (first, rest) = names.split_first()?;
    let found = variables.get_attr(first).ok().filter(|found| !found.is_undefined())?;
    Some(rest.iter().fold(found, |at, name| at.get_attr(name).unwrap_or(Value::UNDEFINED)))
}

fn environment(style: Style, words: &Arc<Words>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    let escape = if style == Style::Json { AutoEscape::Json } else { AutoEscape::None };
    environment.set_auto_escape_callback(move |_| escape.clone());
    environment.set_undefined_behavior(match style {
        Style::Path | Style::Line | Style::Xml => UndefinedBehavior::SemiStrict,
        Style::Json | Style::Item => UndefinedBehavior::Chainable,
    });
    match style {
        Style::Path => environment.set_formatter(into_path),
        Style::Xml => environment.set_formatter(into_xml),
        Style::Line | Style::Json | Style::Item => {}
    }
    let of = Arc::clone(words);
    environment.add_filter("map", move |value: Value, name: &str| of.mapped(value, name));
    let of = Arc::clone(words);
    environment.add_filter("time", move |value: Value| of.written(value));
    environment.add_filter("escaped", escaped);
    if style == Style::Xml {
        environment.add_function("element", elements);
    }
    environment
}

/// Writes a value as one segment of a path.
fn into_path(out: &mut Output<'_>, _: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    let text = value.to_string();
    if value.is_undefined() || value.is_none() || text.is_empty() {
        return Err(Error::new(ErrorKind::UndefinedError, "a value of the path is missing"));
    }
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        let written =
            if plain { out.write_char(char::from(byte)) } else { write!(out, "%{byte:02X}") };
        written.map_err(|_| Error::new(ErrorKind::WriteFailure, "a path cannot be written"))?;
    }
    Ok(())
}

/// `x` of a text that is exactly `{{ x }}`.
fn only_expression(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let nested = ["{{", "}}", "{%", "{#"].iter().any(|mark| inner.contains(mark));
    let trims = inner.starts_with(['-', '+']) || inner.ends_with(['-', '+']);
    (!nested && !trims).then(|| inner.trim())
}

/// An error's kind and place. Values are not in it.
fn in_words(error: Error) -> String {
    match error.line() {
        Some(line) if line > 1 => format!("{}, line {line}", without_place(&error)),
        _ => without_place(&error),
    }
}

fn without_place(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::maps::{Map, Times};
    use super::super::wire::{MapDescription, TimesDescription};
    use super::*;
    use minijinja::context;
    use std::collections::BTreeMap;

    fn words() -> Words {
        let to = BTreeMap::from([("major".to_owned(), "2-High".to_owned())]);
        let map = MapDescription { to, ..MapDescription::default() };
        let maps = BTreeMap::from([("severity".to_owned(), Map::of(&map).unwrap())]);
        Words::new(maps, Times::of(&TimesDescription::default()).unwrap())
    }

    fn render(text: &str, style: Style, variables: Value) -> Result<String, String> {
        let mut templates = Templates::new(words());
        let template = templates.add(text, style)?;
        templates.text(&template, &variables)
    }

    #[test]
    fn a_value_of_a_path_stays_in_its_segment() {
        let path = |id: &str| render("/t/{{ id }}", Style::Path, context!(id => id));
        assert_eq!(path("INC-1.a_~").unwrap(), "/t/INC-1.a_~");
        assert_eq!(path("a/../b?x#é\\").unwrap(), "/t/a%2F..%2Fb%3Fx%23%C3%A9%5C");
        assert!(path("").unwrap_err().contains("missing"));
        assert!(render("/t/{{ id }}", Style::Path, context!()).is_err());
        assert_eq!(render("/t/{{ id }}", Style::Path, context!(id => 7)).unwrap(), "/t/7");
    }

    #[test]
    fn what_is_missing_is_an_error_in_a_line_and_empty_in_an_item() {
        assert!(render("a {{ fields.b }}", Style::Line, context!(fields => context!())).is_err());
        assert_eq!(render("a {{ x.y.z }}", Style::Item, context!()).unwrap(), "a ");
        assert_eq!(render("{{ x.y.z }}", Style::Json, context!()).unwrap(), "null");
        let when = "{% if fields.b %}b{% else %}none{% endif %}";
        assert_eq!(render(when, Style::Line, context!(fields => context!())).unwrap(), "none");
    }

    #[test]
    fn only_one_expression_alone_is_one() {
        for (text, expression) in [
            ("{{ a.b }}", Some("a.b")),
            (" {{a}} ", Some("a")),
            ("{{ a }}{{ b }}", None),
            ("x {{ a }}", None),
            ("{{- a -}}", None),
            ("{% if a %}{{ a }}{% endif %}", None),
        ] {
            assert_eq!(only_expression(text), expression, "{text}");
        }
    }

    #[test]
    fn a_template_without_end_runs_out_of_fuel() {
        let endless =
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(render(endless, Style::Json, context!()).is_err());
    }

    #[test]
    fn what_is_used_is_known_but_for_what_a_template_has_itself() {
        let mut templates = Templates::new(words());
        let text = "{% set a = key %}{% for n in where %}{{ a }}{{ n }}{{ loop.index }}\
                    {{ range(3) }}{{ fields.x|upper }}{% endfor %}";
        templates.add(text, Style::Json).unwrap();
        assert_eq!(Vec::from_iter(templates.take_used()), ["fields", "fields.x", "key", "where"]);
        assert!(templates.add("{{ key|no_such }}", Style::Line).is_err());
        assert!(templates.add("{{ no_such(key) }}", Style::Line).is_err());
    }

    #[test]
    fn in_xml_a_value_is_text_and_an_element_is_left_out_without_one() {
        let xml = |text: &str, variables| render(text, Style::Xml, variables);
        let nasty = "</a><b x=\"&'>";
        let escaped = "&lt;/a&gt;&lt;b x=&quot;&amp;&apos;&gt;";
        assert_eq!(
            xml("<a>{{ s }}</a>", context!(s => nasty)).unwrap(),
            format!("<a>{escaped}</a>")
        );
        assert_eq!(
            xml("{{ element('t:a', s) }}", context!(s => nasty)).unwrap(),
            format!("<t:a>{escaped}</t:a>")
        );
        assert_eq!(
            xml("{{ element('a', s) }}", context!(s => vec!["1", "2"])).unwrap(),
            "<a>1</a><a>2</a>"
        );
        assert_eq!(
            xml("{{ element('a', fields.s) }}", context!(fields => context!())).unwrap(),
            ""
        );
        assert_eq!(xml("{{ element('a', none) }}", context!()).unwrap(), "");
        assert!(xml("<a>{{ fields.s }}</a>", context!(fields => context!())).is_err());
        assert!(xml("{{ element('a b', s) }}", context!(s => 1)).is_err());
    }

    #[test]
    fn a_map_gives_their_word_and_never_another() {
        let line = |s: Value| render("{{ s|map('severity') }}!", Style::Line, context!(s => s));
        assert_eq!(line("major".into()).unwrap(), "2-High!");
        assert!(line("minor".into()).unwrap_err().contains("severity"));
        let item = "{{ fields.s|map('severity') }}";
        assert_eq!(render(item, Style::Item, context!(fields => context!())).unwrap(), "");
        let told = render("{{ s|map('odd') }}", Style::Line, context!(s => 1)).unwrap_err();
        assert!(told.contains("odd"), "{told}");
        let quoted = r#"'{{ s|escaped("'\\", "\\") }}'"#;
        let quoted = render(quoted, Style::Line, context!(s => "a'b\\"));
        assert_eq!(quoted.unwrap(), r"'a\'b\\'");
        let time = |s: &str| render("{{ s|time }}", Style::Line, context!(s => s));
        assert_eq!(time("2026-11-21T11:00:00+01:00").unwrap(), "2026-11-21T10:00:00.000Z");
        assert!(time("noon").is_err());
    }

    #[test]
    fn a_mistake_is_told_with_its_line() {
        let error = render("{\n \"a\": {{ a", Style::Json, context!()).unwrap_err();
        assert!(error.contains("syntax error") && error.contains("line 2"), "{error}");
    }
}
