//! Whether one commit follows from another; never takes "cannot be known" for yes.

use gix::{ObjectId, Repository};

/// Years of commits of a busy repository.
const COMMITS_MAX: usize = 200_000;

/// Why `to` may not take the place of `from`, if so.
pub(super) fn follows(repository: &Repository, from: ObjectId, to: ObjectId) -> Result<(), String> {
    let mut walk = match repository.rev_walk([to]).all() {
        Ok(walk) => walk.take(COMMITS_MAX),
        Err(_) => return Err(undecided(from, to)),
    };
    loop {
        match walk.next() {
            Some(Ok(commit)) if commit.id == from => return Ok(()),
            Some(Ok(_)) => {}
            Some(Err(_)) => return Err(undecided(from, to)),
            None => return Err(held(from, to)),
        }
    }
}

fn held(from: ObjectId, to: ObjectId) -> String {
    format!(
        "the commit {to} does not follow from {from}, which is in force: history was rewritten or set \
         back. Push a commit that follows from {from}, or allow it with git.allowForcePush"
    )
}

fn undecided(from: ObjectId, to: ObjectId) -> String {
    format!(
        "whether the commit {to} follows from {from}, which is in force, cannot be decided, so it is \
         held. Push a commit that follows from {from}, or allow it with git.allowForcePush"
    )
}
