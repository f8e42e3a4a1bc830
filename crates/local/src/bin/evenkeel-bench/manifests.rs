//! How long manifests take to be read and validated; never touches a file.

use std::time::Instant;

use evenkeel_manifest::load;

use crate::figures::{Figures, show};
use crate::fleet;

pub(crate) fn measure(figures: &mut Figures, count: usize) {
    let files = fleet::files(count);
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    let began = Instant::now();
    let set = load(&files);
    let took = began.elapsed();
    figures.add(
        format!("parse_validate_{count}_seconds"),
        format!("parse and validate {count} manifests"),
        took.as_secs_f64(),
        show(took),
        format!(
            "{} of {count} valid; {} KiB of YAML in {} files, from memory, on one thread: reading, \
             all checks, canonical forms, digests.",
            set.services.len(),
            bytes >> 10,
            files.len(),
        ),
    );
}
