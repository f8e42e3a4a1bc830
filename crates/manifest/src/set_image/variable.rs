//! A variable of an environment replaced in its text, as images are; never one that is not there, and never
//! its type.

use std::sync::Arc;

use super::{SetImageError, proved, read_whole, scalar};
use crate::envelope::{Recognised, recognise};
use crate::node::{Cursor, Kind};
use crate::reader::plain_kind;
use crate::{File, spelling};

/// `NAME`, or `ENVIRONMENT/NAME` where a file has several environments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableTarget {
    pub environment: Option<String>,
    pub name: String,
}

/// What one replacement comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VariableChange {
    pub file: Arc<str>,
    /// 1-based.
    pub line: usize,
    /// 1-based, in characters.
    pub column: usize,
    pub environment: String,
    pub old: String,
    /// The whole text of the file with the new value in it; the same when that was there already.
    pub text: String,
}

/// Why a variable was not replaced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetVariableError {
    #[error("{file} has no environment{suggestion}")]
    NoEnvironment { file: String, suggestion: String },
    #[error("{file} has several environments: say {choices}")]
    SeveralEnvironments { file: String, choices: String },
    #[error("the environment `{environment}` has no variable `{name}`{suggestion}")]
    NoVariable { environment: String, name: String, suggestion: String },
    #[error("the variable `{name}` is {kind}, and `{value}` is none: change that by hand")]
    Type { name: String, kind: &'static str, value: String },
    #[error("a value has no quotes, backslashes and control characters in it: write it by hand")]
    Characters,
    #[error(transparent)]
    Text(#[from] SetImageError),
}

impl VariableTarget {
    /// `None` for a text with an empty name, or with more than two.
    pub fn parse(text: &str) -> Option<Self> {
        let (environment, name) = match text.split_once('/') {
            Some((environment, name)) => (Some(environment), name),
            None => (None, text),
        };
        let is_empty = name.is_empty() || environment == Some("") || name.contains('/');
        let environment = environment.map(str::to_owned);
        (!is_empty).then(|| Self { environment, name: name.to_owned() })
    }
}

/// Replaces the value of a variable of an environment in `file`. It keeps its type, and every other byte
/// stays.
pub fn set_variable(
    file: &File,
    target: &VariableTarget,
    value: &str,
) -> Result<VariableChange, SetVariableError> {
    if value.contains(|c: char| c.is_control() || "'\"\\".contains(c)) {
        return Err(SetVariableError::Characters);
    }
    let read = read_whole(file)?;
    let roots = read.documents.iter().map(|document| Cursor::root(&file.name, &document.root));
    let all: Vec<Cursor<'_>> =
        roots.filter(|root| recognise(root) == Recognised::Environment).collect();
    let (environment, root) = the_environment(&all, target, file)?;
    let at = the_variable(&root, environment, target)?;
    let position = at.node.position;
    let (new, old) = (typed(&at.node.kind, target, value)?, written(&at));
    let text = if old == value {
        file.text.clone()
    } else {
        let text = match &at.node.kind {
            Kind::String(old) => scalar::replace(&file.text, position, old, value),
            _ => scalar::replace_plain(&file.text, position, value),
        };
        proved(file, text, position, &new)?
    };
    let (line, column) = (position.line, position.column);
    let (file, environment) = (Arc::clone(&file.name), environment.to_owned());
    Ok(VariableChange { file, line, column, environment, old, text })
}

fn the_environment<'a>(
    all: &[Cursor<'a>],
    target: &VariableTarget,
    file: &File,
) -> Result<(&'a str, Cursor<'a>), SetVariableError> {
    let name = |root: &Cursor<'a>| root.member("metadata")?.text_of("name");
    let known: Vec<&str> = all.iter().filter_map(name).collect();
    let meant = |root: &&Cursor<'a>| {
        target.environment.is_none() || name(root) == target.environment.as_deref()
    };
    let file = file.name.to_string();
    match all.iter().filter(meant).collect::<Vec<_>>().as_slice() {
        [one] => Ok((name(one).unwrap_or_default(), (*one).clone())),
        [] => {
            let asked = target.environment.as_deref();
            let suggestion =
                asked.map(|asked| format!(" `{asked}`{}", spelling::suggestion(asked, &known)));
            let suggestion = suggestion.unwrap_or_default();
            Err(SetVariableError::NoEnvironment { file, suggestion })
        }
        _ => {
            let choices: Vec<String> =
                known.iter().map(|known| format!("{known}/{}", target.name)).collect();
            let choices: Vec<&str> = choices.iter().map(String::as_str).collect();
            let choices = spelling::choices(&choices);
            Err(SetVariableError::SeveralEnvironments { file, choices })
        }
    }
}

fn the_variable<'a>(
    root: &Cursor<'a>,
    environment: &str,
    target: &VariableTarget,
) -> Result<Cursor<'a>, SetVariableError> {
    let vars = root.descendant("spec.vars");
    let found = vars.as_ref().and_then(|vars| vars.member(&target.name));
    found.ok_or_else(|| {
        let names: Vec<&str> =
            vars.iter().flat_map(Cursor::members).map(|(name, _)| name).collect();
        SetVariableError::NoVariable {
            environment: environment.to_owned(),
            name: target.name.clone(),
            suggestion: spelling::suggestion(&target.name, &names),
        }
    })
}

/// The new value in the type of the old one: a manifest may count on it.
fn typed(old: &Kind, target: &VariableTarget, value: &str) -> Result<Kind, SetVariableError> {
    let number = |kind: &Kind| matches!(kind, Kind::Integer(_) | Kind::Float(_));
    let new = plain_kind(value);
    match old {
        Kind::String(_) => Ok(Kind::String(value.into())),
        Kind::Boolean(_) if matches!(new, Kind::Boolean(_)) => Ok(new),
        old if number(old) && number(&new) => Ok(new),
        old => Err(SetVariableError::Type {
            name: target.name.clone(),
            kind: old.noun(),
            value: value.to_owned(),
        }),
    }
}

fn written(at: &Cursor<'_>) -> String {
    match at.node.kind {
        Kind::Boolean(yes) => yes.to_string(),
        _ => at.scalar_text().unwrap_or_default(),
    }
}
