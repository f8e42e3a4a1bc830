//! What can be typed after `evenkeel verify`; never what it does.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use evenkeel_planner::Check;

use super::Output;

#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Files or directories of manifests, `-` for standard input [default: `manifests.path`]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Leave these checks out, besides those of `verify.skip`; may be repeated or listed with commas
    #[arg(long, value_name = "CHECK", value_delimiter = ',', value_parser = check())]
    pub skip: Vec<Check>,
    /// Make these checks alone; may be repeated or listed with commas
    #[arg(
        long,
        value_name = "CHECK",
        value_delimiter = ',',
        conflicts_with = "skip",
        value_parser = check()
    )]
    pub only: Vec<Check>,
    /// Exit with 7 also when something could not be checked
    #[arg(long)]
    pub strict: bool,
    /// What is in order too
    #[arg(long)]
    pub all: bool,
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Output,
}

impl VerifyArgs {
    /// Whether to make a check, where the configuration leaves some out.
    pub(crate) fn is_wanted(&self, check: Check, left_out: &[Check]) -> bool {
        if !self.only.is_empty() {
            return self.only.contains(&check);
        }
        !self.skip.contains(&check) && !left_out.contains(&check)
    }
}

fn check() -> impl TypedValueParser<Value = Check> {
    PossibleValuesParser::new(Check::ALL.map(Check::word)).map(|word| {
        let named = Check::ALL.into_iter().find(|check| check.word() == word);
        named.expect("only words of checks are possible values")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command};

    fn wanted(line: &str) -> Vec<Check> {
        let Command::Verify(args) = Args::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("{line}");
        };
        Check::ALL.into_iter().filter(|check| args.is_wanted(*check, &[])).collect()
    }

    #[test]
    fn each_check_has_its_own_switch() {
        assert_eq!(wanted("evenkeel verify"), Check::ALL);
        let rest = wanted("evenkeel verify --skip image,log-group --skip role");
        let without = [Check::Image, Check::LogGroup, Check::Role];
        let expected: Vec<_> =
            Check::ALL.into_iter().filter(|one| !without.contains(one)).collect();
        assert_eq!(rest, expected);
        let only = wanted("evenkeel verify --only security-group,subnet dir");
        assert_eq!(only, [Check::Subnet, Check::SecurityGroup]);
    }

    #[test]
    fn a_check_that_does_not_exist_is_refused() {
        for line in ["evenkeel verify --skip roles", "evenkeel verify --skip role --only image"] {
            assert!(Args::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
