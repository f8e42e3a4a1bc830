//! A lease record as an item of `DynamoDB` and back; never makes sense of an item that is not one.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use evenkeel_reconciler::LeaseRecord;

pub(super) type Item = HashMap<String, AttributeValue>;

/// The partition key.
pub(super) const INSTALLATION: &str = "installation";
/// The sort key: the record's name.
pub(super) const RECORD: &str = "record";
const HOLDER: &str = "holder";
const EPOCH: &str = "epoch";
const BEAT: &str = "beat";
const VERSION: &str = "version";

pub(super) fn key(installation: &str, name: &str) -> Item {
    [(INSTALLATION, text(installation)), (RECORD, text(name))].map(owned).into()
}

pub(super) fn item(installation: &str, name: &str, record: &LeaseRecord) -> Item {
    let mut item = key(installation, name);
    item.extend(members(record).map(owned));
    item
}

/// The name and the record of an item, or which attribute of it is wrong.
pub(super) fn record(item: &Item) -> Result<(String, LeaseRecord), String> {
    let name = read_text(item, RECORD).ok_or("an item has no text `record`")?;
    let wrong = |attribute: &str| format!("the item `{name}` has no proper `{attribute}`");
    let record = LeaseRecord {
        holder: read_text(item, HOLDER).ok_or_else(|| wrong(HOLDER))?,
        epoch: read_number(item, EPOCH).ok_or_else(|| wrong(EPOCH))?,
        beat: read_number(item, BEAT).ok_or_else(|| wrong(BEAT))?,
        version: read_number(item, VERSION).ok_or_else(|| wrong(VERSION))?,
    };
    Ok((name, record))
}

/// What must be stored for a write to be carried out. The names of attributes are spelled out
/// because `DynamoDB` reserves words.
#[derive(Debug)]
pub(super) struct Condition {
    pub(super) expression: &'static str,
    pub(super) names: HashMap<String, String>,
    pub(super) values: Option<Item>,
}

impl Condition {
    /// `None`: nothing is stored.
    pub(super) fn new(expected: Option<&LeaseRecord>) -> Self {
        let Some(expected) = expected else {
            let names = [("#r".to_owned(), RECORD.to_owned())].into();
            return Self { expression: "attribute_not_exists(#r)", names, values: None };
        };
        let members = members(expected);
        let names = members.iter().map(|(name, _)| (format!("#{name}"), (*name).to_owned()));
        Self {
            expression: "#holder = :holder AND #epoch = :epoch AND #beat = :beat AND #version = :version",
            names: names.collect(),
            values: Some(members.map(|(name, value)| (format!(":{name}"), value)).into()),
        }
    }
}

fn members(record: &LeaseRecord) -> [(&'static str, AttributeValue); 4] {
    [
        (HOLDER, text(&record.holder)),
        (EPOCH, AttributeValue::N(record.epoch.to_string())),
        (BEAT, AttributeValue::N(record.beat.to_string())),
        (VERSION, AttributeValue::N(record.version.to_string())),
    ]
}

fn owned((name, value): (&str, AttributeValue)) -> (String, AttributeValue) {
    (name.to_owned(), value)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn read_text(item: &Item, attribute: &str) -> Option<String> {
    item.get(attribute)?.as_s().ok().cloned()
}

fn read_number<T: std::str::FromStr>(item: &Item, attribute: &str) -> Option<T> {
    item.get(attribute)?.as_n().ok()?.parse().ok()
}
