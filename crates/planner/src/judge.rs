//! What decides at a gate; never reads metrics itself.

mod comparison;

pub use comparison::{
    Certainty, Comparison, ComparisonNumbers, ComparisonOutcome, ComparisonSettings, Counts,
    Direction, Effect, WindowPair, compare_errors, compare_values,
};
