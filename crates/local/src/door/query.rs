//! Reads the AWS Query protocol: a form with dotted names becomes a JSON document; never replies.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::members::{Kind, is_list, kind};

/// Dots in one name: AWS's deepest input has 10.
const DEPTH_LIMIT: usize = 24;

/// A value of the form, or the values below a name.
#[derive(Debug)]
enum Node {
    Leaf(String),
    Branch(BTreeMap<String, Node>),
}

/// The form's members but `Action` and `Version`, as JSON in AWS's member names.
pub(super) fn document(form: &[(String, String)]) -> Result<Value, String> {
    let mut root = BTreeMap::new();
    for (name, text) in form.iter().filter(|(name, _)| name != "Action" && name != "Version") {
        if name.split('.').count() > DEPTH_LIMIT {
            return Err(format!("The parameter name {name} is nested too deeply"));
        }
        plant(&mut root, name, text)?;
    }
    structure("", "", root)
}

fn plant(branch: &mut BTreeMap<String, Node>, name: &str, text: &str) -> Result<(), String> {
    let Some((head, rest)) = name.split_once('.') else {
        branch.insert(name.to_owned(), Node::Leaf(text.to_owned()));
        return Ok(());
    };
    match branch.entry(head.to_owned()).or_insert_with(|| Node::Branch(BTreeMap::new())) {
        Node::Branch(below) => plant(below, rest, text),
        Node::Leaf(_) => Err(format!("{head} is given both as a value and as a structure")),
    }
}

/// `parent` names the structure, `grandparent` the one around it: a list's elements belong to the
/// list's name.
fn structure(
    grandparent: &str,
    parent: &str,
    members: BTreeMap<String, Node>,
) -> Result<Value, String> {
    if let Some(elements) = list_elements(&members) {
        return list(grandparent, parent, elements, members);
    }
    let mut object = Map::new();
    for (name, node) in members {
        let value = value(parent, &name, node)?;
        object.insert(name, value);
    }
    Ok(Value::Object(object))
}

fn value(parent: &str, name: &str, node: Node) -> Result<Value, String> {
    match node {
        Node::Leaf(text) if text.is_empty() && is_list(name) => Ok(json!([])),
        Node::Leaf(text) => scalar(kind(parent, name), name, &text),
        Node::Branch(below) => structure(parent, name, below),
    }
}

/// The positions of a list's elements in order, if `members` is `{member: {1: …, 2: …}}`.
fn list_elements(members: &BTreeMap<String, Node>) -> Option<Vec<(u32, String)>> {
    let mut only = members.iter();
    let (Some((name, Node::Branch(elements))), None) = (only.next(), only.next()) else {
        return None;
    };
    if name != "member" {
        return None;
    }
    let mut order: Vec<(u32, String)> = elements
        .keys()
        .map(|position| position.parse().map(|number| (number, position.clone())))
        .collect::<Result<_, _>>()
        .ok()?;
    order.sort_unstable();
    Some(order)
}

fn list(
    grandparent: &str,
    name: &str,
    order: Vec<(u32, String)>,
    mut members: BTreeMap<String, Node>,
) -> Result<Value, String> {
    let Some(Node::Branch(mut elements)) = members.remove("member") else {
        return Ok(json!([]));
    };
    let values = order
        .into_iter()
        .filter_map(|(_, position)| elements.remove(&position))
        .map(|node| value(grandparent, name, node));
    Ok(Value::Array(values.collect::<Result<_, _>>()?))
}

fn scalar(kind: Kind, name: &str, text: &str) -> Result<Value, String> {
    let refused = |what: &str| format!("The value '{text}' of {name} is not {what}");
    match kind {
        Kind::Text => Ok(json!(text)),
        Kind::Whole => text.parse::<i64>().map(|n| json!(n)).map_err(|_| refused("an integer")),
        Kind::Decimal => text.parse::<f64>().map(|n| json!(n)).map_err(|_| refused("a number")),
        Kind::Flag => text.parse::<bool>().map(|b| json!(b)).map_err(|_| refused("true or false")),
        Kind::Time => epoch_seconds(text).map(|n| json!(n)).ok_or_else(|| refused("a time")),
    }
}

/// ISO 8601 or seconds since the epoch: clients send both.
fn epoch_seconds(text: &str) -> Option<f64> {
    let parsed = text.parse::<Timestamp>().ok();
    parsed.map(|time| time.as_duration().as_secs_f64()).or_else(|| text.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: &str) -> Result<Value, String> {
        let pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        document(&pairs)
    }

    #[test]
    fn nested_lists_and_structures_take_their_places() {
        let form = "Action=CreateListener&Version=2015-12-01&Port=80\
            &DefaultActions.member.1.Type=forward\
            &DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.TargetGroupArn=b\
            &DefaultActions.member.1.ForwardConfig.TargetGroups.member.2.Weight=10\
            &DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.TargetGroupArn=a\
            &DefaultActions.member.1.ForwardConfig.TargetGroups.member.1.Weight=90";
        let expected = json!({
            "Port": 80,
            "DefaultActions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": [
                {"TargetGroupArn": "a", "Weight": 90}, {"TargetGroupArn": "b", "Weight": 10}]}}]
        });
        assert_eq!(read(form), Ok(expected));
    }

    #[test]
    fn ten_elements_stay_in_order() {
        let form: Vec<String> = (1..=10).map(|n| format!("Names.member.{n}=n{n}")).collect();
        let names: Vec<String> = (1..=10).map(|n| format!("n{n}")).collect();
        assert_eq!(read(&form.join("&")), Ok(json!({ "Names": names })));
    }

    #[test]
    fn a_redirect_s_port_is_text_and_a_target_s_is_a_number() {
        let form = "Actions.member.1.RedirectConfig.Port=443&Targets.member.1.Port=8080";
        let expected = json!({
            "Actions": [{"RedirectConfig": {"Port": "443"}}], "Targets": [{"Port": 8080}]
        });
        assert_eq!(read(form), Ok(expected));
    }

    #[test]
    fn a_datum_s_value_is_a_number_and_its_dimension_s_is_text() {
        let form = "MetricData.member.1.Value=5&MetricData.member.1.Dimensions.member.1.Value=5\
            &MetricData.member.1.Timestamp=1970-01-01T00:01:00Z";
        let expected = json!({"MetricData": [
            {"Value": 5.0, "Timestamp": 60.0, "Dimensions": [{"Value": "5"}]}]});
        assert_eq!(read(form), Ok(expected));
    }

    #[test]
    fn a_condition_s_values_are_text() {
        let form = "Conditions.member.1.PathPatternConfig.Values.member.1=1.5";
        let expected = json!({"Conditions": [{"PathPatternConfig": {"Values": ["1.5"]}}]});
        assert_eq!(read(form), Ok(expected));
    }

    #[test]
    fn an_empty_value_of_a_list_is_an_empty_list() {
        assert_eq!(read("Targets=&Name="), Ok(json!({"Targets": [], "Name": ""})));
    }

    #[test]
    fn what_is_not_a_number_is_refused_with_its_name() {
        let refused = read("PageSize=many").unwrap_err();
        assert_eq!(refused, "The value 'many' of PageSize is not an integer");
    }

    #[test]
    fn a_name_nested_without_end_is_refused() {
        let deep = vec!["A"; 5000].join(".");
        assert!(read(&format!("{deep}=x")).is_err());
        assert!(read("A=1&A.B=2").is_err());
    }
}
