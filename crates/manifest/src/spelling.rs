//! The word that was probably meant; never guesses wildly.

/// The candidate nearest to `word`, near enough to be a slip of the pen: the same letters in another
/// case or with other separators, or at most a third of them wrong.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let folded = fold(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&folded, &fold(candidate)), candidate))
        .filter(|(distance, candidate)| distance * 3 <= candidate.chars().count().max(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn fold(word: &str) -> String {
    // Longer words are no slip of the pen, and the distance costs the product of both lengths.
    word.chars().take(64).filter(|c| !"_- ".contains(*c)).map(|c| c.to_ascii_lowercase()).collect()
}

/// `: did you mean ...?`, or the choices when nothing is near and they are few.
pub(crate) fn suggestion(word: &str, candidates: &[&str]) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!(": did you mean `{near}`?"),
        None if candidates.is_empty() => String::new(),
        None => format!("; expected {}", choices(candidates)),
    }
}

/// `a`, `b` or `c`; the first twelve when there are more.
pub(crate) fn choices(candidates: &[&str]) -> String {
    let quoted: Vec<String> = candidates.iter().take(12).map(|name| format!("`{name}`")).collect();
    match (quoted.split_last(), candidates.len() > quoted.len()) {
        (None, _) => String::new(),
        (Some(_), true) => format!("one of {}, ...", quoted.join(", ")),
        (Some((only, [])), false) => only.clone(),
        (Some((last, others)), false) => format!("{} or {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip_of_the_pen_and_nothing_far_fetched() {
        let names = ["image", "essential", "portMappings", "cpu"];
        for (word, meant) in [
            ("imgae", Some("image")),
            ("Image", Some("image")),
            ("port_mappings", Some("portMappings")),
            ("cpus", Some("cpu")),
            ("replicas", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, names), meant, "{word}");
        }
    }

    #[test]
    fn lists_the_choices_when_nothing_is_near() {
        assert_eq!(suggestion("x", &["Rollback", "Hold"]), "; expected `Rollback` or `Hold`");
        assert_eq!(suggestion("hold", &["Rollback", "Hold"]), ": did you mean `Hold`?");
    }
}
