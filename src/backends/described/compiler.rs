//! Compiling the parts of a description, and collecting all that is wrong with them.
//!
//! What always holds: a mistake ends nothing; the next part is looked at all the same.
//!
//! What it leaves to others: which parts there are (`calls`, `reading`, `body`), what is kept of them
//! (`plan`).

use super::maps::{Map, Times};
use super::selectors::{Grammar, Selector};
use super::templates::{Style, Template, Templates};
use super::wire::WireDescription;
use super::words::Words;
use super::xml;
use crate::backends::description::{Description, DescriptionError};
use reqwest::header::HeaderName;
use std::collections::BTreeMap;
use ticketgate_actors::logic::lane::Capability;

/// Compiles, and collects what is wrong.
pub(super) struct Compiler<'a> {
    description: &'a Description,
    grammar: Grammar<'a>,
    pub templates: Templates,
    errors: Vec<DescriptionError>,
}

impl<'a> Compiler<'a> {
    /// With what all parts need: namespaces, maps and times.
    ///
    /// # Errors
    /// What is wrong with those, without which nothing else can be looked at.
    pub fn of(
        description: &'a Description,
        wire: &'a WireDescription,
    ) -> Result<Self, Vec<DescriptionError>> {
        let mut errors = Vec::new();
        let mut wrong = |key: &str, problem: String| {
            errors.push(DescriptionError::new(description.key(key), problem));
        };
        let mut maps = BTreeMap::new();
        for (name, map) in &wire.maps {
            match Map::of(map) {
                Ok(map) => _ = maps.insert(name.clone(), map),
                Err(problem) => wrong(&format!("maps.{name}"), problem),
            }
        }
        let times = Times::of(&wire.times).map_err(|(key, problem)| {
            wrong(&format!("times.{key}"), problem);
        });
        let mut grammar = Grammar::Json;
        if let Some(soap) = &wire.soap {
            grammar = Grammar::Xml(&soap.namespaces);
            for (prefix, uri) in &soap.namespaces {
                let is_prefix = xml::is_name(prefix) && !prefix.contains(':');
                if !is_prefix || uri.is_empty() || prefix == "soap" || prefix.starts_with("xml") {
                    let problem = "this cannot be a prefix, or it has no namespace";
                    wrong(&format!("soap.namespaces.{prefix}"), problem.to_owned());
                }
            }
        }
        match times {
            Ok(times) if errors.is_empty() => {
                let templates = Templates::new(Words::new(maps, times));
                Ok(Self { description, grammar, templates, errors })
            }
            _ => Err(errors),
        }
    }

    /// The templates.
    ///
    /// # Errors
    /// Everything that was wrong, each once: what is common to all calls is compiled for each.
    pub fn finish(self) -> Result<Templates, Vec<DescriptionError>> {
        let mut errors: Vec<DescriptionError> = Vec::new();
        for error in self.errors {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        if errors.is_empty() { Ok(self.templates) } else { Err(errors) }
    }

    /// Notes a mistake.
    pub fn wrong(&mut self, key: &str, problem: impl Into<String>) {
        self.errors.push(DescriptionError::new(self.description.key(key), problem));
    }

    /// Notes a mistake if it is one.
    pub fn wrong_if(&mut self, is_wrong: bool, key: &str, problem: &str) {
        if is_wrong {
            self.wrong(key, problem);
        }
    }

    /// Whether anything is wrong so far.
    pub fn is_right(&self) -> bool {
        self.errors.is_empty()
    }

    /// How a lost create is found out.
    pub fn capability(&self) -> Capability {
        self.description.lane.capability
    }

    /// Whether SOAP is spoken.
    pub fn is_soap(&self) -> bool {
        matches!(self.grammar, Grammar::Xml(_))
    }

    /// The declarations of all prefixes, as they stand in an element.
    pub fn prefixes(&self) -> String {
        let Grammar::Xml(namespaces) = self.grammar else { return String::new() };
        let all = namespaces.iter();
        all.map(|(prefix, uri)| format!(" xmlns:{prefix}=\"{}\"", xml::escape(uri))).collect()
    }

    /// Compiles a template.
    pub fn template(&mut self, key: &str, text: &str, style: Style) -> Option<Template> {
        match self.templates.add(text, style) {
            Ok(template) => Some(template),
            Err(problem) => {
                self.wrong(key, problem);
                None
            }
        }
    }

    /// Compiles templates of one line.
    pub fn lines(&mut self, key: &str, texts: &[String]) -> Vec<Template> {
        let mut compiled = Vec::new();
        for (index, text) in texts.iter().enumerate() {
            compiled.extend(self.template(&format!("{key}[{index}]"), text, Style::Line));
        }
        compiled
    }

    /// Compiles a condition, where there is one.
    pub fn condition(&mut self, key: &str, text: Option<&str>) -> Option<Template> {
        match self.templates.add_condition(text?) {
            Ok(template) => Some(template),
            Err(problem) => {
                self.wrong(key, problem);
                None
            }
        }
    }

    /// Compiles a selector, where there is one.
    pub fn selector(&mut self, key: &str, text: Option<&str>) -> Option<Selector> {
        match Selector::parse(text?, self.grammar) {
            Ok(selector) => Some(selector),
            Err(problem) => {
                self.wrong(key, problem);
                None
            }
        }
    }

    /// Compiles names and values of a query.
    pub fn pairs(&mut self, key: &str, pairs: &[[String; 2]]) -> Vec<[Template; 2]> {
        let mut compiled = Vec::new();
        for (index, [name, value]) in pairs.iter().enumerate() {
            let name = self.template(&format!("{key}[{index}].name"), name, Style::Line);
            let value = self.template(&format!("{key}[{index}].value"), value, Style::Line);
            compiled.extend(name.zip(value).map(|(name, value)| [name, value]));
        }
        compiled
    }

    /// Compiles headers.
    pub fn headers(
        &mut self,
        key: &str,
        headers: &BTreeMap<String, String>,
    ) -> Vec<(HeaderName, Template)> {
        let mut compiled = Vec::new();
        for (name, text) in headers {
            let key = format!("{key}.{name}");
            let template = self.template(&key, text, Style::Line);
            match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => compiled.extend(template.map(|template| (name, template))),
                Err(_) => self.wrong(&key, "this is not the name of a header"),
            }
        }
        compiled
    }
}
