use std::fmt::Write as _;

use super::*;

fn read(text: &str, limits: &Limits) -> Read {
    super::read("test.yaml", text, limits)
}

fn root(text: &str) -> Node {
    let read = read(text, &Limits::default());
    assert!(read.stopped.is_none(), "{:?}", read.stopped);
    read.documents.into_iter().next().expect("a document").root
}

/// The tree without positions, in one line.
fn show(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "null".to_owned(),
        Kind::Boolean(yes) => yes.to_string(),
        Kind::Integer(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::String(text) => format!("{text:?}"),
        Kind::List(elements) => {
            format!("[{}]", elements.iter().map(show).collect::<Vec<_>>().join(" "))
        }
        Kind::Mapping(entries) => {
            let entry = |entry: &Entry| format!("{}:{}", entry.name, show(&entry.value));
            format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(" "))
        }
    }
}

fn stopped(text: &str, limits: &Limits) -> String {
    let fault = read(text, limits).stopped.expect("a fault");
    format!("{}:{}: {}", fault.position.line, fault.position.column, fault.message)
}

fn faults(text: &str) -> Vec<String> {
    let read = read(text, &Limits::default());
    let fault = |fault: &Fault| {
        format!("{}:{}: {}", fault.position.line, fault.position.column, fault.message)
    };
    read.documents.iter().flat_map(|document| document.faults.iter().map(fault)).collect()
}

#[test]
fn reads_yaml_and_json_into_the_same_tree() {
    let yaml = "a: 1\nb:\n  - x\n  - {c: true}\n";
    let json = "{\n\t\"a\": 1,\n\t\"b\": [\"x\", {\"c\": true}]\n}\n";
    assert_eq!(show(&root(yaml)), r#"{a:1 b:["x" {c:true}]}"#);
    assert_eq!(show(&root(json)), show(&root(yaml)));
}

#[test]
fn reads_the_escapes_of_json() {
    assert_eq!(
        show(&root(r#"{"a": "\ud83d\ude00 \/ \u00e9 \\ud83d"}"#)),
        r#"{a:"😀 / é \\ud83d"}"#
    );
}

#[test]
fn every_node_knows_its_place() {
    let root = root("# comment\na:\n  b: [1,\n    é, 2]\n");
    let Kind::Mapping(entries) = &root.kind else { panic!("{root:?}") };
    let Kind::Mapping(inner) = &entries[0].value.kind else { panic!("{root:?}") };
    assert_eq!(inner[0].position, Position { line: 3, column: 3 });
    let Kind::List(elements) = &inner[0].value.kind else { panic!("{root:?}") };
    assert_eq!(elements[2].position, Position { line: 4, column: 8 });
}

#[test]
fn a_repeated_name_is_a_fault_that_names_the_first() {
    assert_eq!(faults("a: 1\nb: 2\na: 3\n"), ["3:1: `a` is already written on line 1"]);
}

#[test]
fn aliases_and_merges_are_expanded_and_written_members_win() {
    let text = "base: &base {a: 1, b: 2}\nuse:\n  <<: *base\n  b: 3\nagain: *base\n";
    assert_eq!(show(&root(text)), "{base:{a:1 b:2} use:{b:3 a:1} again:{a:1 b:2}}");
    let text = "one: &one {a: 1}\ntwo: &two {a: 2, b: 2}\nuse: {<<: [*one, *two]}\n";
    assert_eq!(show(&root(text)), "{one:{a:1} two:{a:2 b:2} use:{a:1 b:2}}");
    assert_eq!(faults("a: {<<: 1}\n"), ["1:5: `<<` merges a mapping or a list of mappings"]);
}

#[test]
fn an_alias_bomb_stops_at_the_limit_before_memory_does() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = level - 1;
        let aliases = vec![format!("*a{below}"); 10].join(", ");
        let _infallible = writeln!(text, "a{level}: &a{level} [{aliases}]");
    }
    let message = stopped(&text, &Limits::default());
    assert!(message.contains("more than 100000 values, aliases counted as repeated"), "{message}");
}

#[test]
fn a_large_scalar_cannot_be_multiplied_by_aliases() {
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(200_000), vec!["*a"; 1000].join(", "));
    let message = stopped(&text, &Limits::default());
    assert!(message.contains("more than 4194304 bytes"), "{message}");
}

#[test]
fn nested_anchors_cannot_multiply_what_they_hold() {
    let inner = vec!["x"; 40_000].join(", ");
    let text = format!("&a [&b [&c [{inner}]]]\n");
    let message = stopped(&text, &Limits::default());
    assert!(message.contains("more than 100000 values under nested anchors"), "{message}");
}

#[test]
fn an_alias_to_itself_is_refused() {
    let message = stopped("a: &a [*a]\n", &Limits::default());
    assert_eq!(message, "1:8: this alias is inside of what it repeats");
}

#[test]
fn depth_size_and_count_have_limits() {
    let limits = Limits { depth: 3, nodes: 10, scalar_bytes: 8, documents: 2, ..Limits::default() };
    assert_eq!(stopped("[[[[1]]]]", &limits), "1:4: nested more than 3 levels deep");
    assert_eq!(
        stopped("[1,2,3,4,5,6,7,8,9,10]", &limits),
        "1:20: more than 10 values, aliases counted as repeated"
    );
    assert_eq!(stopped("a: 123456789", &limits), "1:4: a single value is larger than 8 bytes");
    let three = read("a\n---\nb\n---\nc\n", &limits);
    assert_eq!(three.documents.len(), 2);
    assert_eq!(three.stopped.unwrap().message, "more than 2 documents in one file");
}

#[test]
fn thousands_of_open_brackets_are_a_fault_and_not_a_crash() {
    for open in ["[", "{", "- ", "? ", "{a: ", "!!x ", "&a "] {
        let read = read(&open.repeat(50_000), &Limits::default());
        assert!(read.stopped.is_some(), "{open}");
    }
}

#[test]
fn documents_before_a_syntax_error_are_kept() {
    let read = read("a: 1\n---\nb: [1\n---\nc: 2\n", &Limits::default());
    assert_eq!(read.documents.len(), 1);
    let fault = read.stopped.unwrap();
    assert!(fault.position.line >= 3 && fault.message.starts_with("not valid YAML: "), "{fault:?}");
}

#[test]
fn unknown_tags_are_refused_and_core_tags_obeyed() {
    assert_eq!(show(&root("a: !!str 1\n")), r#"{a:"1"}"#);
    assert_eq!(faults("a: !Ref x\n").len(), 1);
    assert_eq!(faults("a: !Sub [x]\n").len(), 1);
    assert_eq!(faults("a: !!int x\n").len(), 1);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    assert_eq!(show(&root("\u{feff}a: 1\n")), "{a:1}");
}
