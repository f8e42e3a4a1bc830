//! Repositories as nobody should make them: each odd thing is told or left out, and the file beside it is
//! read all the same.

use std::fs;
use std::time::{Duration, Instant};

use gix::objs::{Kind, Write as _};
use gix::{ObjectId, Repository};

use super::super::tree::{Tree, TreeLimits};
use super::super::union::Member;
use super::super::union::{Reading, unite};
use super::wanted::Wanted;
use super::{Found, GitReader, cache, objects};
use crate::config::{Credentials, GitConfig, GitRevision, GitUrl, Verify};

const GOOD: &str = "apiVersion: evenkeel.dev/v1\nkind: Service\nmetadata: {name: good}\nspec:\n  cluster: \
                    prod\n  taskDefinition:\n    memory: \"512\"\n    containerDefinitions: [{name: app, \
                    image: app}]\n  service: {desiredCount: 1}\n";

fn lines(all: impl IntoIterator<Item = String>) -> String {
    all.into_iter().flat_map(|line| [line, "\n".to_owned()]).collect()
}

/// A repository made of raw objects.
struct Made {
    directory: tempfile::TempDir,
    repository: Repository,
}

type Entry = (&'static str, Vec<u8>, ObjectId);

impl Made {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        drop(gix::init_bare(directory.path()).unwrap());
        let repository = cache::open(directory.path()).unwrap();
        Self { directory, repository }
    }

    fn object(&self, kind: Kind, data: &[u8]) -> ObjectId {
        self.repository.objects.write_buf(kind, data).unwrap()
    }

    fn blob(&self, text: impl AsRef<[u8]>) -> ObjectId {
        self.object(Kind::Blob, text.as_ref())
    }

    /// The entries as they come, however wrong.
    fn tree(&self, entries: &[Entry]) -> ObjectId {
        let mut data = Vec::new();
        for (mode, name, id) in entries {
            data.extend_from_slice(mode.as_bytes());
            data.push(b' ');
            data.extend_from_slice(name);
            data.push(0);
            data.extend_from_slice(id.as_bytes());
        }
        self.object(Kind::Tree, &data)
    }

    fn commit(&self, tree: ObjectId, parents: &[ObjectId]) -> ObjectId {
        let parents = lines(parents.iter().map(|id| format!("parent {id}")));
        let who = "a <a@example> 1700000000 +0000";
        let text = format!("tree {tree}\n{parents}author {who}\ncommitter {who}\n\nx\n");
        self.object(Kind::Commit, text.as_bytes())
    }

    fn point(&self, reference: &str, id: ObjectId) {
        let path = self.directory.path().join(reference);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{id}\n")).unwrap();
    }

    fn read(&self, commit: ObjectId) -> Result<Tree, String> {
        let limits = TreeLimits::default();
        let tree = objects::root(&self.repository, commit, "", &limits)?;
        let deadline = Instant::now() + Duration::from_mins(1);
        objects::read(&self.repository, tree, &Wanted::new(&[], &[]), &limits, deadline)
    }

    /// With the good file before and behind, by the order of bytes or not.
    fn beside_good(&self, entries: &[Entry]) -> Result<Tree, String> {
        let good = self.blob(GOOD);
        let mut all = vec![("100644", b"good.yaml".to_vec(), good)];
        all.extend(entries.iter().cloned());
        self.read(self.commit(self.tree(&all), &[]))
    }
}

/// What becomes of one odd thing.
#[derive(Clone, Copy, Debug)]
enum Want {
    Read,
    /// The part of a problem that says why.
    Told(&'static str),
    Nothing,
}
use Want::{Nothing, Read, Told};

fn check(case: &str, tree: &Tree, want: Want) {
    let (files, told): (Vec<&str>, Vec<String>) = (
        tree.files.iter().map(|file| &*file.name).collect(),
        tree.unreadable.iter().map(|one| format!("{} {}", one.name, one.message)).collect(),
    );
    assert!(files.contains(&"good.yaml"), "{case}: the others go on: {files:?} {told:?}");
    let safe = |text: &str| !text.contains(char::is_control);
    assert!(told.iter().all(|text| safe(text)) && files.iter().all(|name| safe(name)), "{case}");
    match want {
        Read => assert!(files.len() == 2 && told.is_empty(), "{case}: {files:?} {told:?}"),
        Nothing => assert!(files.len() == 1 && told.is_empty(), "{case}: {files:?} {told:?}"),
        Told(why) => {
            assert_eq!(files.len(), 1, "{case}: {files:?}");
            assert!(told.len() == 1 && told[0].contains(why), "{case}: {told:?}");
        }
    }
}

const ELSEWHERE: &str = "leads elsewhere";
const CONTROL: &str = "control characters";
const UTF8: &str = "not UTF-8";

/// Names of files with a manifest's extension, and others.
const FILES: &[(&[u8], Want)] = &[
    (b"web.yaml", Read),
    (b"web.yml", Read),
    (b"web.json", Read),
    (b"we b.yaml", Read),
    (b"-rf.yaml", Read),
    (b"--upload-pack=x.yaml", Read),
    (b"$(id).yaml", Read),
    (b"`id`.yaml", Read),
    (b"a;b.yaml", Read),
    (b"a|b.yaml", Read),
    (b"a&b.yaml", Read),
    (b"a'b.yaml", Read),
    (b"a\"b.yaml", Read),
    (b"*.yaml", Read),
    (b"?.yaml", Read),
    (b"[a].yaml", Read),
    (b"{a}.yaml", Read),
    (b"~.yaml", Read),
    (b"a:b.yaml", Read),
    (b"C:.yaml", Read),
    (b"a%2fb.yaml", Read),
    (b"CON.yaml", Read),
    (b"a..yaml", Read),
    (b"web.yaml.json", Read),
    ("wéb.yaml".as_bytes(), Read),
    ("網.yaml".as_bytes(), Read),
    ("\u{202e}lmay.yaml".as_bytes(), Read),
    ("a\u{200b}.yaml".as_bytes(), Read),
    ("\u{feff}a.yaml".as_bytes(), Read),
    ("\u{200d}.yaml".as_bytes(), Read),
    (b"%00.yaml", Read),
    (b"a\'$(id)\'.yml", Read),
    (b"../web.yaml", Told(ELSEWHERE)),
    (b"../../etc/web.yaml", Told(ELSEWHERE)),
    (b"/etc/web.yaml", Told(ELSEWHERE)),
    (b"//web.yaml", Told(ELSEWHERE)),
    (b"a/../../b.yaml", Told(ELSEWHERE)),
    (b"a//b.yaml", Told(ELSEWHERE)),
    (b"a/b.yaml", Told(ELSEWHERE)),
    (b"a/../b.yaml", Told(ELSEWHERE)),
    (b"a\\b.yaml", Told(ELSEWHERE)),
    (b"C:\\web.yaml", Told(ELSEWHERE)),
    (b"a\\..\\b.yaml", Told(ELSEWHERE)),
    (b"\\\\host\\web.yaml", Told(ELSEWHERE)),
    (b"a\nb.yaml", Told(CONTROL)),
    (b"a\rb.yaml", Told(CONTROL)),
    (b"a\tb.yaml", Told(CONTROL)),
    (b"a\x1b[2Jb.yaml", Told(CONTROL)),
    (b"a\x07.yaml", Told(CONTROL)),
    (b"a\x7f.yaml", Told(CONTROL)),
    (b"a\x08.yaml", Told(CONTROL)),
    (b"a\x1f.yaml", Told(CONTROL)),
    (b"a\x0c.json", Told(CONTROL)),
    (b"\x7f.yml", Told(CONTROL)),
    ("a\u{85}b.yaml".as_bytes(), Told(CONTROL)),
    (&[b'a'; 4096], Nothing),
    (b"a\xff.yaml", Told(UTF8)),
    (b"\xc0\xaf.yaml", Told(UTF8)),
    (b"\xed\xa0\x80.yaml", Told(UTF8)),
    (b"\xf8\x88\x80\x80\x80.yaml", Told(UTF8)),
    (b"a\x80.json", Told(UTF8)),
    (b".web.yaml", Nothing),
    (b".git", Nothing),
    (b".GIT", Nothing),
    (b".git.yaml", Nothing),
    (b".gitmodules", Nothing),
    (b".GitModules.yaml", Nothing),
    (b".gitattributes", Nothing),
    (b".yaml", Nothing),
    (b"...yaml", Nothing),
    (b".github.yaml", Nothing),
    (b"README.md", Nothing),
    (b"web.YAML", Nothing),
    (b"web.yaml ", Nothing),
    (b"web.yaml~", Nothing),
    (b"web.yaml.bak", Nothing),
    (b"yaml", Nothing),
    (b"git~1", Nothing),
    (b"..", Nothing),
    (b".", Nothing),
    (b"", Nothing),
    (b"a\xff", Nothing),
    (b"a\nb", Nothing),
    (b"../x", Nothing),
];

#[test]
fn files_with_odd_names_are_told_and_those_of_others_are_left_out() {
    let made = Made::new();
    let web = made.blob(GOOD.replace("good", "web"));
    for mode in ["100644", "100755"] {
        for (name, want) in FILES {
            let tree = made.beside_good(&[(mode, name.to_vec(), web)]).unwrap();
            check(&format!("{mode} {}", name.escape_ascii()), &tree, *want);
        }
    }
}

/// Names of directories with a manifest in each.
const DIRECTORIES: &[(&[u8], Want)] = &[
    (b"team", Read),
    (b"team.yaml", Read),
    (b"te am", Read),
    ("équipe".as_bytes(), Read),
    (b"git", Read),
    (b"git~1", Read),
    (b"-", Read),
    (b"con", Read),
    (b"..", Told(ELSEWHERE)),
    (b".", Told(ELSEWHERE)),
    (b"", Told(ELSEWHERE)),
    (b"/", Told(ELSEWHERE)),
    (b"a/b", Told(ELSEWHERE)),
    (b"../a", Told(ELSEWHERE)),
    (b"/etc", Told(ELSEWHERE)),
    (b"a\\b", Told(ELSEWHERE)),
    (b"..\\a", Told(ELSEWHERE)),
    (b"a\nb", Told(CONTROL)),
    (b"a\x1b]0;x\x07", Told(CONTROL)),
    (b"\x7f", Told(CONTROL)),
    (&[b'a'; 300], Told(CONTROL)),
    (b"\xff\xfe", Told(UTF8)),
    (b"a\xc3", Told(UTF8)),
    (b".git", Nothing),
    (b".GIT", Nothing),
    (b".Git", Nothing),
    (b".hidden", Nothing),
    (b"...", Nothing),
    (b".git\x0a", Nothing),
];

#[test]
fn directories_with_odd_names_are_told_and_hidden_ones_are_left_out() {
    let made = Made::new();
    let web = made.blob(GOOD.replace("good", "web"));
    let inner = made.tree(&[("100644", b"web.yaml".to_vec(), web)]);
    for (name, want) in DIRECTORIES {
        let tree = made.beside_good(&[("40000", name.to_vec(), inner)]).unwrap();
        check(&name.escape_ascii().to_string(), &tree, *want);
    }
}

const MODE: &str = "expected a file of mode";
const LINKED: &str = "symbolic link";

/// Modes of an entry that leads to a blob.
const MODES: &[(&str, Want)] = &[
    ("100644", Read),
    ("100755", Read),
    ("120000", Told(LINKED)),
    ("160000", Nothing),
    ("100664", Told(MODE)),
    ("100600", Told(MODE)),
    ("100666", Told(MODE)),
    ("100777", Told(MODE)),
    ("104755", Told(MODE)),
    ("106755", Told(MODE)),
    ("100000", Told(MODE)),
    ("100001", Told(MODE)),
    ("120777", Told(MODE)),
    ("10000", Told(MODE)),
    ("20000", Told(MODE)),
    ("60000", Told(MODE)),
    ("644", Told(MODE)),
    ("755", Told(MODE)),
    ("0", Told(MODE)),
    ("40000", Told("is a blob and not a tree")),
    ("40755", Told(MODE)),
    ("x", Told("cannot be understood")),
    ("100648", Told("cannot be understood")),
    ("-100644", Told("cannot be understood")),
    ("99999999999999", Told("cannot be understood")),
    ("", Told(MODE)),
];

#[test]
fn only_the_two_modes_of_files_are_read() {
    let made = Made::new();
    let web = made.blob(GOOD.replace("good", "web"));
    for (mode, want) in MODES {
        let tree = made.beside_good(&[(mode, b"web.yaml".to_vec(), web)]).unwrap();
        check(&format!("mode {mode}"), &tree, *want);
    }
}

/// What links say, as files and as directories.
const LINKS: &[&str] = &[
    "/etc/passwd",
    "../../secret",
    ".git/config",
    "good.yaml",
    "",
    "web.yaml",
    "/proc/self/environ",
];

#[test]
fn links_lead_nowhere_whatever_they_say() {
    let made = Made::new();
    for target in LINKS {
        let link = made.blob(target);
        let tree = made.beside_good(&[("120000", b"web.yaml".to_vec(), link)]).unwrap();
        check(target, &tree, Told(LINKED));
        let tree = made.beside_good(&[("120000", b"team".to_vec(), link)]).unwrap();
        check(target, &tree, Nothing);
    }
}

fn contents() -> Vec<(&'static str, Vec<u8>, Want)> {
    let mib = 1 << 20;
    let lfs = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    vec![
        ("empty", Vec::new(), Read),
        ("blank", b"\n \n".to_vec(), Read),
        ("at the limit", vec![b'#'; mib], Read),
        ("over the limit", vec![b'#'; mib + 1], Told("larger than 1024 KiB")),
        ("far over the limit", vec![b'#'; 80 * mib], Told("larger than 1024 KiB")),
        ("a pointer of LFS", lfs.into(), Told("Git LFS")),
        ("NUL", b"a: \0".to_vec(), Told("NUL")),
        ("NUL alone", vec![0], Told("NUL")),
        ("ELF", b"\x7fELF\x02\x01\x01\0".to_vec(), Told("NUL")),
        ("UTF-16", b"\xff\xfea\0".to_vec(), Told("NUL")),
        ("Latin-1", b"a: \xe9\n".to_vec(), Told("not UTF-8")),
        ("overlong", b"a: \xc0\xaf\n".to_vec(), Told("not UTF-8")),
        ("a surrogate", b"a: \xed\xa0\x80\n".to_vec(), Told("not UTF-8")),
        ("cut off", b"a: \xe2\x82".to_vec(), Told("not UTF-8")),
        ("gzip", b"\x1f\x8b\x08\x08".to_vec(), Told("not UTF-8")),
    ]
}

#[test]
fn contents_that_are_no_text_are_told() {
    let made = Made::new();
    for (case, content, want) in contents() {
        let blob = made.blob(&content);
        let tree = made.beside_good(&[("100644", b"web.yaml".to_vec(), blob)]).unwrap();
        check(case, &tree, want);
    }
}

/// Each is small, and would be large or endless to a careless reader.
fn yaml_bombs() -> Vec<(String, String)> {
    let mut bombs = Vec::new();
    for (width, depth) in [(10, 9), (2, 40), (100, 4), (1000, 3)] {
        let mut text = "x-0: &a0 [x]\n".to_owned();
        for level in 1..=depth {
            let one = format!("*a{},", level - 1);
            text += &lines([format!("x-{level}: &a{level} [{}]", one.repeat(width))]);
        }
        bombs.push((format!("aliases {width} {depth}"), format!("{text}{GOOD}")));
    }
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", ""), ("[[", "")] {
        let text = format!("{}x{}", open.repeat(50_000), close.repeat(50_000));
        bombs.push((format!("nested {open}"), format!("x-a: {text}\n{GOOD}")));
    }
    let merge =
        lines((1..30).map(|n| format!("x-{n}: &m{n} {{<<: [*m{0}, *m{0}], k{n}: v}}", n - 1)));
    bombs.push(("merges".to_owned(), format!("x-0: &m0 {{a: b}}\n{merge}{GOOD}")));
    for (case, text) in [
        ("an alias of itself", "x-a: &a [*a]\n".to_owned()),
        ("an alias of nothing", "x-a: *none\n".to_owned()),
        ("a merge of itself", "x-a: &a {<<: *a}\n".to_owned()),
        ("a tag of Python", "x-a: !!python/object/apply:os.system [id]\n".to_owned()),
        ("a tag of Ruby", "x-a: !ruby/object:Gem::Installer {}\n".to_owned()),
        ("a directive", "%YAML 9.9\n---\n".to_owned()),
        ("an endless quote", "x-a: \"".to_owned()),
        ("an endless scalar", format!("x-a: {}\n", "a".repeat(900_000))),
        ("a long key", format!("x-{}: 1\n", "a".repeat(900_000))),
        ("many keys", lines((0..60_000).map(|n| format!("x-{n}: 1")))),
        ("one key again and again", "x-a: 1\n".repeat(60_000)),
        ("many documents", "---\n{}\n".repeat(100_000)),
        ("many anchors", lines((0..40_000).map(|n| format!("x-{n}: &a{n} 1")))),
        ("tabs", "\t\tx-a:\t1\n".to_owned()),
        ("an escape", "x-a: \"\\u0000\\ud800\"\n".to_owned()),
        ("a number", format!("x-a: {}\n", "9".repeat(100_000))),
        ("an exponent", "x-a: 1e999999999\n".to_owned()),
        ("commas", format!("x-a: [{}]\n", ",".repeat(100_000))),
        ("colons", ": ".repeat(100_000)),
    ] {
        bombs.push((case.to_owned(), format!("{text}{GOOD}")));
    }
    bombs
}

#[test]
fn yaml_bombs_cost_little_and_hinder_nobody() {
    let made = Made::new();
    for (case, text) in yaml_bombs() {
        let blob = made.blob(text.replace("name: good", "name: bomb"));
        let tree = made.beside_good(&[("100644", b"web.yaml".to_vec(), blob)]).unwrap();
        let began = Instant::now();
        let config = crate::config::SourceConfig::directory("s");
        let reading = Reading::of(&config, &mut Reading::reloader(&config), tree, None);
        assert!(began.elapsed() < Duration::from_secs(20), "{case}: {:?}", began.elapsed());
        let member = Member {
            name: "s".to_owned(),
            reading: Some(std::sync::Arc::new(reading)),
            fault: None,
        };
        let united = unite(&[member]);
        let names: Vec<&str> = united.services.iter().map(|one| one.key.name.as_str()).collect();
        assert!(names.contains(&"good"), "{case}: {names:?}");
    }
}

const DEPTHS: &[(usize, Want)] = &[
    (1, Read),
    (30, Read),
    (31, Read),
    (32, Told("directories deep")),
    (500, Told("directories deep")),
];

#[test]
fn deep_trees_are_read_to_their_limit() {
    let made = Made::new();
    let web = made.blob(GOOD.replace("good", "web"));
    for (depth, want) in DEPTHS {
        let mut tree = made.tree(&[("100644", b"web.yaml".to_vec(), web)]);
        for _ in 1..*depth {
            tree = made.tree(&[("40000", b"d".to_vec(), tree)]);
        }
        let read = made.beside_good(&[("40000", b"d".to_vec(), tree)]).unwrap();
        check(&format!("{depth} deep"), &read, *want);
    }
}

#[test]
fn objects_that_are_missing_or_of_another_kind_are_told() {
    let made = Made::new();
    let nothing = ObjectId::from_bytes_or_panic(&[7; 20]);
    let (blob, tree) = (made.blob("x"), made.tree(&[]));
    let commit = made.commit(tree, &[]);
    for (case, mode, id) in [
        ("a missing blob", "100644", nothing),
        ("a tree for a blob", "100644", tree),
        ("a commit for a blob", "100644", commit),
    ] {
        let read = made.beside_good(&[(mode, b"web.yaml".to_vec(), id)]).unwrap();
        check(case, &read, Told("cannot be read"));
    }
    for (case, id) in [("a missing tree", nothing), ("a blob", blob), ("a commit", commit)] {
        let read = made.beside_good(&[("40000", b"team".to_vec(), id)]).unwrap();
        check(case, &read, Told("cannot be read"));
    }
    for id in [nothing, blob, tree] {
        assert!(made.read(id).is_err(), "no commit");
    }
    for root in [nothing, blob, commit] {
        assert!(made.read(made.commit(root, &[])).is_err(), "no tree");
    }
    for text in ["", "tree", "tree x\n", "author a\n", "tree 0707070707\n\n"] {
        assert!(made.read(made.object(Kind::Commit, text.as_bytes())).is_err(), "{text}");
    }
}

#[test]
fn one_name_twice_is_told_and_neither_is_read() {
    let made = Made::new();
    let (one, other) = (made.blob(GOOD.replace("good", "web")), made.blob("x"));
    let inner = made.tree(&[("100644", b"a.yaml".to_vec(), one)]);
    let name = || b"web.yaml".to_vec();
    for (first, second) in [
        (("100644", name(), one), ("100644", name(), other)),
        (("40000", name(), inner), ("100644", name(), one)),
        (("100644", name(), one), ("40000", name(), inner)),
    ] {
        let read = made.beside_good(&[first, second]).unwrap();
        check("twice", &read, Told("is twice in its directory"));
    }
}

#[test]
fn trees_of_too_much_are_refused_as_a_whole() {
    let made = Made::new();
    let (web, empty) = (made.blob(GOOD), made.blob(""));
    // A few hundred bytes that unfold into ten thousand million files.
    let mut bomb = made.tree(&[("100644", b"a.yaml".to_vec(), web)]);
    for _ in 0..10 {
        let entries: Vec<Entry> = (b'a'..=b'j').map(|name| ("40000", vec![name], bomb)).collect();
        bomb = made.tree(&entries);
    }
    let hundred = |mode: &'static str, id, extension: &str| -> ObjectId {
        let name = |n: usize| format!("{n:03}{extension}").into_bytes();
        made.tree(&(0..1000).map(|n| (mode, name(n), id)).collect::<Vec<_>>())
    };
    let many_manifests = hundred("40000", hundred("100644", empty, ".yaml"), "");
    let many_others = hundred("40000", hundred("100644", empty, ".txt"), "");
    let large = made.blob(vec![b'#'; 1 << 20]);
    let much = hundred("100644", large, ".yaml");
    for (case, tree, why) in [
        ("a bomb of trees", bomb, "more than 50000 files"),
        ("a million manifests", many_manifests, "more than 50000 files"),
        ("a million others", many_others, "more than 500000 files and directories"),
        ("a GiB of manifests", much, "more than 256 MiB"),
    ] {
        let refused = made.read(made.commit(tree, &[])).unwrap_err();
        assert!(refused.contains(why), "{case}: {refused}");
    }
}

#[test]
fn a_hundred_thousand_other_files_hinder_nobody() {
    let made = Made::new();
    let empty = made.blob("");
    let entries = (0..100_000).map(|n| ("100644", format!("{n:06}.txt").into_bytes(), empty));
    let read = made.beside_good(&entries.collect::<Vec<_>>()).unwrap();
    check("100,000 files", &read, Nothing);
}

fn reader(made: &Made, change: impl FnOnce(&mut GitConfig)) -> GitReader {
    let mut config = GitConfig {
        url: GitUrl::Local(made.directory.path().to_owned()),
        revision: GitRevision::Branch("main".to_owned()),
        path: String::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        interval: Duration::from_mins(1),
        timeout: Duration::from_mins(1),
        credentials: Credentials::default(),
        verify: None,
        allow_force_push: false,
    };
    change(&mut config);
    GitReader::new(config, &made.directory.path().join("cache"))
}

/// The commit that was taken anew, or is still there, or why neither.
fn looked(reader: &mut GitReader) -> Result<(bool, String), String> {
    let look = reader.look();
    match (look.found, look.fault) {
        (Some(Found::Changed(revision, _)), None) => Ok((true, revision.commit)),
        (Some(Found::Same(revision)), None) => Ok((false, revision.commit)),
        (None, Some(fault)) => Err(fault),
        other => panic!("neither found nor failed: {other:?}"),
    }
}

impl Made {
    fn push(&self, image: &str, parents: &[ObjectId]) -> ObjectId {
        let blob = self.blob(GOOD.replace("image: app", &format!("image: {image}")));
        let commit = self.commit(self.tree(&[("100644", b"good.yaml".to_vec(), blob)]), parents);
        self.point("refs/heads/main", commit);
        commit
    }
}

#[test]
fn a_commit_that_follows_takes_over_and_one_that_does_not_is_held() {
    let made = Made::new();
    let mut reader = reader(&made, |_| {});
    let first = made.push("a", &[]);
    assert_eq!(looked(&mut reader), Ok((true, first.to_string())));
    assert_eq!(looked(&mut reader), Ok((false, first.to_string())));
    let second = made.push("b", &[first]);
    assert_eq!(looked(&mut reader), Ok((true, second.to_string())));
    for other in [made.push("c", &[first]), made.push("d", &[]), first] {
        made.point("refs/heads/main", other);
        let held = looked(&mut reader).unwrap_err();
        assert!(held.contains("does not follow from") && held.contains("allowForcePush"), "{held}");
    }
    let merge = made.push("e", &[first, second]);
    assert_eq!(looked(&mut reader), Ok((true, merge.to_string())));
}

#[test]
fn rewritten_history_is_taken_where_it_is_allowed_or_pinned() {
    let made = Made::new();
    let first = made.push("a", &[]);
    let mut allowed = reader(&made, |config| config.allow_force_push = true);
    looked(&mut allowed).unwrap();
    let other = made.push("b", &[]);
    assert_eq!(looked(&mut allowed), Ok((true, other.to_string())));
    let mut pinned =
        reader(&made, |config| config.revision = GitRevision::Commit(first.to_string()));
    assert_eq!(looked(&mut pinned), Ok((true, first.to_string())));
}

#[test]
fn the_unsigned_commit_of_before_is_not_taken_once_signatures_are_asked_for() {
    let made = Made::new();
    made.push("a", &[]);
    let signers = made.directory.path().join("signers");
    let verify = Verify { ssh_allowed_signers_file: Some(signers), ..Verify::default() };
    let held = looked(&mut reader(&made, |config| config.verify = Some(verify))).unwrap_err();
    assert!(held.contains("held by git.verify: it is not signed"), "{held}");
}

#[test]
fn history_that_is_not_there_holds() {
    let made = Made::new();
    let mut reader = reader(&made, |_| {});
    made.push("a", &[]);
    looked(&mut reader).unwrap();
    made.push("b", &[ObjectId::from_bytes_or_panic(&[7; 20])]);
    let held = looked(&mut reader).unwrap_err();
    assert!(held.contains("cannot be decided, so it is held"), "{held}");
}

#[test]
fn what_vanishes_is_told_and_what_was_good_stays() {
    let made = Made::new();
    let mut reader = reader(&made, |_| {});
    let first = made.push("a", &[]);
    looked(&mut reader).unwrap();
    let empty = made.commit(made.tree(&[]), &[first]);
    made.point("refs/heads/main", empty);
    assert!(looked(&mut reader).unwrap_err().contains("holds no manifest"));
    fs::remove_file(made.directory.path().join("refs/heads/main")).unwrap();
    assert!(looked(&mut reader).unwrap_err().contains("has no branch main (any more)"));
    made.point("refs/heads/main", made.blob("x"));
    assert!(looked(&mut reader).is_err());
    fs::rename(made.directory.path().join("objects"), made.directory.path().join("gone")).unwrap();
    assert!(looked(&mut reader).is_err());
    fs::rename(made.directory.path().join("gone"), made.directory.path().join("objects")).unwrap();
    made.point("refs/heads/main", first);
    assert_eq!(looked(&mut reader), Ok((false, first.to_string())));
}

#[test]
fn a_commit_that_changes_only_other_directories_is_noted_and_not_read_again() {
    let made = Made::new();
    let mut reader = reader(&made, |config| config.path = "prod".to_owned());
    let prod = made.tree(&[("100644", b"good.yaml".to_vec(), made.blob(GOOD))]);
    let commit = |text: &str, parents: &[ObjectId]| {
        let entries =
            [("100644", b"README".to_vec(), made.blob(text)), ("40000", b"prod".to_vec(), prod)];
        let commit = made.commit(made.tree(&entries), parents);
        made.point("refs/heads/main", commit);
        commit
    };
    let first = commit("a", &[]);
    assert_eq!(looked(&mut reader), Ok((true, first.to_string())));
    let second = commit("b", &[first]);
    assert_eq!(looked(&mut reader), Ok((false, second.to_string())));
    made.push("a", &[second]);
    assert!(looked(&mut reader).unwrap_err().contains("has no directory prod"));
}

#[test]
fn tags_are_peeled_and_tags_of_tags_end() {
    let made = Made::new();
    let commit = made.push("a", &[]);
    let tag = |target: ObjectId, kind: &str| {
        let text = format!("object {target}\ntype {kind}\ntag t\ntagger a <a@b> 1 +0000\n\nx\n");
        made.object(Kind::Tag, text.as_bytes())
    };
    let mut id = tag(commit, "commit");
    assert_eq!(objects::commit(&made.repository, id), Ok(commit));
    for _ in 0..10 {
        id = tag(id, "tag");
    }
    assert!(objects::commit(&made.repository, id).is_err());
    assert!(objects::commit(&made.repository, tag(made.blob("x"), "blob")).is_err());
}

#[test]
fn the_corpus_has_at_least_two_hundred_cases() {
    let names = FILES.len() + DIRECTORIES.len();
    let trees = MODES.len() + 2 * LINKS.len() + DEPTHS.len();
    let cases = names + trees + contents().len() + yaml_bombs().len();
    assert!(cases >= 200, "{cases}");
}
