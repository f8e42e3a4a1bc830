//! Which files of a repository are read as manifests; never decides by their content.

use gix::bstr::{BString, ByteSlice};
use gix::glob::wildmatch::Mode;

/// Patterns of paths, relative to the directory that is read.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    include: Vec<BString>,
    exclude: Vec<BString>,
}

impl Wanted {
    pub(super) fn new(include: &[String], exclude: &[String]) -> Self {
        let owned = |all: &[String]| all.iter().map(|one| BString::from(one.as_str())).collect();
        Self { include: owned(include), exclude: owned(exclude) }
    }

    /// By its extension and the patterns.
    pub(super) fn takes(&self, path: &[u8]) -> bool {
        let is_manifest =
            [".yaml", ".yml", ".json"].iter().any(|end| path.ends_with(end.as_bytes()));
        is_manifest
            && (self.include.is_empty() || fits_any(&self.include, path))
            && !fits_any(&self.exclude, path)
    }
}

/// `*` stays within a directory, `**` does not.
fn fits_any(patterns: &[BString], path: &[u8]) -> bool {
    let fits = |pattern: &BString| {
        gix::glob::wildmatch(pattern.as_bstr(), path.as_bstr(), Mode::NO_MATCH_SLASH_LITERAL)
    };
    patterns.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_among_manifests() {
        let wanted = Wanted::new(
            &["prod/**".to_owned(), "*.yaml".to_owned()],
            &["**/draft-*.yaml".to_owned()],
        );
        for path in ["a.yaml", "prod/a.yml", "prod/x/y/a.json"] {
            assert!(wanted.takes(path.as_bytes()), "{path}");
        }
        for path in ["a.txt", "dev/a.yaml", "prod/draft-a.yaml", "prod/x/draft-a.yaml", "yaml"] {
            assert!(!wanted.takes(path.as_bytes()), "{path}");
        }
    }
}
