//! What can be typed to change manifests; never what it does.

use std::path::PathBuf;

use clap::Subcommand;
use evenkeel_manifest::{ImageReference, ImageTarget, VariableTarget};

use super::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct SetArgs {
    #[command(subcommand)]
    pub command: SetCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum SetCommand {
    /// Set the image of a container, and keep every other byte of the file
    ///
    /// Where the manifest takes its task definition from a file, that file is changed. The change is proved
    /// before it is written: read again, nothing but these images differs.
    ///
    /// For example: `evenkeel set image web.yaml web=registry.example.com/web:1.4.3`
    Image(SetImageArgs),
    /// Set a variable of an environment, and keep every other byte of the file
    ///
    /// It must be there already, and keeps its type: a number stays one. The change is proved as that of an
    /// image is.
    ///
    /// For example: `evenkeel set var environments/staging.yaml webTag=1.5.0`
    Var(SetVarArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetImageArgs {
    /// A file of manifests, `-` for standard input, which is then written to standard output
    pub file: PathBuf,
    /// As SERVICE=REPO:TAG or SERVICE/CONTAINER=REPO@sha256:DIGEST; with CLUSTER/ before both if need be
    #[arg(value_name = "SERVICE=IMAGE", required = true, value_parser = assignment)]
    pub images: Vec<(ImageTarget, ImageReference)>,
    #[command(flatten)]
    pub options: SetOptions,
}

#[derive(Debug, clap::Args)]
pub(crate) struct SetVarArgs {
    /// A file with an environment, `-` for standard input, which is then written to standard output
    pub file: PathBuf,
    /// As NAME=VALUE, or ENVIRONMENT/NAME=VALUE where the file has several
    #[arg(value_name = "NAME=VALUE", required = true, value_parser = variable)]
    pub vars: Vec<(VariableTarget, String)>,
    #[command(flatten)]
    pub options: SetOptions,
}

#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct SetOptions {
    /// Show what would change as a diff, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

fn variable(text: &str) -> Result<(VariableTarget, String), String> {
    let (target, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as `tag=1.5.0`")?;
    let target =
        VariableTarget::parse(target).ok_or("expected NAME or ENVIRONMENT/NAME before the `=`")?;
    if value.is_empty() {
        return Err(format!("the value of `{}` is empty", target.name));
    }
    Ok((target, value.to_owned()))
}

fn assignment(text: &str) -> Result<(ImageTarget, ImageReference), String> {
    let (target, image) =
        text.split_once('=').ok_or("expected SERVICE=IMAGE, such as `web=example/web:7`")?;
    let target = ImageTarget::parse(target)
        .ok_or("expected SERVICE, SERVICE/CONTAINER or CLUSTER/SERVICE/CONTAINER before the `=`")?;
    let image =
        ImageReference::parse(image).map_err(|why| format!("`{image}` is no image: {why}"))?;
    Ok((target, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_names_a_service_and_a_whole_image() {
        let (target, image) = assignment("web/app=localhost:5000/web:7").unwrap();
        assert_eq!(target.container.as_deref(), Some("app"));
        assert_eq!(image.as_str(), "localhost:5000/web:7");
        let wrong = |text| assignment(text).unwrap_err();
        assert!(wrong("web").contains("SERVICE=IMAGE"));
        assert!(wrong("=web:7").contains("before the `=`"));
        assert!(wrong("a/b/c/d=web:7").contains("before the `=`"));
        assert!(wrong("web=web").contains("`latest`"));
    }
}
