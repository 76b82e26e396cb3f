//! A request's body: a JSON template, a table whose texts are templates, or what an envelope holds.
//!
//! What always holds: what is sent is one document of JSON or XML, whatever the values are.

use super::compiler::Compiler;
use super::templates::{Style, Template, Templates};
use super::variables::{At, Variables};
use super::wire::CallDescription;
use super::xml;
use minijinja::value::Value as Variable;
use serde::{Serialize, Serializer};
use serde_json::Value;
use std::borrow::Cow;
use ticketgate_actors::model::Fields;

/// A body, compiled.
#[derive(Debug)]
pub(super) enum BodyPlan {
    /// No body.
    Empty,
    /// A JSON text with values in it.
    Text(Template),
    /// JSON with templates in it.
    Tree(Tree),
    /// XML, to be put into an envelope.
    Xml(Template),
}

/// JSON with templates for texts.
#[derive(Debug)]
pub(super) enum Tree {
    Constant(Value),
    Text(Template),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// JSON with its values, ready to be written.
enum Filled<'a> {
    Value(Cow<'a, Value>),
    Table(&'a Fields),
    List(Vec<Filled<'a>>),
    Map(Vec<(&'a str, Filled<'a>)>),
}

impl BodyPlan {
    /// Compiles a call's body; none if something is wrong, which is then noted.
    pub fn of(compiler: &mut Compiler<'_>, place: &str, call: &CallDescription) -> Option<Self> {
        let key = |below: &str| format!("{place}.{below}");
        match (&call.body, &call.json) {
            (body, json) if compiler.is_soap() => {
                compiler.wrong_if(json.is_some(), &key("json"), "SOAP has a body of XML");
                compiler.wrong_if(body.is_none(), &key("body"), "say what the envelope holds");
                let template = compiler.template(&key("body"), body.as_ref()?, Style::Xml)?;
                try_out_xml(compiler, &key("body"), &template);
                Some(Self::Xml(template))
            }
            (None, None) => Some(Self::Empty),
            (Some(_), Some(_)) => {
                compiler.wrong(&key("body"), "give either body or json");
                None
            }
            (Some(text), None) => {
                let template = compiler.template(&key("body"), text, Style::Json)?;
                try_out(compiler, &key("body"), &template);
                Some(Self::Text(template))
            }
            (None, Some(tree)) => compile(compiler, &key("json"), tree).map(Self::Tree),
        }
    }

    /// The body of one call, or none. `all` are the variables as templates take them.
    ///
    /// # Errors
    /// What is wrong, without any value.
    pub fn fill(
        &self,
        templates: &Templates,
        variables: &Variables,
        all: &Variable,
    ) -> Result<Option<String>, String> {
        match self {
            Self::Empty => Ok(None),
            Self::Text(template) => {
                let text = templates.text(template, all)?;
                match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
                    Ok(_) => Ok(Some(text)),
                    Err(error) => Err(no_json(&error)),
                }
            }
            // The envelope is looked at as a whole.
            Self::Xml(template) => templates.text(template, all).map(Some),
            Self::Tree(tree) => {
                let filled = tree.fill(templates, variables, all)?.ok_or("it has no value")?;
                serde_json::to_string(&filled).map(Some).map_err(|error| no_json(&error))
            }
        }
    }
}

impl Tree {
    /// None where the value is missing.
    fn fill<'a>(
        &'a self,
        templates: &Templates,
        variables: &'a Variables,
        all: &Variable,
    ) -> Result<Option<Filled<'a>>, String> {
        Ok(Some(match self {
            Self::Constant(value) => Filled::Value(Cow::Borrowed(value)),
            Self::Text(template) => {
                match template.item_names().and_then(|names| variables.at(names)) {
                    Some(At::Nothing) => return Ok(None),
                    Some(At::Value(value)) => return Ok(Some(Filled::Value(Cow::Borrowed(value)))),
                    Some(At::Table(table)) => return Ok(Some(Filled::Table(table))),
                    None => {}
                }
                let value = templates.value(template, all)?;
                if value.is_undefined() {
                    return Ok(None);
                }
                let value = serde_json::to_value(&value)
                    .map_err(|_| "a value cannot be written as JSON".to_owned())?;
                Filled::Value(Cow::Owned(value))
            }
            Self::List(items) => {
                let mut filled = Vec::new();
                for item in items {
                    filled.extend(item.fill(templates, variables, all)?);
                }
                Filled::List(filled)
            }
            Self::Map(entries) => {
                let mut filled = Vec::with_capacity(entries.len());
                for (key, entry) in entries {
                    let value = entry.fill(templates, variables, all)?;
                    filled.extend(value.map(|value| (key.as_str(), value)));
                }
                Filled::Map(filled)
            }
        }))
    }
}

impl Serialize for Filled<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Value(value) => value.serialize(to),
            Self::Table(table) => table.serialize(to),
            Self::List(items) => to.collect_seq(items),
            Self::Map(entries) => to.collect_map(entries.iter().map(|(key, value)| (key, value))),
        }
    }
}

fn compile(compiler: &mut Compiler<'_>, key: &str, tree: &toml::Value) -> Option<Tree> {
    Some(match tree {
        toml::Value::String(text) => {
            let template = compiler.template(key, text, Style::Item)?;
            match template.constant() {
                Some(text) => Tree::Constant(text.into()),
                None => Tree::Text(template),
            }
        }
        toml::Value::Integer(number) => Tree::Constant((*number).into()),
        toml::Value::Float(number) => Tree::Constant((*number).into()),
        toml::Value::Boolean(truth) => Tree::Constant((*truth).into()),
        toml::Value::Datetime(time) => Tree::Constant(time.to_string().into()),
        toml::Value::Array(items) => {
            let items = items.iter().enumerate();
            // All of them, so that every mistake is told.
            let items: Vec<_> = items
                .map(|(index, item)| compile(compiler, &format!("{key}[{index}]"), item))
                .collect();
            Tree::List(items.into_iter().collect::<Option<_>>()?)
        }
        toml::Value::Table(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(name, entry)| {
                    let entry = compile(compiler, &format!("{key}.{name}"), entry);
                    entry.map(|entry| (name.clone(), entry))
                })
                .collect();
            Tree::Map(entries.into_iter().collect::<Option<_>>()?)
        }
    })
}

/// Fills a body with stand-ins. A template that cannot be filled with them may still be right (it
/// may reckon with numbers); one that can and is then no JSON never will be.
fn try_out(compiler: &mut Compiler<'_>, key: &str, template: &Template) {
    let Some(text) = compiler.templates.tried(template) else { return };
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&text) {
        let hint = "a value brings its own quotes: {\"summary\": {{ fields.summary }}}";
        compiler.wrong(key, format!("{}; {hint}", no_json(&error)));
    }
}

/// The same for XML. Prefixes are looked at with the envelope.
fn try_out_xml(compiler: &mut Compiler<'_>, key: &str, template: &Template) {
    let Some(text) = compiler.templates.tried(template) else { return };
    let prefixes = compiler.prefixes();
    if let Err(refusal) = xml::parse(format!("<body{prefixes}>{text}</body>").as_bytes()) {
        compiler.wrong(key, format!("this makes no XML: {refusal}"));
    }
}

fn no_json(error: &serde_json::Error) -> String {
    format!("the body is no JSON at line {}, column {}", error.line(), error.column())
}
