#!/bin/sh
# `make fuzz`: random payloads and settings for document-sync, grown from the sample events. It stops at the
# first that breaks a property, and says in which file that one is.
#
# FUZZ_SECONDS: how long each target runs (600). FUZZ_JOBS: how many processes at once (2).
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

seconds=${FUZZ_SECONDS:-600}
jobs=${FUZZ_JOBS:-2}
fuzz=functions/document-sync/fuzz

need rust c-compiler
if ! has rustup || ! rustup run nightly rustc --version >/dev/null 2>&1; then
    fail 'the fuzzer needs a nightly compiler beside the stable one: rustup toolchain install nightly --profile minimal'
fi
cargo_tool fuzz 0.13.1

# The versions of the workspace; cargo adds the fuzzer's own.
cp Cargo.lock "$fuzz/Cargo.lock"
cargo fmt --check --manifest-path "$fuzz/Cargo.toml"

# New inputs are added to these in later runs. Larger samples than this say nothing more, and slow it down.
mkdir -p "$fuzz/corpus/envelope" "$fuzz/corpus/settings"
find events -name 'document-sync.*.json' -size -16 -exec cp {} "$fuzz/corpus/envelope/" \;
printf '%s\n' 'reports/' 'reports/drafts/' '**/*.{pdf,md}' '["**/.*", "**/~*"]' 1 1000000 'reports/a b.pdf' \
    'db.example.com:5432/name?sslmode=verify-full&sslrootcert=/etc/rds.pem' >"$fuzz/corpus/settings/all"
printf '%s\n' '["reports/", "notes/"]' '' '' '' '' '' 'notes/a.md' '127.0.0.1/name' >"$fuzz/corpus/settings/prefixes"

# Nothing of ours is unsafe, so there is no memory to watch, which would halve the speed.
for target in envelope settings; do
    say "Fuzzing $target for $seconds seconds"
    cargo +nightly fuzz run --fuzz-dir "$fuzz" --target-dir "${CARGO_TARGET_DIR:-target}/fuzz" --sanitizer none \
        --jobs "$jobs" "$target" -- -dict="$fuzz/dictionary.txt" -max_len=8192 -max_total_time="$seconds"
done
