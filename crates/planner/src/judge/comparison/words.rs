//! Numbers for people; never more digits than say something.

/// Three digits that say something, more for whole numbers below a million: `0.00123`, `1.5`, `1234`.
pub(super) fn digits(number: f64) -> String {
    if number == 0.0 || !number.is_finite() {
        return format!("{number}");
    }
    if !(1e-6..1e6).contains(&number.abs()) {
        return power(number);
    }
    let mut decimals = 0;
    let mut scaled = number.abs();
    while scaled < 100.0 {
        scaled *= 10.0;
        decimals += 1;
    }
    let text = format!("{number:.decimals$}");
    if decimals == 0 {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// As [`digits`], from one to a million; otherwise as a power of ten: `3.1e-7`.
pub(super) fn power(number: f64) -> String {
    let is_plain = number == 0.0 || !number.is_finite() || (1e-3..1e6).contains(&number.abs());
    if is_plain { digits(number) } else { format!("{number:.1e}") }
}

/// `0.123 %`.
pub(super) fn percent(part: f64) -> String {
    format!("{} %", digits(part * 100.0))
}

/// `1 window`, `2 windows`.
pub(super) fn plural(count: usize, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// Nothing, or how many windows were left out and why.
pub(super) fn left_out(windows: usize) -> String {
    if windows == 0 {
        return String::new();
    }
    format!(" ({} left out: no usable numbers of both)", plural(windows, "window"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_enough() {
        let shown = [0.0, 1.0, 1.5, 2.0 / 3.0, 12.345, 1234.0, 0.001_234, 3.16e-9, 2.5e12];
        let expected = ["0", "1", "1.5", "0.667", "12.3", "1234", "0.00123", "3.2e-9", "2.5e12"];
        assert_eq!(shown.map(digits), expected);
    }

    #[test]
    fn what_is_no_number_is_shown_as_it_is() {
        assert_eq!([f64::NAN, f64::INFINITY, -0.25].map(digits), ["NaN", "inf", "-0.25"]);
    }

    #[test]
    fn small_probabilities_are_powers_of_ten() {
        assert_eq!(
            [0.05, 1e-3, 7.8e-5, f64::MAX].map(power),
            ["0.05", "0.001", "7.8e-5", "1.8e308"]
        );
    }

    #[test]
    fn one_window_is_no_plural() {
        assert_eq!(plural(1, "window"), "1 window");
        assert_eq!(left_out(2), " (2 windows left out: no usable numbers of both)");
        assert_eq!(left_out(0), "");
    }
}
