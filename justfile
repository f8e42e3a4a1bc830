# Habits of this project. `just` lists them; `just check` is what CI runs.

# List the recipes.
default:
    @just --list --unsorted

# Everything that CI checks, in its order.
check: fmt-check lint deny test

# Format the code.
fmt:
    cargo fmt --all

# Fail if anything is not formatted.
fmt-check:
    cargo fmt --all --check

# Clippy with warnings as errors.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Licences, sources and banned crates of all dependencies.
deny:
    .ci/tools cargo-deny check --hide-inclusion-graph bans licenses sources

# All tests; those that need the AWS CLI, boto3, moto or promtool install them into .tools/.
test:
    cargo test --workspace

# Hostile input for SECONDS of CPU time a target, then names of targets: `just fuzz 20`, `just fuzz 60 plans`.
fuzz *ARGS:
    .ci/fuzz {{ARGS}}

# Proof by simulation with its figures: every scenario, every sweep, 10,000 seeds; `just prove ci` is the part for CI.
prove *ARGS:
    .ci/prove {{ARGS}}

# Watch a good release, three bad ones and a good one on the local region.
demo *ARGS:
    cargo run -p evenkeel-local -- demo {{ARGS}}

# Run the local region alone, for the AWS CLI, boto3 or your own tools.
serve *ARGS:
    cargo run -p evenkeel-local -- serve {{ARGS}}

# Print the figures of docs/testing.md on this machine.
bench *ARGS:
    cargo build --release -p evenkeel-local -p evenkeel-controller
    cargo run --release -p evenkeel-local --bin evenkeel-bench -- {{ARGS}}
    cargo run --release -p evenkeel-simulator -- rollouts

# Accept changed snapshots after having read them.
snapshots:
    INSTA_UPDATE=always cargo test --workspace

# Read the members that AWS knows out of the SDK, after an update of it.
shapes:
    cargo run -q -p evenkeel-aws --example shapes > target/shapes.json
    mv target/shapes.json crates/manifest/src/shapes.json

# How often is the judge wrong? False rollbacks and misses of its comparisons, by simulation.
judge *ARGS:
    cargo run --release -p evenkeel-simulator --example judge -- {{ARGS}}

# Does the oracle bite? Plants mistakes in a copy of the decision core, and fails when one is not found.
mutants *ARGS:
    cargo run -p evenkeel-simulator --example mutants -- {{ARGS}}

# Small mistakes of all kinds in the decision core, against its own tests: `just mutants-core --shard 1/20`.
mutants-core *ARGS:
    .ci/mutants-core {{ARGS}}
