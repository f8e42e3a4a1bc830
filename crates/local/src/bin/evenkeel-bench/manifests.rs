//! How long manifests take to be read and validated; never touches a file.

use std::time::Instant;

use evenkeel_manifest::load;

use crate::figures::{Figures, show};
use crate::fleet;

pub(crate) fn measure(figures: &mut Figures, count: usize) {
    let files = fleet::files(count);
    let began = Instant::now();
    let set = load(&files);
    let took = began.elapsed();
    let valid = set.services.len();
    figures.add(format!("parse and validate {count} manifests ({valid} valid)"), show(took));
}
