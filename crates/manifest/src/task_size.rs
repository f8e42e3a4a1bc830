//! Task-level CPU and memory in the spellings that ECS understands; never judges which pairs exist.

/// CPU units of `256`, `.5 vCPU`, `1 vcpu`: 1024 to a vCPU.
pub(crate) fn cpu_units(text: &str) -> Option<u64> {
    quantity(text, "vcpu")
}

/// MiB of `512`, `1GB`, `0.5 GB`: 1024 to a GB, as ECS counts.
pub(crate) fn memory_mib(text: &str) -> Option<u64> {
    quantity(text, "gb")
}

fn quantity(text: &str, unit: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    match text.strip_suffix(unit) {
        Some(number) => thousandths(number.trim()).map(|n| n * 1024 / 1000),
        None => text.parse().ok(),
    }
}

/// A decimal number with at most three digits after the point, times 1000.
fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    if whole.len() > 6 || fraction.len() > 3 {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    Some(whole * 1000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn understands_units_vcpu_and_gb() {
        for (text, units) in [
            ("256", 256),
            ("1 vCPU", 1024),
            (".25 vCPU", 256),
            ("0.5vcpu", 512),
            ("16 vCPU", 16384),
        ] {
            assert_eq!(cpu_units(text), Some(units), "{text}");
        }
        for (text, mib) in [("512", 512), ("1GB", 1024), ("0.5 GB", 512), ("120 gb", 122_880)] {
            assert_eq!(memory_mib(text), Some(mib), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_not_a_size() {
        for text in ["", "vCPU", ".", "1.2.3 vCPU", "-1", "1 GHz", "99999999999999999999 vCPU"] {
            assert_eq!(cpu_units(text), None, "{text}");
        }
    }
}
