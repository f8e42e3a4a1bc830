//! A variable is set in the text of an environment, keeps its type, and nothing else differs.

use evenkeel_manifest::{File, SetVariableError, VariableTarget, set_variable};
use proptest::prelude::*;
use proptest::sample::select;

const ENVIRONMENTS: &str = "\
# All of them.
apiVersion: evenkeel.dev/v1
kind: Environment
metadata: {name: staging}
spec:
  vars:
    tag: 1.4.2         # by CI
    quoted: '1.10'
    replicas: 2
    ratio: 0.5
    fast: true
    list: [1]
---
apiVersion: evenkeel.dev/v1
kind: Environment
metadata: {name: prod}
spec: {vars: {tag: 1.4.1, \"words\": \"a \u{f6} b\"}}
";

fn set(target: &str, value: &str) -> Result<String, SetVariableError> {
    let file = File { name: "all.yaml".into(), text: ENVIRONMENTS.to_owned() };
    let target = VariableTarget::parse(target).expect("a target");
    set_variable(&file, &target, value).map(|change| change.text)
}

#[test]
fn the_value_alone_changes_and_keeps_its_quotes() {
    for (target, value, old, new) in [
        ("staging/tag", "1.5.0-rc.1", "tag: 1.4.2  ", "tag: 1.5.0-rc.1  "),
        ("staging/tag", "1.5", "tag: 1.4.2  ", "tag: \"1.5\"  "),
        ("staging/tag", "a: b #c", "tag: 1.4.2  ", "tag: \"a: b #c\"  "),
        ("staging/quoted", "1.20", "'1.10'", "'1.20'"),
        ("staging/replicas", "10", "replicas: 2", "replicas: 10"),
        ("staging/ratio", "1", "ratio: 0.5", "ratio: 1"),
        ("staging/fast", "false", "fast: true", "fast: false"),
        ("prod/tag", "1.4.2", "tag: 1.4.1", "tag: 1.4.2"),
        ("prod/words", "c", "\"a \u{f6} b\"", "\"c\""),
        ("prod/tag", "1.4.1", "", ""),
    ] {
        let expected = ENVIRONMENTS.replacen(old, new, 1);
        assert_eq!(set(target, value), Ok(expected), "{target} {value}");
    }
}

#[test]
fn what_is_not_there_or_of_another_type_is_refused() {
    let refused = |target: &str, value: &str| set(target, value).expect_err("refused").to_string();
    let all = [
        refused("tag", "2"),
        refused("stagin/tag", "2"),
        refused("staging/tga", "2"),
        refused("staging/replicas", "two"),
        refused("staging/fast", "1"),
        refused("staging/list", "1"),
        refused("staging/tag", "it's"),
    ];
    insta::assert_snapshot!(all.join("\n"));
}

proptest! {
    #[test]
    fn every_edit_can_be_undone(
        (target, old) in select(vec![("staging/tag", "1.4.2"), ("staging/quoted", "1.10"), ("prod/words", "a \u{f6} b")]),
        value in "[ -~&&[^'\"\\\\]]{1,12}",
    ) {
        let text = set(target, &value);
        prop_assert!(text.is_ok(), "{:?}", text);
        let file = File { name: "all.yaml".into(), text: text.unwrap_or_default() };
        let target = VariableTarget::parse(target).expect("a target");
        let back = set_variable(&file, &target, old);
        prop_assert_eq!(back.as_ref().map(|change| change.old.clone()), Ok(value));
        // A value that needed quotes leaves them behind.
        let back = back.map(|change| change.text.replace("\"1.4.2\"", "1.4.2"));
        prop_assert_eq!(back, Ok(ENVIRONMENTS.to_owned()));
    }
}
