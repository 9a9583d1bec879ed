#!/bin/sh
# `make bench`: what Holdfast costs, in figures.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

need rust c-compiler postgresql

# Start-up, memory and size are those of the binary that is deployed.
say 'Building document-sync as it is deployed'
cargo build --release --package document-sync

# The rest is measured from inside the bench; optimised, but without minutes of linking.
say 'Building the bench'
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
cargo build --release --package bench

say 'Measuring'
exec cargo run --quiet --release --package bench
