//! Conditions and values in the config: minijinja's expressions and templates over an alarm.
//!
//! What always holds: a name that no alarm has is found at load, not in the night; work is bounded by
//! fuel; what is missing is undefined, and false; no error repeats a value.

use minijinja::{Environment, Expression as Compiled, UndefinedBehavior, Value};
use std::sync::{Arc, OnceLock};

/// Steps that one expression or template may take.
const FUEL: u64 = 20_000;

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_fuel(Some(FUEL));
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    // Fields are plain text, whatever their names end in.
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment
}

/// One for all expressions, so that they can be kept compiled.
fn shared() -> &'static Environment<'static> {
    static SHARED: OnceLock<Environment<'static>> = OnceLock::new();
    SHARED.get_or_init(environment)
}

/// A compiled expression.
#[derive(Clone, Debug)]
pub struct Expression {
    text: String,
    compiled: Arc<Compiled<'static, 'static>>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Expression {
    /// Compiles it; `names` are all that it may speak of.
    ///
    /// # Errors
    /// It is no expression, or speaks of something else.
    pub fn new(text: &str, names: &[&str]) -> Result<Self, String> {
        let compiled = shared().compile_expression_owned(text.to_owned());
        let compiled = compiled.map_err(|error| format!("is no expression: {error}"))?;
        known(compiled.undeclared_variables(false), names)?;
        // Only a run finds a filter or test that there is not.
        if let Err(error) = compiled.eval(Value::UNDEFINED)
            && is_unknown(&error)
        {
            return Err(format!("is no expression: {error}"));
        }
        Ok(Self { text: text.to_owned(), compiled: Arc::new(compiled) })
    }

    /// Is it true? What cannot be said is false.
    pub fn holds(&self, around: &Value) -> bool {
        self.compiled.eval(around.clone()).is_ok_and(|value| value.is_true())
    }

    /// Its value as text; none where it is missing, empty, or cannot be said.
    pub fn text(&self, around: &Value) -> Option<String> {
        let value = self.compiled.eval(around.clone()).ok()?;
        let missing = value.is_undefined() || value.is_none();
        (!missing).then(|| value.to_string()).filter(|text| !text.trim().is_empty())
    }
}

/// A compiled text with `{{ expressions }}` in it.
#[derive(Clone, Debug)]
pub struct Template {
    text: String,
    environment: Arc<Environment<'static>>,
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// The one template in its environment.
const NAME: &str = "field";

impl Template {
    /// Compiles it; `names` are all that it may speak of.
    ///
    /// # Errors
    /// It is no template, or speaks of something else.
    pub fn new(text: &str, names: &[&str]) -> Result<Self, String> {
        let mut own = environment();
        let added = own.add_template_owned(NAME, text.to_owned());
        added.map_err(|error| format!("is no template: {error}"))?;
        {
            let template = own.get_template(NAME).map_err(|error| error.to_string())?;
            known(template.undeclared_variables(false), names)?;
            if let Err(error) = template.render(Value::UNDEFINED)
                && is_unknown(&error)
            {
                return Err(format!("is no template: {error}"));
            }
        }
        Ok(Self { text: text.to_owned(), environment: Arc::new(own) })
    }

    /// The text; none where it is empty or cannot be said.
    pub fn text(&self, around: &Value) -> Option<String> {
        let template = self.environment.get_template(NAME).ok()?;
        template.render(around.clone()).ok().filter(|text| !text.trim().is_empty())
    }
}

fn known(used: impl IntoIterator<Item = String>, names: &[&str]) -> Result<(), String> {
    let globals: Vec<_> = shared().globals().map(|(name, _)| name.to_owned()).collect();
    for name in used {
        if !names.contains(&name.as_str()) && !globals.contains(&name) {
            return Err(format!("speaks of {name:?}; known: {}", names.join(", ")));
        }
    }
    Ok(())
}

fn is_unknown(error: &minijinja::Error) -> bool {
    use minijinja::ErrorKind::{UnknownFilter, UnknownFunction, UnknownMethod, UnknownTest};
    matches!(error.kind(), UnknownFilter | UnknownFunction | UnknownMethod | UnknownTest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    #[test]
    fn what_no_alarm_has_is_found_at_load() {
        for (text, says) in [
            ("sevrity == 'major'", "sevrity"),
            ("severity ==", "no expression"),
            ("severity | shuffled", "shuffled"),
        ] {
            let error = Expression::new(text, &["severity", "object"]).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
        assert!(Template::new("{{ objekt }}", &["object"]).unwrap_err().contains("objekt"));
        assert!(Template::new("{{ object", &["object"]).is_err());
    }

    #[test]
    fn what_is_missing_is_false_and_no_text() {
        let names = ["severity", "properties"];
        let around = context! { severity => "major", properties => context! { site => "north" } };
        let holds = |text| Expression::new(text, &names).unwrap().holds(&around);
        assert!(holds("severity in ['major', 'critical'] and properties.site == 'north'"));
        assert!(!holds("properties.floor.room"));
        let text = |text| Expression::new(text, &names).unwrap().text(&around);
        assert_eq!(text("properties.site ~ '/1'").as_deref(), Some("north/1"));
        assert_eq!(text("properties.floor"), None);
        let written = Template::new("{{ severity | upper }} at {{ properties.site }}", &names);
        assert_eq!(written.unwrap().text(&around).as_deref(), Some("MAJOR at north"));
    }

    #[test]
    fn work_is_bounded() {
        let long = "[x for x in []]";
        assert!(Expression::new(long, &[]).is_err(), "no comprehensions");
        let endless = Template::new(
            "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}",
            &[],
        );
        assert_eq!(endless.unwrap().text(&Value::UNDEFINED), None);
    }
}
