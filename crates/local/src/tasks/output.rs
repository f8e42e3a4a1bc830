//! Keeps what containers write: the last lines in memory, all of it in files if wanted; never
//! interprets it.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::fs::{File, create_dir_all};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};

use super::short_id;

/// Lines kept for each container.
const LINES: usize = 100;
/// Bytes kept of a line.
const LINE_LENGTH: usize = 4096;
/// Containers whose lines are kept; the oldest go first.
const CONTAINERS: usize = 500;

/// A cheap handle to the kept lines.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    kept: Arc<Mutex<Kept>>,
    directory: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: BTreeMap<(String, String), VecDeque<String>>,
    order: VecDeque<(String, String)>,
}

impl TaskOutput {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        Self { kept: Arc::default(), directory }
    }

    /// The last lines that a container of a task (its ARN) wrote to stdout and stderr.
    pub fn tail(&self, task: &str, container: &str) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (task.to_owned(), container.to_owned());
        kept.lines.get(&key).map(|lines| lines.iter().cloned().collect()).unwrap_or_default()
    }

    /// Reads a stream to its end. A file that cannot be written is reported once and then left.
    pub(crate) async fn capture(
        &self,
        task: &str,
        container: &str,
        stream: impl AsyncRead + Unpin,
    ) {
        let mut file = self.open(task, container).await;
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
            if let Some(open) = &mut file
                && let Err(error) = open.write_all(&line).await
            {
                tracing::warn!(task, container, %error, "the log file cannot be written any more");
                file = None;
            }
            self.keep(task, container, &line);
            line.clear();
        }
        if let Some(mut file) = file {
            file.flush().await.ok();
        }
    }

    fn keep(&self, task: &str, container: &str, line: &[u8]) {
        let line = line.get(..LINE_LENGTH).unwrap_or(line);
        let line = String::from_utf8_lossy(line).trim_end().to_owned();
        let key = (task.to_owned(), container.to_owned());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.lines.contains_key(&key) {
            kept.order.push_back(key.clone());
        }
        let lines = kept.lines.entry(key).or_default();
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(line);
        if kept.order.len() > CONTAINERS
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.lines.remove(&oldest);
        }
    }

    async fn open(&self, task: &str, container: &str) -> Option<File> {
        let directory = self.directory.as_ref()?.join(short_id(task));
        let path = directory.join(format!("{container}.log"));
        let open = async {
            create_dir_all(&directory).await?;
            File::options().create(true).append(true).open(&path).await
        };
        open.await
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "no log file"))
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_stay_in_memory_and_all_of_them_in_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let output = TaskOutput::new(Some(directory.path().to_owned()));
        let text: String =
            (0..LINES + 5).fold(String::new(), |text, n| text + &format!("line {n}\n"));
        output.capture("arn:task/c/1f", "web", text.as_bytes()).await;
        let tail = output.tail("arn:task/c/1f", "web");
        assert_eq!(tail.len(), LINES);
        assert_eq!(tail.first().map(String::as_str), Some("line 5"));
        let file = std::fs::read_to_string(directory.path().join("1f/web.log")).unwrap();
        assert_eq!(file, text);
    }

    #[tokio::test]
    async fn output_that_is_not_text_does_no_harm() {
        let output = TaskOutput::new(None);
        output.capture("t", "c", &b"\xff\xfe\n"[..]).await;
        assert_eq!(output.tail("t", "c").len(), 1);
    }
}
