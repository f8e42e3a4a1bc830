//! How much input is accepted; never unlimited.

/// Bounds on what one load reads. What exceeds one is a problem at its place, not a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files of one load.
    pub files: usize,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes read through `taskDefinition.file` in one load, a file counted each time.
    pub included_bytes: usize,
    /// Documents in one file.
    pub documents: usize,
    /// Nesting of one document.
    pub depth: usize,
    /// Scalars, lists and mappings of one file, aliases expanded.
    pub nodes: usize,
    /// Bytes of one scalar.
    pub scalar_bytes: usize,
    /// Bytes of all scalars of one file, aliases expanded.
    pub expanded_bytes: usize,
    /// Bytes of one task definition as JSON.
    pub task_definition_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Five clusters full of services, each in a file of its own with a task definition.
            files: 50_000,
            // 16 times the largest task definition that ECS takes.
            file_bytes: 1 << 20,
            // 50,000 task definitions of 5 KiB; a line that includes a large file is cheap to repeat.
            included_bytes: 256 << 20,
            documents: 1_000,
            // The deepest AWS member is 9 levels down.
            depth: 64,
            nodes: 100_000,
            scalar_bytes: 256 << 10,
            expanded_bytes: 4 << 20,
            // RegisterTaskDefinition takes at most 64 KiB.
            task_definition_bytes: 64 << 10,
        }
    }
}
