//! Commands of people to a daemon, as the built binary says them and shows what comes back.

use std::io::{BufRead, BufReader, Write};

use serde_json::Value;

use super::{GOOD, Running, code, directory, evenkeel, run, stderr, stdout};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A daemon that answers one request with this, and what it was asked.
pub(crate) fn answering(
    status: &'static str,
    body: &'static str,
) -> (String, std::thread::JoinHandle<String>) {
    answering_in_turn(vec![(status, body)])
}

/// As [`answering`], one answer a request; gives the requests in a row.
fn answering_in_turn(
    answers: Vec<(&'static str, &'static str)>,
) -> (String, std::thread::JoinHandle<String>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", listener.local_addr().unwrap());
    let asked = std::thread::spawn(move || {
        answers.into_iter().map(|(status, body)| answer(&listener, status, body)).collect()
    });
    (server, asked)
}

fn answer(listener: &std::net::TcpListener, status: &str, body: &str) -> String {
    let (mut stream, _) = listener.accept().unwrap();
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        let is_end = line.trim().is_empty();
        request.push_str(&line);
        if is_end {
            break;
        }
    }
    let mut sent = vec![0; length];
    std::io::Read::read_exact(&mut reader, &mut sent).unwrap();
    request.push_str(&String::from_utf8(sent).unwrap());
    let length = body.len();
    let answer =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).unwrap();
    request
}

#[test]
fn a_command_is_said_with_the_token_and_its_answer_is_shown() {
    let dir = directory(&[("token", TOKEN)]);
    let followed = r#"{"service": "prod/web", "changed": true, "sentence": "the gate opens"}"#;
    let (server, asked) = answering("200 OK", followed);
    let arguments = [
        "rollout",
        "promote",
        "prod/web",
        "--comment",
        "looks good",
        "--who",
        "ann",
        "--full",
        "--token-file",
        "token",
        "--server",
        &server,
    ];
    let output = run(dir.path(), &arguments);
    let text = stdout(&output);
    assert_eq!((code(&output), text.as_str()), (0, "prod/web promote: the gate opens\n"));
    let request = asked.join().unwrap();
    assert!(request.starts_with("POST /v1/services/prod/web/promote HTTP/1.1"), "{request}");
    assert!(request.contains(&format!("authorization: Bearer {TOKEN}")), "{request}");
    let body: Value = serde_json::from_str(request.rsplit("\r\n").next().unwrap()).unwrap();
    assert_eq!(body["who"], "ann");
    assert_eq!((&body["reason"], &body["full"]), (&"looks good".into(), &true.into()));
}

#[test]
fn a_command_that_is_not_followed_says_why_and_has_an_exit_code_of_its_own() {
    let dir = std::env::temp_dir();
    for (status, exit) in [("409 Conflict", 6), ("401 Unauthorized", 1), ("504 Gateway Timeout", 1)]
    {
        let (server, asked) = answering(status, r#"{"error": "prod/web: release it first"}"#);
        let mut command = evenkeel(&dir, &["rollout", "retry", "prod/web", "--server", &server]);
        let output = command.env("EVENKEEL_TOKEN", TOKEN).output().unwrap();
        assert_eq!(code(&output), exit, "{status}");
        assert!(stderr(&output).contains("release it first"), "{}", stderr(&output));
        assert!(!stderr(&output).contains(TOKEN), "{}", stderr(&output));
        asked.join().unwrap();
    }
}

#[test]
fn a_command_for_many_counts_and_fails_when_one_failed() {
    let dir = directory(&[("token", TOKEN)]);
    let tally = r#"{"changed": 2, "unchanged": 1, "failed": 1, "note": "later ones are not covered",
        "failures": [{"service": "prod/api", "error": "the service does not exist yet"}]}"#;
    let (server, asked) = answering("207 Multi-Status", tally);
    let arguments = [
        "hold",
        "--cluster",
        "prod",
        "--reason",
        "incident 7",
        "--token-file",
        "token",
        "--server",
        &server,
    ];
    let output = run(dir.path(), &arguments);
    assert_eq!(code(&output), 1);
    insta::assert_snapshot!(stdout(&output), @"
    ! prod/api: the service does not exist yet
    hold: 2 changed, 1 were so already, 1 failed
    later ones are not covered
    say it again to try those that failed
    ");
    assert!(asked.join().unwrap().starts_with("POST /v1/hold HTTP/1.1"));
}

#[test]
fn a_watch_waits_for_a_daemon_that_has_just_been_started() {
    let early = r#"{"error": "the manifests were not read yet"}"#;
    let status = r#"{"key": {"target": "default", "cluster": "prod", "name": "web"},
        "conditions": [{"type": "Ready", "status": "True"}], "waiting": [], "did": []}"#;
    let unnamed = r#"{"error": "no manifest names the service prod/web"}"#;
    for (last, ends) in [(("200 OK", status), 0), (("404 Not Found", unnamed), 1)] {
        let answers = vec![("503 Service Unavailable", early), last];
        let (server, asked) = answering_in_turn(answers);
        let arguments = ["rollout", "status", "prod/web", "--watch", "--server", &server];
        let output = run(&std::env::temp_dir(), &arguments);
        assert_eq!(code(&output), ends, "{}", stderr(&output));
        assert_eq!(asked.join().unwrap().matches("GET /v1/services/prod/web ").count(), 2);
    }
}

#[test]
fn what_a_command_lacks_is_said_before_anything_is_asked() {
    let dir = std::env::temp_dir();
    let nobody = ["--server", "http://127.0.0.1:9"];
    let says = |arguments: &[&str], expected: &str| {
        let arguments = [arguments, &nobody].concat();
        let output = run(&dir, &arguments);
        assert_eq!(code(&output), 1, "{arguments:?}");
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    };
    says(&["hold", "prod/web", "--reason", "x"], "EVENKEEL_TOKEN");
    says(&["hold", "prod/web"], "--reason");
    says(&["hold", "--reason", "x"], "--cluster");
    says(&["hold", "prod/web", "--all", "--reason", "x"], "cannot be used with");
    says(&["rollout", "abort", "prod/web", "--reason", "x"], "--yes");
    says(&["rollout", "undo", "prod/web", "--reason", "x"], "--yes");
    says(&["rollout", "status", "web"], "say cluster/name");
    says(&["rollout", "status", "prod/web", "--watch", "-o", "json"], "--watch is for people");
    says(&["rollout", "pause", "prod/web", "--reason", "x", "--token-file", "/none"], "/none");
}

#[test]
fn a_daemon_without_a_token_takes_no_command_and_shows_where_a_rollout_stands() {
    let dir = directory(&[("m/web.yaml", GOOD)]);
    let daemon = Running::start(dir.path());
    let server = format!("http://{}", daemon.address);
    let arguments = ["hold", "prod/web", "--reason", "x", "--server", &server];
    let output = evenkeel(dir.path(), &arguments).env("EVENKEEL_TOKEN", TOKEN).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("control.tokensFile"), "{}", stderr(&output));
    let missing = run(dir.path(), &["rollout", "status", "prod/shop", "--server", &server]);
    assert!(stderr(&missing).contains("no manifest names"), "{}", stderr(&missing));
}
