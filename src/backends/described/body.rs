//! A request's body: a JSON template, a table whose texts are templates, or what an envelope holds.
//!
//! What always holds: what is sent is one document of JSON or XML, whatever the values are.

use super::compiler::Compiler;
use super::templates::{Style, Template, Templates};
use super::wire::CallDescription;
use super::xml;
use minijinja::value::Value as Variable;
use serde_json::{Map, Value};

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

    /// The body of one call, or none.
    ///
    /// # Errors
    /// What is wrong, without any value.
    pub fn fill(
        &self,
        templates: &Templates,
        variables: &Variable,
    ) -> Result<Option<String>, String> {
        match self {
            Self::Empty => Ok(None),
            Self::Text(template) => {
                let text = templates.text(template, variables)?;
                match serde_json::from_str::<serde::de::IgnoredAny>(&text) {
                    Ok(_) => Ok(Some(text)),
                    Err(error) => Err(no_json(&error)),
                }
            }
            // The envelope is looked at as a whole.
            Self::Xml(template) => templates.text(template, variables).map(Some),
            Self::Tree(tree) => {
                let value = tree.fill(templates, variables)?;
                value.map(|value| Some(value.to_string())).ok_or("it has no value".to_owned())
            }
        }
    }
}

impl Tree {
    /// None where the value is missing.
    fn fill(&self, templates: &Templates, variables: &Variable) -> Result<Option<Value>, String> {
        Ok(Some(match self {
            Self::Constant(value) => value.clone(),
            Self::Text(template) => {
                let value = templates.value(template, variables)?;
                if value.is_undefined() {
                    return Ok(None);
                }
                serde_json::to_value(&value)
                    .map_err(|_| "a value cannot be written as JSON".to_owned())?
            }
            Self::List(items) => {
                let mut filled = Vec::new();
                for item in items {
                    filled.extend(item.fill(templates, variables)?);
                }
                Value::Array(filled)
            }
            Self::Map(entries) => {
                let mut filled = Map::new();
                for (key, entry) in entries {
                    if let Some(value) = entry.fill(templates, variables)? {
                        filled.insert(key.clone(), value);
                    }
                }
                Value::Object(filled)
            }
        }))
    }
}

fn compile(compiler: &mut Compiler<'_>, key: &str, tree: &toml::Value) -> Option<Tree> {
    Some(match tree {
        toml::Value::String(text) => Tree::Text(compiler.template(key, text, Style::Item)?),
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
