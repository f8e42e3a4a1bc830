//! Commits and tags that gpg itself signed, with keys good and otherwise. Needs gpg (Debian's package gnupg).

use std::path::PathBuf;
use std::process::Command;

use super::*;

/// A home of gpg's own with its secret keys.
struct Gpg(tempfile::TempDir);

impl Gpg {
    fn new() -> Self {
        let own = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        Self(tempfile::Builder::new().permissions(own).tempdir().unwrap())
    }

    fn command(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.env("GNUPGHOME", self.0.path()).args(["--batch", "--quiet", "--no-tty"]);
        gpg
    }

    fn run(&self, arguments: &[&str]) -> String {
        let ran = self.command().args(arguments).output();
        let ran = ran.expect("gpg is installed; it is Debian's package gnupg");
        let told = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "gpg {arguments:?}: {told}");
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Its fingerprint. `more` precedes the command.
    fn key(&self, owner: &str, kind: &[&str], more: &[&str]) -> String {
        let make = ["--passphrase", "", "--quick-generate-key", owner];
        self.run(&[more, &make, kind].concat());
        let all = self.run(&["--with-colons", "--list-secret-keys", owner]);
        let line = all.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    fn add_subkey(&self, key: &str, kind: &str) {
        self.run(&["--passphrase", "", "--quick-add-key", key, kind, "sign", "never"]);
    }

    fn public(&self, key: &str) -> String {
        self.run(&["--armor", "--export", key])
    }

    /// gpg makes the revocation with the key, and keeps a colon in front of it against mistakes.
    fn revoke(&self, key: &str) {
        let kept = self.0.path().join(format!("openpgp-revocs.d/{key}.rev"));
        let text = std::fs::read_to_string(&kept).unwrap();
        std::fs::write(&kept, text.replace(":-----BEGIN", "-----BEGIN")).unwrap();
        self.run(&["--import", kept.to_str().unwrap()]);
    }

    /// What git runs for gpg, with further options.
    fn program(&self, options: &str) -> String {
        let path = self.0.path().join(format!("gpg{}", options.len()));
        let home = self.0.path().display();
        let script = format!("#!/bin/sh\nexec gpg --homedir {home} {options} \"$@\"\n");
        std::fs::write(&path, script).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, executable).unwrap();
        path.display().to_string()
    }

    fn push_signed(&self, host: &Host, key: &str, options: &str) -> String {
        let (program, key) =
            (format!("gpg.program={}", self.program(options)), format!("user.signingKey={key}"));
        let commit = ["commit", "--quiet", "--allow-empty", "-S", "-m", "Grüße\n\nx"];
        host.git(&[&["-c", &program, "-c", &key], &commit[..]].concat());
        host.push_head()
    }
}

impl Drop for Gpg {
    /// gpg leaves its agent behind.
    fn drop(&mut self) {
        let home = self.0.path();
        let ended = Command::new("gpgconf").env("GNUPGHOME", home).args(["--kill", "all"]).status();
        assert!(ended.is_ok_and(|ended| ended.success()), "the agent of gpg goes on");
    }
}

fn verified(host: &Host, keyring: &Path) -> SourceConfig {
    let mut one = source(host, OFTEN);
    let SourceOrigin::Git(git) = &mut one.origin else { unreachable!("it is a repository") };
    git.verify =
        Some(Verify { open_pgp_keyring_file: Some(keyring.to_owned()), ..Verify::default() });
    one
}

fn keyring(gpg: &Gpg, text: &str) -> PathBuf {
    let path = gpg.0.path().join("allowed.asc");
    std::fs::write(&path, text).unwrap();
    path
}

/// The newest commit with another message under the same signature.
fn push_altered(host: &Host) {
    let raw = host.git(&["cat-file", "commit", "HEAD"]).replace("Grüße", "Gruß");
    std::fs::write(host.work().join(".git/altered"), raw).unwrap();
    let altered = host.git(&["hash-object", "-t", "commit", "-w", ".git/altered"]);
    host.git(&["reset", "--quiet", "--soft", altered.trim()]);
    host.push_head();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_an_allowed_openpgp_key_signed_takes_over() {
    let (host, gpg) = (Host::start().await, Gpg::new());
    let ann = gpg.key("Ann <ann@example>", &["ed25519", "sign", "never"], &[]);
    let eve = gpg.key("Eve <eve@example>", &["ed25519", "sign", "never"], &[]);
    let allowed = keyring(&gpg, &gpg.public(&ann));
    host.push(&[("web.yaml", &manifest("web"))]);
    let shutdown = Shutdown::default();
    let daemon = start(verified(&host, &allowed), None, &shutdown).await;
    until(&daemon, "it to be held", |report| {
        report.stale.as_ref().is_some_and(|stale| stale.contains("it is not signed"))
    })
    .await;
    let first = gpg.push_signed(&host, &ann, "");
    until_commit(&daemon, &first, 1).await;
    let (_, report) = request(daemon.http_address(), "GET /v1/manifests HTTP/1.1\r\n", "").await;
    let signer = format!("{{\"principal\":\"Ann <ann@example>\",\"fingerprint\":\"{ann}\"}}");
    assert!(report.contains(&signer), "{report}");
    push_altered(&host);
    until_stale(&daemon, &first, 1, "does not follow from").await;
    host.git(&["reset", "--quiet", "--soft", &first]);
    gpg.push_signed(&host, &ann, "");
    keyring(&gpg, "");
    until_stale(&daemon, &first, 1, "it holds no key").await;
    push_altered(&host);
    keyring(&gpg, &gpg.public(&ann));
    until_stale(&daemon, &first, 1, "does not fit what the commit says").await;
    host.git(&["reset", "--quiet", "--soft", &first]);
    let second = gpg.push_signed(&host, &eve, "");
    until_stale(&daemon, &first, 1, &format!("the OpenPGP key {eve}, which is not in")).await;
    keyring(&gpg, &format!("# the team\n{}\n{}", gpg.public(&ann), gpg.public(&eve)));
    until_commit(&daemon, &second, 1).await;
    for (kind, of_subkey) in [
        ("ed25519", "ed25519"),
        ("rsa2048", "rsa2048"),
        ("nistp256", "nistp256/ecdsa"),
        ("nistp384", "nistp384/ecdsa"),
    ] {
        let key = gpg.key(kind, &[kind, "cert", "never"], &[]);
        gpg.add_subkey(&key, of_subkey);
        keyring(&gpg, &gpg.public(&key));
        let commit = gpg.push_signed(&host, &key, "");
        until_commit(&daemon, &commit, 1).await;
    }
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_of_gpg_in_doubt_signed_is_held() {
    let (host, gpg) = (Host::start().await, Gpg::new());
    let then = |day: &str| ["--faked-system-time".to_owned(), format!("{day}T000000!")];
    let (made, signed) = (then("20200101"), then("20200201").join(" "));
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    let good = gpg.key("good", &["rsa2048", "sign", "never"], &[]);
    let revoked = gpg.key("revoked", &["ed25519", "sign", "never"], &[]);
    let old = gpg.key("old", &["ed25519", "sign", "1y"], &made);
    let long = gpg.key("long", &["ed25519", "sign", "never"], &made);
    let sha1 = ["--cert-digest-algo", "SHA1"];
    let weak = gpg.key("weak", &["rsa2048", "sign", "never"], &sha1);
    let short = gpg.key("short", &["rsa1024", "sign", "never"], &[]);
    let expiring = format!("{signed} --default-sig-expire 1d");
    host.push(&[("web.yaml", &manifest("web"))]);
    let first = gpg.push_signed(&host, &good, "");
    let allowed = keyring(&gpg, &gpg.public(&good));
    let shutdown = Shutdown::default();
    let daemon = start(verified(&host, &allowed), None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    for (key, options, why) in [
        (&revoked, "", "is revoked in"),
        (&old, signed.as_str(), "expired at 2020-12-31T00:00:00Z by"),
        (&long, &expiring, "expired at 2020-02-02T00:00:00Z"),
        (&weak, "", "has no valid signature of its owner on itself"),
        (&short, "", "is of a kind that is not supported"),
        (&good, "--digest-algo SHA1", "but SHA1"),
    ] {
        gpg.push_signed(&host, key, options);
        if *key == revoked {
            gpg.revoke(key);
        }
        keyring(&gpg, &gpg.public(key));
        until_stale(&daemon, &first, 1, why).await;
    }
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn with_both_kinds_of_keys_either_signature_will_do_and_a_tag_of_gpg_too() {
    let (host, gpg) = (Host::start().await, Gpg::new());
    let ann = gpg.key("Ann <ann@example>", &["ed25519", "sign", "never"], &[]);
    let (bob, of_bob) = key(gpg.0.path(), "bob", &["ed25519"]);
    let signers = gpg.0.path().join("signers");
    std::fs::write(&signers, format!("bob@example {of_bob}")).unwrap();
    let allowed = keyring(&gpg, &gpg.public(&ann));
    let first = host.push(&[("web.yaml", &manifest("web"))]);
    let (program, signing) =
        (format!("gpg.program={}", gpg.program("")), format!("user.signingKey={ann}"));
    host.git(&["-c", &program, "-c", &signing, "tag", "-s", "-m", "x", "v1"]);
    host.git(&["push", "--quiet", host.repository().to_str().unwrap(), "v1:refs/tags/v1"]);
    let mut tagged = verified(&host, &allowed);
    let SourceOrigin::Git(git) = &mut tagged.origin else { unreachable!("it is a repository") };
    git.revision = GitRevision::Tag("v1".to_owned());
    let shutdown = Shutdown::default();
    let daemon = start(tagged, None, &shutdown).await;
    until_commit(&daemon, &first, 1).await;
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();

    let second = gpg.push_signed(&host, &ann, "");
    let mut both = verified(&host, &allowed);
    let SourceOrigin::Git(git) = &mut both.origin else { unreachable!("it is a repository") };
    git.verify = Some(Verify {
        ssh_allowed_signers_file: Some(signers),
        open_pgp_keyring_file: Some(allowed.clone()),
    });
    let shutdown = Shutdown::default();
    let daemon = start(both, None, &shutdown).await;
    until_commit(&daemon, &second, 1).await;
    let third = push_signed(&host, &bob, "x");
    until_commit(&daemon, &third, 1).await;
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();

    let shutdown = Shutdown::default();
    let daemon = start(verified(&host, &allowed), None, &shutdown).await;
    until(&daemon, "SSH to be held", |report| {
        report.stale.as_ref().is_some_and(|stale| stale.contains("is not one of OpenPGP"))
    })
    .await;
    shutdown.drain.cancel();
    daemon.wait().await.unwrap();
}
