//! Commits as raw objects with real signatures, good and otherwise.

use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::{Ed25519PublicKey, KeyData, SkEd25519};
use ssh_key::{Algorithm, LineEnding, PrivateKey, PublicKey, Signature};

use super::*;

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// The same for the same seed.
fn key(seed: u8) -> PrivateKey {
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32]));
    PrivateKey::new(pair, "").unwrap()
}

fn public(seed: u8) -> String {
    key(seed).public_key().to_openssh().unwrap()
}

fn fingerprint(seed: u8) -> String {
    key(seed).fingerprint(HashAlg::Sha256).to_string()
}

const TREE: &str = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n";
const PEOPLE: &str =
    "author a <a@example> 1700000000 +0000\ncommitter a <a@example> 1700000000 +0000\n";

fn unsigned(message: &str) -> String {
    format!("{TREE}{PEOPLE}\n{message}\n")
}

fn armour(seed: u8, namespace: &str, hash: HashAlg, payload: &str) -> String {
    let signature = key(seed).sign(namespace, hash, payload.as_bytes()).unwrap();
    signature.to_pem(LineEnding::LF).unwrap()
}

/// As git writes it: behind the committer, its further lines begin with a space.
fn with_header(header: &str, armour: &str, payload: &str) -> String {
    let lines = armour.trim_end().replace('\n', "\n ");
    payload.replacen("\n\n", &format!("\n{header} {lines}\n\n"), 1)
}

fn signed(seed: u8) -> String {
    let payload = unsigned("x");
    with_header("gpgsig", &armour(seed, "git", HashAlg::Sha512, &payload), &payload)
}

/// Who signed the commit by a file of allowed signers, or why nobody did.
fn checked(commit: &str, signers: &str) -> Result<Signer, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), signers).unwrap();
    let verify =
        Verify { ssh_allowed_signers_file: Some(file.path().to_owned()), ..Verify::default() };
    of_commit(commit.as_bytes()).and_then(|signed| signed.by(&verify, now()))
}

fn held(case: &str, commit: &str, signers: &str, why: &str) {
    let told = checked(commit, signers).expect_err(case);
    assert!(told.contains(why), "{case}: {told}");
}

#[test]
fn an_allowed_key_signs_and_is_told() {
    let signer = Signer { principal: "ann@example".to_owned(), fingerprint: fingerprint(1) };
    let (one, two) = (public(1), public(2));
    for signers in [
        format!("ann@example {one}"),
        format!("# team\n\n  bob@example {two} bob at work\nann@example {one} a comment\n"),
        format!("ann@example namespaces=\"git\" {one}"),
        format!("ann@example namespaces=\"file,g*\",valid-before=\"20300101Z\" {one}"),
        format!("ann@example valid-after=\"202001010000Z\",valid-before=20260601000001Z {one}"),
        format!("old valid-before=\"20200101Z\" {one}\nann@example {one}"),
        format!("\"ann@example\" NAMESPACES=git {one}"),
    ] {
        assert_eq!(checked(&signed(1), &signers), Ok(signer.clone()), "{signers}");
    }
    let payload = unsigned("with\ngpgsig in the message\n\n gpgsig x");
    let armour = armour(1, "git", HashAlg::Sha256, &payload);
    let commit = with_header("gpgsig", &armour, &payload);
    assert_eq!(checked(&commit, &format!("ann@example {one}")), Ok(signer));
}

#[test]
fn what_no_allowed_key_signed_as_it_stands_is_held() {
    let signers = format!("ann@example {}\n", public(1));
    let payload = unsigned("x");
    let good = armour(1, "git", HashAlg::Sha512, &payload);
    let header = |armour: &str| with_header("gpgsig", armour, &payload);
    let swapped = armour(2, "git", HashAlg::Sha512, &payload);
    for (case, commit, why) in [
        ("unsigned", unsigned("x"), "it is not signed"),
        ("in another header", with_header("gpgsig-sha256", &good, &payload), "it is not signed"),
        ("in the message", unsigned(&format!("x\n\ngpgsig {good}")), "it is not signed"),
        (
            "by another key",
            header(&swapped),
            &format!("the key {}, which is not in", fingerprint(2)),
        ),
        ("another message", signed(1).replace("\nx\n", "\ny\n"), "does not fit"),
        ("another tree", signed(1).replace("tree 4b", "tree 4c"), "does not fit"),
        ("another author", signed(1).replace("author a", "author b"), "does not fit"),
        ("a header more", signed(1).replace(TREE, &format!("{TREE}x y\n")), "does not fit"),
        ("a byte more", signed(1) + "\n", "does not fit"),
        ("a byte less", signed(1).trim_end().to_owned(), "does not fit"),
        (
            "another namespace",
            header(&armour(1, "file", HashAlg::Sha512, &payload)),
            "another purpose",
        ),
        ("garbled", header(&good.replace("U1NI", "U1NJ")), "cannot be understood"),
        ("cut", header(good.get(..120).unwrap()), "cannot be understood"),
        ("empty", header("-----BEGIN SSH SIGNATURE-----"), "cannot be understood"),
        ("of OpenPGP", header("-----BEGIN PGP SIGNATURE-----\n\nx"), "not one of SSH"),
        ("no armour", header("x"), "not one of SSH"),
        ("twice", with_header("gpgsig", &good, &header(&good)), "more than one signature"),
    ] {
        held(case, &commit, &signers, why);
    }
}

#[test]
fn signers_that_cannot_be_known_allow_nobody() {
    let key = public(1);
    for (case, signers, why) in [
        ("empty", String::new(), "it holds no key"),
        ("only comments", format!("# ann@example {key}\n\n"), "it holds no key"),
        ("garbled", format!("ann@example {key}\nann"), "line 2: expected a principal"),
        ("no principal", key.clone(), "line 1: expected"),
        ("cut key", format!("ann {}", key.get(..40).unwrap()), "line 1: expected"),
        ("open quote", format!("ann namespaces=\"git {key}"), "line 1: expected"),
        ("certificate", format!("ann cert-authority {key}"), "certificates are not supported"),
        ("unknown option", format!("ann source=\"x\" {key}"), "line 1: expected namespaces"),
        ("local time", format!("ann valid-after=\"20200101\" {key}"), "expected a time in UTC"),
        ("no time", format!("ann valid-before=\"2030-01-1Z\" {key}"), "expected a time in UTC"),
        ("no day", format!("ann valid-before=\"20300231Z\" {key}"), "expected a time in UTC"),
        (
            "expired",
            format!("ann valid-before=\"20260601Z\" {key}"),
            "was valid only before 2026-06",
        ),
        (
            "to come",
            format!("ann valid-after=\"20260602Z\" {key}"),
            "is valid only after 2026-06-02",
        ),
        ("other purpose", format!("ann namespaces=\"file\" {key}"), "not for the namespace git"),
        ("excluded", format!("ann namespaces=\"*,!git\" {key}"), "not for the namespace git"),
    ] {
        held(case, &signed(1), &signers, why);
    }
    let verify =
        Verify { ssh_allowed_signers_file: Some("/nowhere/signers".into()), ..Verify::default() };
    let told = of_commit(signed(1).as_bytes()).unwrap().by(&verify, now()).unwrap_err();
    assert!(told.contains("/nowhere/signers cannot be known: No such file"), "{told}");
}

/// What a security key with this application makes of the payload.
fn touched(flags: u8, payload: &str) -> (PublicKey, String) {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
    let public = Ed25519PublicKey(pair.public_key().as_ref().try_into().unwrap());
    let key = KeyData::SkEd25519(SkEd25519::new(public, "ssh:"));
    let message = SshSig::signed_data("git", HashAlg::Sha512, payload.as_bytes()).unwrap();
    let trailer = [flags, 0, 0, 0, 7];
    let (application, message) = (digest(&SHA256, b"ssh:"), digest(&SHA256, &message));
    let signed = [application.as_ref(), &trailer, message.as_ref()].concat();
    let data = [pair.sign(&signed).as_ref(), &trailer].concat();
    let signature = Signature::new(Algorithm::SkEd25519, data).unwrap();
    let signature = SshSig::new(key.clone(), "git", HashAlg::Sha512, signature).unwrap();
    (PublicKey::new(key, ""), signature.to_pem(LineEnding::LF).unwrap())
}

#[test]
fn a_security_key_has_to_be_touched() {
    let payload = unsigned("x");
    for (flags, message, why) in [
        (1, "x", None),
        (5, "x", None),
        (0, "x", Some("without a touch")),
        (1, "y", Some("not fit")),
    ] {
        let (key, armour) = touched(flags, &payload);
        let commit = with_header("gpgsig", &armour, &unsigned(message));
        let told = checked(&commit, &format!("ann {}", key.to_openssh().unwrap()));
        match why {
            None => assert_eq!(told.map(|one| one.principal), Ok("ann".to_owned())),
            Some(why) => assert!(told.as_ref().is_err_and(|told| told.contains(why)), "{told:?}"),
        }
    }
}

#[test]
fn a_signed_tag_counts_by_the_name_it_bears() {
    let payload = "object 4b825dc642cb6eb9a060e54bf8d69288fbee4904\ntype commit\ntag v1\ntagger a \
                   <a@example> 1700000000 +0000\n\nx\n";
    let tag = format!("{payload}{}", armour(1, "git", HashAlg::Sha512, payload));
    let signed = of_tag(tag.as_bytes(), "v1").unwrap();
    assert_eq!(String::from_utf8(signed.payload).unwrap(), payload);
    assert!(of_tag(tag.as_bytes(), "v2").is_none(), "moved to another name");
    assert!(of_tag(payload.as_bytes(), "v1").is_none(), "unsigned");
}
