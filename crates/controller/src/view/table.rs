//! Services as a table, one line each; never wider than it must be.

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::{Mood, ServiceView, age, short};
use crate::style::{self, paint, safe};

/// The last one is shown only where several replicas run.
const COLUMNS: [&str; 8] =
    ["SERVICE", "READY", "CONDITION", "REVISION", "TASKS", "ROLLOUT", "SEEN", "REPLICA"];

/// A line a service, with colours by mood.
pub(crate) fn table(services: &[ServiceView], now: Timestamp) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let replicas = services.iter().any(|service| service.replica.is_some());
    let columns = if replicas { COLUMNS.len() } else { COLUMNS.len() - 1 };
    table.set_header(COLUMNS.iter().take(columns));
    for service in services {
        table.add_row(row(service, now).into_iter().take(columns));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    let moods = services.iter().map(|service| Some(service.mood()));
    std::iter::once(None).chain(moods).zip(lines).map(coloured).collect()
}

/// Colours are put on whole lines, because a table measures what is put into its cells.
fn coloured((mood, line): (Option<Mood>, String)) -> String {
    let line = match mood {
        None => paint(style::TITLE, line),
        Some(Mood::Good) => line,
        Some(Mood::Careful) => paint(style::CAREFUL, line),
        Some(Mood::Bad) => paint(style::BAD, line),
    };
    line + "\n"
}

fn row(service: &ServiceView, now: Timestamp) -> [String; 8] {
    let ready = service.condition("Ready").map_or("-", |condition| condition.status.as_str());
    let headline = service.headline().map_or("-", |condition| condition.reason.as_str());
    let rollout = service.rollout.as_ref().map_or_else(
        || "-".to_owned(),
        |rollout| format!("{} {}/{}", rollout.phase, rollout.running_count, rollout.desired_count),
    );
    [
        safe(&service.name()).into_owned(),
        safe(ready).into_owned(),
        safe(headline).into_owned(),
        service.wanted.as_deref().map_or_else(|| "-".to_owned(), |digest| short(&safe(digest))),
        format!("{}/{}", service.running_count, service.desired_count),
        safe(&rollout).into_owned(),
        age(service.observed_at, now),
        service.replica.as_deref().map_or_else(|| "-".to_owned(), |name| safe(name).into_owned()),
    ]
}
