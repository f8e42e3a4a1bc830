//! Differences as Markdown for a comment on a pull request, as GitHub and GitLab take it; never longer than they
//! take, and never lets what it shows become markup, a link or a mention.

use evenkeel_planner::Change;
use serde_json::Value;

use crate::style::safe;

/// GitHub takes 65,536 characters, GitLab a million.
const CHARACTERS_MAX: usize = 60_000;
/// For the end of a section and the note of what was left out.
const RESERVE: usize = 400;
/// Characters of one value, name or sentence.
const TEXT_MAX: usize = 300;

/// One service, collapsed until a reader opens it.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub name: String,
    /// Beside the name, in a few words.
    pub headline: String,
    pub changes: Vec<Change>,
    /// A label, and a sentence.
    pub lines: Vec<(&'static str, String)>,
}

/// A comment that is written from its top until it is full.
#[derive(Debug)]
pub(crate) struct Comment {
    text: String,
    characters: usize,
    services_left_out: usize,
    parts_left_out: usize,
}

impl Comment {
    pub(crate) fn new(title: &str, summary: &str) -> Self {
        let mut comment =
            Self { text: String::new(), characters: 0, services_left_out: 0, parts_left_out: 0 };
        comment.push(&format!("**{}**: {}\n\n", sentence(title), sentence(summary)));
        comment
    }

    pub(crate) fn section(&mut self, section: &Section) {
        let head = format!(
            "<details><summary>{}: {}</summary>\n\n",
            code(&section.name),
            sentence(&section.headline)
        );
        if !self.push(&head) {
            self.services_left_out += 1;
            return;
        }
        self.table(&section.changes);
        for (label, text) in &section.lines {
            self.part(&format!("- {label}: {}\n", sentence(text)));
        }
        self.close("\n</details>\n\n");
    }

    fn table(&mut self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        if !self.push("| field | old | new | effect |\n| --- | --- | --- | --- |\n") {
            self.parts_left_out += changes.len();
            return;
        }
        for change in changes {
            let (old, new) = (value(change.old.as_ref()), value(change.new.as_ref()));
            let (path, effect) = (code(&change.path), sentence(&change.effect));
            self.part(&format!("| {path} | {old} | {new} | {effect} |\n"));
        }
        self.close("\n");
    }

    /// A title and sentences below it; nothing when there are none.
    pub(crate) fn list(&mut self, title: &str, sentences: impl Iterator<Item = String>) {
        let mut sentences = sentences.peekable();
        if sentences.peek().is_none() || !self.push(&format!("{}:\n\n", sentence(title))) {
            self.parts_left_out += sentences.count();
            return;
        }
        for text in sentences {
            self.part(&format!("- {}\n", sentence(&text)));
        }
        self.close("\n");
    }

    /// The comment, with a note of what had no room.
    pub(crate) fn text(mut self) -> String {
        let (services, parts) = (self.services_left_out, self.parts_left_out);
        if services + parts > 0 {
            let note = format!(
                "*The comment is full. Left out: {services} services, and {parts} lines of those above. \
                 The output as text or JSON has them all.*\n"
            );
            self.close(&note);
        }
        self.text
    }

    fn part(&mut self, line: &str) {
        if !self.push(line) {
            self.parts_left_out += 1;
        }
    }

    /// Writes `block` when there is room for it and for the end.
    fn push(&mut self, block: &str) -> bool {
        let fits = self.characters + block.chars().count() + RESERVE <= CHARACTERS_MAX;
        if fits {
            self.close(block);
        }
        fits
    }

    fn close(&mut self, block: &str) {
        self.characters += block.chars().count();
        self.text.push_str(block);
    }
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "*not set*".to_owned(), |value| code(&value.to_string()))
}

/// GitHub and GitLab look for mentions and references outside of `<code>` only.
fn code(text: &str) -> String {
    format!("<code>{}</code>", entities(&shortened(text)))
}

/// Text between which no name is mentioned and no issue referred to: those are looked for after entities have
/// become characters, so that a space without width stands after their sign.
fn sentence(text: &str) -> String {
    let mut broken = String::new();
    for c in shortened(text).chars() {
        broken.push(c);
        if matches!(c, '@' | '#' | '!' | '&' | '~' | '$') {
            broken.push('\u{200b}');
        }
    }
    entities(&broken)
}

/// Every sign that could mean something in Markdown or HTML, as its number.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        let is_plain = c.is_ascii_alphanumeric() || matches!(c, ' ' | ',' | '.' | '-' | '/' | '%');
        if is_plain || !c.is_ascii() {
            out.push(c);
        } else {
            out.extend(["&#", &u32::from(c).to_string(), ";"]);
        }
    }
    out
}

/// On one line, and without characters that turn or hide what stands beside them.
fn shortened(text: &str) -> String {
    let shown = safe(text);
    let mut kept: String = shown.chars().filter(|c| !is_invisible(*c)).take(TEXT_MAX).collect();
    if shown.chars().nth(TEXT_MAX).is_some() {
        kept.push('…');
    }
    kept
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, new: &str) -> Change {
        let effect = "changes in place".to_owned();
        Change { path: path.to_owned(), old: None, new: Some(new.into()), effect }
    }

    fn section(name: &str, changes: Vec<Change>) -> Section {
        let lines = vec![("Next", "UpdateService: by @ops, see #7".to_owned())];
        Section { name: name.to_owned(), headline: "1 field differs".to_owned(), changes, lines }
    }

    #[test]
    fn a_section_is_a_table_that_opens() {
        let mut comment = Comment::new("Plan", "1 service: 1 with differences");
        comment.section(&section("prod/web", vec![change("service.desiredCount", "4")]));
        insta::assert_snapshot!(comment.text().replace('\u{200b}', "¤"), @"
        **Plan**: 1 service&#58; 1 with differences

        <details><summary><code>prod/web</code>: 1 field differs</summary>

        | field | old | new | effect |
        | --- | --- | --- | --- |
        | <code>service.desiredCount</code> | *not set* | <code>&#34;4&#34;</code> | changes in place |

        - Next: UpdateService&#58; by &#64;¤ops, see &#35;¤7

        </details>
        ");
    }

    #[test]
    fn what_is_shown_breaks_out_of_nothing() {
        let hostile = "a|b\n</details><script>`x` *y* _z_ [l](http://h) @all \\| \u{202e}";
        let mut comment = Comment::new(hostile, hostile);
        let mut one = section(hostile, vec![change(hostile, hostile)]);
        one.lines.push(("Waits", hostile.to_owned()));
        comment.section(&one);
        comment.list("Problems", std::iter::once(hostile.to_owned()));
        let text = comment.text();
        for wrong in ["script>", "`", "[l]", "@", "_z_", "*y*", "http:", "\\", "\u{202e}", "a|b"] {
            assert!(!text.contains(wrong), "{wrong} in {text}");
        }
        assert_eq!(text.matches("</details>").count(), 1);
        let row = text.lines().find(|line| line.contains("changes in place")).unwrap_or_default();
        assert_eq!(row.matches('|').count(), 5, "{row}");
    }

    #[test]
    fn a_comment_is_never_longer_than_it_may_be_and_says_what_was_left_out() {
        let many = |count: usize| {
            (0..count).map(|n| change(&format!("field{n}"), &"\"".repeat(400))).collect::<Vec<_>>()
        };
        let mut comment = Comment::new("Plan", "many");
        (0..300).for_each(|n| comment.section(&section(&format!("prod/web-{n}"), many(n))));
        comment.list("Problems", (0..300).map(|n| format!("problem {n}")));
        let text = comment.text();
        assert!(text.chars().count() <= CHARACTERS_MAX, "{}", text.chars().count());
        assert!(text.contains("The comment is full. Left out: "));
        assert_eq!(text.matches("<details>").count(), text.matches("</details>").count());
    }

    #[test]
    fn a_short_comment_leaves_nothing_out() {
        let mut comment = Comment::new("Plan", "one");
        comment.section(&section("prod/web", vec![change("a", "b")]));
        assert!(!comment.text().contains("Left out"));
    }
}
