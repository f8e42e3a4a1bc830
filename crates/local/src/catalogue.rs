//! Which program an image's name stands for; never pulls, unpacks or isolates anything.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The images that exist in the region, by name and tag.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    images: BTreeMap<String, Image>,
}

/// A program on this machine in the place of an image. Arguments and environment values may hold
/// `{address}`, `{port}` (the first container port) and `{port:N}` (where container port N is).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// `repository:tag`, as a task definition names it; without a tag, `latest` is meant.
    pub name: String,
    /// Replaced by `entryPoint` of a container definition.
    pub program: String,
    /// Always passed, right after the program.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// Passed after `arguments`, unless the container definition has a `command`.
    #[serde(default)]
    pub command: Vec<String>,
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CatalogueFile {
    #[serde(default)]
    image: Vec<Image>,
}

#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    #[error("the catalogue {path} cannot be read: {source}", path = .path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the catalogue {path} is not valid: {message}", path = .path.display())]
    Invalid { path: PathBuf, message: String },
    #[error("this program's own path is not known, so the demo images cannot be run: {0}")]
    OwnPath(std::io::Error),
}

impl Catalogue {
    /// The demo application `evenkeel-demo`, played by `program` itself: `v1`, `v2` and `v6` work,
    /// `v3` ends soon after its start, `v4` answers 500 on its health path. There is no `v5`.
    pub fn demo(program: &Path) -> Self {
        let tags: [(&str, &[&str]); 6] = [
            ("latest", &[]),
            ("v1", &[]),
            ("v2", &[]),
            ("v3", &["--crash-after-ms", "300"]),
            ("v4", &["--health-status", "500"]),
            ("v6", &[]),
        ];
        Self::of_demo_application(program, tags)
    }

    /// Images `evenkeel-demo:TAG` with these tags, and what the application is told to do wrong in each.
    pub fn of_demo_application<'a>(
        program: &Path,
        tags: impl IntoIterator<Item = (&'a str, &'a [&'a str])>,
    ) -> Self {
        let image = |tag: &str, fault: &[&str]| Image {
            name: format!("evenkeel-demo:{tag}"),
            program: program.display().to_string(),
            arguments: ["app", "--version", tag, "--tethered"]
                .iter()
                .chain(fault)
                .map(|&argument| argument.to_owned())
                .collect(),
            command: Vec::new(),
            environment: BTreeMap::new(),
        };
        let images = tags.into_iter().map(|(tag, fault)| image(tag, fault));
        images.fold(Self::default(), Self::with)
    }

    /// The demo application, played by the running program.
    pub fn shipped() -> Result<Self, CatalogueError> {
        let program = std::env::current_exe().map_err(CatalogueError::OwnPath)?;
        Ok(Self::demo(&program))
    }

    /// Adds the images of a TOML file with one `[[image]]` table for each.
    pub fn with_file(self, path: &Path) -> Result<Self, CatalogueError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CatalogueError::Unreadable { path: path.to_owned(), source })?;
        let file: CatalogueFile = toml::from_str(&text).map_err(|error| {
            CatalogueError::Invalid { path: path.to_owned(), message: error.to_string() }
        })?;
        Ok(file.image.into_iter().fold(self, Self::with))
    }

    /// Adds an image, in the place of one of the same name.
    #[must_use]
    pub fn with(mut self, image: Image) -> Self {
        self.images.insert(reference(&image.name), image);
        self
    }

    /// The image of that name, or the reason that ECS gives for one that cannot be pulled.
    pub fn resolve(&self, name: &str) -> Result<&Image, String> {
        self.images.get(&reference(name)).ok_or_else(|| {
            let reference = reference(name);
            format!(
                "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed \
                 to resolve ref {reference}: {reference}: not found"
            )
        })
    }
}

impl Image {
    /// The whole command line, with the task's own `entryPoint` and `command` as Docker treats them.
    pub fn command_line(&self, entry_point: &[String], command: &[String]) -> Vec<String> {
        let own_command = if command.is_empty() { self.command.as_slice() } else { command };
        if entry_point.is_empty() {
            let program = std::iter::once(&self.program);
            program.chain(&self.arguments).chain(own_command).cloned().collect()
        } else {
            entry_point.iter().chain(command).cloned().collect()
        }
    }
}

/// `docker.io/library/NAME:TAG`, as ECS completes a short name.
fn reference(name: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    let tagged = last.contains(':') || name.contains('@');
    let name = if tagged { name.to_owned() } else { format!("{name}:latest") };
    match name.split_once('/') {
        None => format!("docker.io/library/{name}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name,
        Some(_) => format!("docker.io/{name}"),
    }
}

/// Fills `{address}`, `{port}` and `{port:N}` in; what is not known stays as it is.
pub fn fill_in(text: &str, address: IpAddr, ports: &BTreeMap<u16, u16>) -> String {
    let mut filled = text.replace("{address}", &address.to_string());
    if let Some(first) = ports.values().next() {
        filled = filled.replace("{port}", &first.to_string());
    }
    for (container_port, port) in ports {
        filled = filled.replace(&format!("{{port:{container_port}}}"), &port.to_string());
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Image {
        toml::from_str(&format!("name = '{name}'\nprogram = 'p'\narguments = ['a']\ncommand=['c']"))
            .unwrap()
    }

    #[test]
    fn an_unknown_tag_fails_as_a_pull_on_ecs_does() {
        let catalogue = Catalogue::default().with(image("shop:v1"));
        assert_eq!(catalogue.resolve("shop:v1").map(|image| &*image.program), Ok("p"));
        assert_eq!(
            catalogue.resolve("shop:v5").unwrap_err(),
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to \
             resolve ref docker.io/library/shop:v5: docker.io/library/shop:v5: not found"
        );
    }

    #[test]
    fn short_and_long_names_of_an_image_are_the_same() {
        let catalogue = Catalogue::default().with(image("shop"));
        for name in
            ["shop", "shop:latest", "docker.io/library/shop", "docker.io/library/shop:latest"]
        {
            assert!(catalogue.resolve(name).is_ok(), "{name}");
        }
        assert!(catalogue.resolve("example.com:5000/shop").is_err());
    }

    #[test]
    fn entry_point_and_command_replace_what_docker_lets_them_replace() {
        let image = image("shop");
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(image.command_line(&[], &[]), words(&["p", "a", "c"]));
        assert_eq!(image.command_line(&[], &words(&["x"])), words(&["p", "a", "x"]));
        assert_eq!(image.command_line(&words(&["e"]), &[]), words(&["e"]));
        assert_eq!(image.command_line(&words(&["e"]), &words(&["x"])), words(&["e", "x"]));
    }

    #[test]
    fn a_misspelt_key_of_the_catalogue_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[[image]]\nname='a'\nprogramm='b'").unwrap();
        let error = Catalogue::default().with_file(file.path()).unwrap_err().to_string();
        assert!(error.contains("programm"), "{error}");
    }

    #[test]
    fn places_are_filled_in() {
        let ports = BTreeMap::from([(80, 4000), (90, 4001)]);
        let filled = fill_in("{address}:{port} {port:90} {other}", [127, 0, 0, 2].into(), &ports);
        assert_eq!(filled, "127.0.0.2:4000 4001 {other}");
    }
}
