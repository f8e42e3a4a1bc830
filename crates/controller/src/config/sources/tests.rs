//! Sources as people write them, and what is told of those that are wrong.

use super::*;

fn problems(git: RawGit) -> String {
    let one = RawSource { name: "shop".to_owned(), git: Some(git), ..RawSource::default() };
    let told: Vec<String> = read(&[one], None).1.iter().map(ToString::to_string).collect();
    told.join("\n")
}

fn of(url: &str) -> RawGit {
    RawGit { url: url.to_owned(), ..RawGit::default() }
}

#[test]
fn a_source_has_its_own_environment_or_that_of_all() {
    let source = |name: &str, environment: Option<&str>| RawSource {
        name: name.to_owned(),
        environment: environment.map(str::to_owned),
        directory: Some(RawDirectory { path: PathBuf::from("manifests") }),
        ..RawSource::default()
    };
    let (sources, problems) = read(&[source("a", None), source("b", Some("test"))], Some("prod"));
    assert_eq!(problems, vec![]);
    let environments: Vec<_> = sources.iter().map(|one| one.environment.as_deref()).collect();
    assert_eq!(environments, [Some("prod"), Some("test")]);
}

#[test]
fn the_urls_of_git_hosting_are_taken() {
    for (text, read) in [
        ("https://git.example/a/b.git", GitUrl::Http("https://git.example/a/b.git".into())),
        ("git@git.example:a/b.git", GitUrl::Ssh("ssh://git@git.example/a/b.git".into())),
        ("ssh://git@git.example:22/a", GitUrl::Ssh("ssh://git@git.example:22/a".into())),
        ("file:///srv/a.git", GitUrl::Local("/srv/a.git".into())),
        ("/srv/a.git", GitUrl::Local("/srv/a.git".into())),
        ("git://git.example:9418/a", GitUrl::Daemon("git://git.example:9418/a".into())),
    ] {
        assert_eq!(url(text), Ok(read), "{text}");
    }
}

#[test]
fn a_url_that_holds_a_secret_or_an_option_is_refused_and_not_repeated() {
    for text in [
        "https://me:hunter2@git.example/a",
        "https://hunter2@git.example/a",
        "ssh://me:hunter2@git.example/a",
        "https://git.example/a?token=hunter2",
        "ssh://-oProxyCommand=hunter2/a",
        "ssh://x@-oProxyCommand=hunter2/a",
        "-oProxyCommand=hunter2:a",
        "ext::sh -c hunter2",
        "git://hunter2/a",
        "git://hunter2@git.example/a",
        "git://-hunter2/a",
        "git://hunter2",
        "hunter2",
        "",
    ] {
        let told = problems(of(text));
        assert!(told.starts_with("sources[0].git.url: "), "{text}: {told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
}

#[test]
fn what_is_wrong_is_told_at_its_key() {
    let good = || of("https://git.example/a");
    for (git, key) in [
        (RawGit { branch: Some("a:b".into()), ..good() }, "git.branch"),
        (RawGit { branch: Some("-x".into()), ..good() }, "git.branch"),
        (RawGit { tag: Some("a..b".into()), ..good() }, "git.tag"),
        (RawGit { commit: Some("abc".into()), ..good() }, "git.commit"),
        (RawGit { branch: Some("a".into()), tag: Some("b".into()), ..good() }, "git.branch"),
        (RawGit { path: Some("a/../b".into()), ..good() }, "git.path"),
        (RawGit { include: vec![String::new()], ..good() }, "git.include"),
        (RawGit { interval: Some("0s".into()), ..good() }, "git.interval"),
        (RawGit { timeout: Some("soon".into()), ..good() }, "git.timeout"),
        (RawGit { verify: Some(RawVerify::default()), ..good() }, "git.verify"),
    ] {
        let told = problems(git);
        assert!(told.starts_with(&format!("sources[0].{key}: expected ")), "{key}: {told}");
    }
    assert_eq!(problems(good()), "");
}

#[test]
fn a_token_is_not_sent_in_the_clear_and_a_key_needs_ssh() {
    let token = RawCredentials { token_env: Some("T".into()), ..RawCredentials::default() };
    let told = problems(RawGit { credentials: Some(token), ..of("http://git.example/a") });
    assert_eq!(told, "sources[0].git.url: expected https:// beside a token");
    let key = RawCredentials { ssh_key_file: Some("/k".into()), ..RawCredentials::default() };
    let told = problems(RawGit { credentials: Some(key), ..of("https://git.example/a") });
    assert!(told.contains("git.credentials: expected an ssh:// URL"), "{told}");
}

#[test]
fn git_daemon_needs_signatures_and_gets_no_token() {
    let told = problems(of("git://git.example/a"));
    assert!(told.contains("git.url: git:// is neither encrypted nor authenticated"), "{told}");
    let signers = Some(PathBuf::from("/keys"));
    let verify = RawVerify { open_pgp_keyring_file: signers, ..RawVerify::default() };
    let verified = RawGit { verify: Some(verify), ..of("git://git.example/a") };
    assert_eq!(problems(verified.clone()), "");
    let token = RawCredentials { token_env: Some("T".into()), ..RawCredentials::default() };
    let told = problems(RawGit { credentials: Some(token), ..verified });
    assert_eq!(told, "sources[0].git.url: expected https:// beside a token");
}

#[test]
fn two_sources_need_two_names_and_each_one_origin() {
    let one = RawSource { name: "a".to_owned(), ..RawSource::default() };
    let told: Vec<String> =
        read(&[one.clone(), one], None).1.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "sources[0].git: expected either `git` or `directory`",
            "sources[1].name: expected a name that no other source has",
            "sources[1].git: expected either `git` or `directory`",
        ]
    );
}
