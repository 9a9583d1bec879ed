#!/bin/sh
# `make run`: everything on this machine, until Ctrl-C.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

if [ -n "${DATABASE_URL:-}" ]; then
    need rust c-compiler
else
    need rust c-compiler postgresql
fi

# Built apart from the start, so that compiling shows its progress and the start takes no time of it.
say 'Building'
cargo build --package stack
exec cargo run --quiet --package stack
