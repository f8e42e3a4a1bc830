//! Whether a commit may take over by who signed it; never takes "cannot be known" for yes.

use std::io::Read as _;
use std::path::Path;

use gix::Repository;
use gix::objs::{Kind, TagRef};
use jiff::Timestamp;
use ssh_key::{HashAlg, SshSig};

use super::objects::{self, Tip};
use super::signers::Signers;
use super::{openpgp, ssh};
use crate::config::{GitRevision, Verify};

/// Whose signature a commit carries.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Signer {
    /// As the file of allowed signers, or the OpenPGP key itself, names the owner of the key.
    pub principal: String,
    /// `SHA256:` and 43 characters, as ssh-keygen shows it, or 40 hexadecimal digits of an OpenPGP primary key.
    pub fingerprint: String,
}

/// The only namespace in which git signs.
const NAMESPACE: &str = "git";
const SSH: &str = "-----BEGIN SSH SIGNATURE-----";
const OPENPGP: &str = "-----BEGIN PGP SIGNATURE-----";
const BEGIN: &str = "-----BEGIN ";

/// Some thousand keys.
const KEYS_BYTES_MAX: u64 = 4 << 20;

/// What a file of keys holds; an error is a clause for people.
pub(super) fn read_keys(file: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)
        .and_then(|file| file.take(KEYS_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= KEYS_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err("it is larger than 4 MiB".to_owned())
    }
}

/// Who signed the commit, or the annotated tag by whose name it is wanted. The error is a sentence for people.
pub(super) fn check(
    repository: &Repository,
    tip: Tip,
    revision: &GitRevision,
    verify: &Verify,
    now: Timestamp,
) -> Result<Signer, String> {
    if let GitRevision::Tag(name) = revision
        && tip.reference != tip.commit
        && let Some(signed) = of_tag(&objects::raw(repository, tip.reference, Kind::Tag)?, name)
        && let Ok(signer) = signed.by(verify, now)
    {
        return Ok(signer);
    }
    let raw = objects::raw(repository, tip.commit, Kind::Commit)?;
    of_commit(&raw)
        .and_then(|signed| signed.by(verify, now))
        .map_err(|why| format!("the commit {} is held by git.verify: {why}", tip.commit))
}

/// What was signed, byte for byte, and the signature as text.
#[derive(Debug)]
struct Signed {
    payload: Vec<u8>,
    armour: Vec<u8>,
}

/// The commit without its header `gpgsig`, which the signature cannot cover.
fn of_commit(raw: &[u8]) -> Result<Signed, String> {
    let mut signed = Signed { payload: Vec::with_capacity(raw.len()), armour: Vec::new() };
    let (mut headers, mut within, mut signatures) = (true, false, 0);
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if within && let Some(more) = line.strip_prefix(b" ") {
            signed.armour.extend_from_slice(more);
            continue;
        }
        headers &= line != b"\n";
        within = false;
        match line.strip_prefix(b"gpgsig ").filter(|_| headers) {
            Some(first) => {
                (within, signatures) = (true, signatures + 1);
                signed.armour.extend_from_slice(first);
            }
            None => signed.payload.extend_from_slice(line),
        }
    }
    match signatures {
        0 => Err("it is not signed: sign it with an allowed key (git commit -S) and push that"
            .to_owned()),
        1 => Ok(signed),
        _ => Err("it carries more than one signature: sign it once and push that".to_owned()),
    }
}

/// The tag up to its signature, if it has one and bears the name by which it was found.
fn of_tag(raw: &[u8], name: &str) -> Option<Signed> {
    let tag = TagRef::from_bytes(raw, gix::hash::Kind::Sha1).ok()?;
    if tag.name != name.as_bytes() {
        return None;
    }
    let mut begins = None;
    let mut at = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(BEGIN.as_bytes()) {
            begins = Some(at);
        }
        at += line.len();
    }
    let (payload, armour) = raw.split_at_checked(begins?)?;
    Some(Signed { payload: payload.to_vec(), armour: armour.to_vec() })
}

impl Signed {
    fn by(&self, verify: &Verify, now: Timestamp) -> Result<Signer, String> {
        if let Some(file) = &verify.ssh_allowed_signers_file
            && self.armour.starts_with(SSH.as_bytes())
        {
            return self.by_ssh(file, now);
        }
        match &verify.open_pgp_keyring_file {
            Some(file) if self.armour.starts_with(OPENPGP.as_bytes()) => {
                openpgp::verify(&self.armour, &self.payload, file, now)
            }
            _ => Err(unlike(verify)),
        }
    }

    fn by_ssh(&self, file: &Path, now: Timestamp) -> Result<Signer, String> {
        let signature = SshSig::from_pem(&self.armour).map_err(|error| {
            format!("its signature cannot be understood ({error}): sign it anew and push that")
        })?;
        let key = signature.public_key();
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        let signers = Signers::read(file).map_err(|why| {
            format!(
                "the allowed signers in {} cannot be known: {why}. Mend the file; it is read again at \
                 the next look",
                file.display()
            )
        })?;
        let principal = signers.principal(key, NAMESPACE, now).map_err(|why| {
            format!(
                "it is signed with the key {fingerprint}, which {why} {}: sign it with an allowed key, \
                 or allow this one",
                file.display()
            )
        })?;
        if signature.namespace() != NAMESPACE {
            return Err(format!(
                "its signature by {fingerprint} was made for another purpose than git: sign it with \
                 git commit -S and push that"
            ));
        }
        ssh::verify(&signature, &self.payload).map_err(|why| {
            format!("its signature by {fingerprint} {why}: sign it anew and push that")
        })?;
        Ok(Signer { principal: principal.to_owned(), fingerprint })
    }
}

/// Of a signature that is of no kind whose keys are known.
fn unlike(verify: &Verify) -> String {
    let (kinds, format) = match (&verify.ssh_allowed_signers_file, &verify.open_pgp_keyring_file) {
        (Some(_), None) => ("SSH", "gpg.format=ssh"),
        (None, _) => ("OpenPGP", "gpg.format=openpgp"),
        (Some(_), Some(_)) => ("SSH or OpenPGP", "gpg.format=ssh or openpgp"),
    };
    format!(
        "its signature is not one of {kinds}, and git.verify allows only such: sign it with git's {format} \
         and push that"
    )
}

#[cfg(test)]
mod tests;
