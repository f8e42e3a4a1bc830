//! A real server of Prometheus, from Debian's package; never one of ours.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use evenkeel_planner::MetricQuestion;
use jiff::{SignedDuration, Timestamp};

use super::Prometheus;
use crate::outside::web::Web;

/// Ends with its test.
struct Server {
    child: Child,
    url: String,
    /// Kept open: a server that cannot log ends.
    _log: BufReader<ChildStderr>,
    _directory: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("prometheus.yml");
        std::fs::write(&file, "scrape_configs: []\n").unwrap();
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.ci/tools");
        let mut child = Command::new(tools)
            .arg("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg("--web.listen-address=127.0.0.1:0")
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = listening(&mut log);
        Self { child, url: format!("http://{address}"), _log: log, _directory: directory }
    }
}

/// The address that the server took, once it answers queries.
fn listening(log: &mut BufReader<ChildStderr>) -> String {
    let (mut address, mut is_ready, mut told) = (None, false, String::new());
    while log.read_line(&mut told).is_ok_and(|bytes| bytes > 0) {
        let line = told.lines().last().unwrap_or_default();
        let found = line.split_once("address=127.0.0.1:").map(|(_, rest)| rest);
        let port = found.and_then(|rest| rest.split(' ').next()).filter(|port| *port != "0");
        address = address.or_else(|| port.map(|port| format!("127.0.0.1:{port}")));
        // Two parts of the server say it, and either may be first.
        is_ready |= line.contains("ready to receive");
        if let Some(address) = address.clone().filter(|_| is_ready) {
            return address;
        }
    }
    panic!("the server ended: {told}")
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test]
async fn a_real_server_evaluates_an_expression_at_the_end_of_each_minute() {
    let server = Server::start();
    let now = Timestamp::from_second(Timestamp::now().as_second() / 60 * 60).unwrap();
    let asked = |expression: &str| MetricQuestion {
        metrics: BTreeSet::new(),
        behind_the_group: BTreeSet::new(),
        expressions: BTreeSet::from([expression.to_owned()]),
        from: now.checked_sub(SignedDuration::from_mins(5)).unwrap(),
        until: now,
    };
    let prometheus = Prometheus::new(&server.url, Web::new().unwrap());
    let evaluated = prometheus.evaluate(&asked("vector(time() / 60)")).await.unwrap();
    let minutes = &evaluated[0].minutes;
    assert_eq!(minutes.len(), 5);
    for (start, value) in minutes {
        let end = start.checked_add(SignedDuration::from_mins(1)).unwrap();
        assert!(
            (value - end.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64() / 60.0).abs() < 1e-6
        );
    }
    assert!(prometheus.evaluate(&asked("absent_metric")).await.unwrap()[0].minutes.is_empty());
    let refused = prometheus.evaluate(&asked("sum(")).await.unwrap_err();
    assert!(refused.contains("parse error"), "{refused}");
    let several = "vector(1) or label_replace(vector(2), \"a\", \"b\", \"\", \"\")";
    let refused = prometheus.evaluate(&asked(several)).await.unwrap_err();
    assert!(refused.contains("must have one"), "{refused}");
}
