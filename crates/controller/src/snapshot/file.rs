//! The file of a snapshot; never readable by others, and never half written.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::error::Category;

use super::Snapshot;

/// What keeps a file from being planned against. Sentences name places in it, and nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("{path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{0} is no snapshot; `evenkeel snapshot --output FILE` takes one")]
    Foreign(PathBuf),
    #[error(
        "{path} is a snapshot of form {found}, and this version of evenkeel reads form {read}: take it again with \
         this version",
        read = Snapshot::FORM
    )]
    OtherForm { path: PathBuf, found: u64 },
    #[error(
        "{0} ends too early, as a copy that was broken off does: copy it again, or take it again"
    )]
    Truncated(PathBuf),
    #[error("{path} is damaged at line {line}, column {column}: take it again")]
    Damaged { path: PathBuf, line: usize, column: usize },
    #[error(
        "{path} was taken in the region {theirs}, and {ours} is configured: take one there, or configure the other"
    )]
    OtherRegion { path: PathBuf, theirs: String, ours: String },
    #[error("{path} cannot be written: {source}")]
    Unwritable { path: PathBuf, source: io::Error },
}

/// What every form has.
#[derive(Deserialize)]
struct Head {
    #[serde(rename = "evenkeelSnapshot")]
    form: u64,
}

impl Snapshot {
    pub(crate) fn read(path: &Path) -> Result<Self, SnapshotError> {
        let unreadable = |source| SnapshotError::Unreadable { path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(unreadable)?;
        let head = serde_json::from_str::<Head>(&text).map_err(|error| match error.classify() {
            Category::Eof => SnapshotError::Truncated(path.to_owned()),
            Category::Io | Category::Syntax | Category::Data => {
                SnapshotError::Foreign(path.to_owned())
            }
        })?;
        let found = head.form;
        if found != Self::FORM {
            return Err(SnapshotError::OtherForm { path: path.to_owned(), found });
        }
        serde_json::from_str(&text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            SnapshotError::Damaged { path: path.to_owned(), line, column }
        })
    }

    /// Where both regions are known they must be one: the services of another have the same keys.
    pub(crate) fn check_region(
        &self,
        path: &Path,
        ours: Option<&str>,
    ) -> Result<(), SnapshotError> {
        match (self.region.as_deref(), ours) {
            (Some(theirs), Some(ours)) if theirs != ours => Err(SnapshotError::OtherRegion {
                path: path.to_owned(),
                theirs: theirs.to_owned(),
                ours: ours.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// As it is written.
    pub(crate) fn text(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// For the owner alone, whatever was there before; readers see the old file or the new one.
pub(crate) fn write(path: &Path, text: &[u8]) -> Result<(), SnapshotError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let written = || {
        let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
        file.write_all(text)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)
    };
    match written() {
        Ok(_) => Ok(()),
        Err(source) => Err(SnapshotError::Unwritable { path: path.to_owned(), source }),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::Config;

    fn told(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("then.json");
        fs::write(&path, text).unwrap();
        let error = Snapshot::read(&path).unwrap_err().to_string();
        error.replace(&path.display().to_string(), "then.json")
    }

    #[test]
    fn what_is_no_snapshot_is_told_with_what_to_do() {
        let whole = Snapshot::new(&Config::default(), Vec::new()).text().unwrap();
        let whole = String::from_utf8(whole).unwrap();
        let cut = whole.split_at(whole.len() / 2).0;
        let other = whole.replace("\"evenkeelSnapshot\": 1", "\"evenkeelSnapshot\": 2");
        let damaged = whole.replace("\"services\": []", "\"services\": [\"hunter2\"]");
        insta::assert_snapshot!(
            ["", "kind: Service", "{\"kind\": \"Service\"}", cut, &other, &damaged].map(told).join("\n"),
            @r"
        then.json ends too early, as a copy that was broken off does: copy it again, or take it again
        then.json is no snapshot; `evenkeel snapshot --output FILE` takes one
        then.json is no snapshot; `evenkeel snapshot --output FILE` takes one
        then.json ends too early, as a copy that was broken off does: copy it again, or take it again
        then.json is a snapshot of form 2, and this version of evenkeel reads form 1: take it again with this version
        then.json is damaged at line 7, column 24: take it again
        "
        );
    }

    #[test]
    fn a_snapshot_of_another_region_is_refused_where_both_are_known() {
        let mut config = Config::default();
        config.aws.region = Some("eu-west-1".to_owned());
        let snapshot = Snapshot::new(&config, Vec::new());
        let told =
            |ours| snapshot.check_region(Path::new("then.json"), ours).map_err(|e| e.to_string());
        assert_eq!(told(Some("eu-west-1")), Ok(()));
        assert_eq!(told(None), Ok(()));
        let refusal = told(Some("us-east-1")).unwrap_err();
        assert!(refusal.contains("taken in the region eu-west-1, and us-east-1"), "{refusal}");
    }

    #[test]
    fn the_file_is_for_its_owner_alone_also_where_another_was() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("then.json");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left beside it");
        let nowhere = write(&directory.path().join("no/then.json"), b"new").unwrap_err();
        assert!(nowhere.to_string().contains("cannot be written"), "{nowhere}");
    }
}
