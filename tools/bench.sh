#!/bin/sh
# `make bench`: what Holdfast costs, in figures. Arguments go to the bench: `sh tools/bench.sh store`,
# `sh tools/bench.sh reconcile --keys 100000`, `sh tools/bench.sh indexed --artifacts 1000,1000000`; `large` is the
# part of `loader` that has large documents.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

need rust c-compiler postgresql

# What is measured is what is deployed. One at a time: built together, each would get the features that the
# others ask of their common dependencies.
say 'Building document-sync as it is deployed'
cargo build --release --package document-sync
say 'Building the registry in the same way'
cargo build --release --package registry --bin registry
say 'Building document-loader in the same way'
cargo build --release --package document-loader
say 'Building embedded-s3 and the function that does nothing in the same way'
cargo build --release --package embedded-s3
cargo build --release --package bench --no-default-features --bin idle-function

# The bench itself without the longest part of linking. It lies beside the others and replaces none of them.
say 'Building the bench'
export CARGO_PROFILE_RELEASE_LTO=thin CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo build --release --package bench --bin bench

say 'Measuring'
exec cargo run --quiet --release --package bench --bin bench -- "$@"
