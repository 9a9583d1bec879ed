#!/bin/sh
# `make fuzz`: random payloads and settings for document-sync, grown from the sample events, and random documents
# and texts for document-loader, grown from its fixtures. It stops at the first that breaks a property, and says in
# which file that one is.
#
# FUZZ_SECONDS: how long each target runs (600). FUZZ_JOBS: how many processes at once (2).
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

seconds=${FUZZ_SECONDS:-600}
jobs=${FUZZ_JOBS:-2}
sync=functions/document-sync/fuzz
loader=functions/document-loader/fuzz

need rust c-compiler
if ! has rustup || ! rustup run nightly rustc --version >/dev/null 2>&1; then
    fail 'the fuzzer needs a nightly compiler beside the stable one: rustup toolchain install nightly --profile minimal'
fi
cargo_tool fuzz 0.13.1

# The versions of the workspace; cargo adds the fuzzer's own.
for folder in "$sync" "$loader"; do
    cp Cargo.lock "$folder/Cargo.lock"
    cargo fmt --check --manifest-path "$folder/Cargo.toml"
done

# New inputs are added to these in later runs. Larger samples than this say nothing more, and slow it down.
mkdir -p "$sync/corpus/envelope" "$sync/corpus/settings" "$loader/corpus/sniff" "$loader/corpus/split"
find events -name 'document-sync.*.json' -size -16 -exec cp {} "$sync/corpus/envelope/" \;
printf '%s\n' 'reports/' 'reports/drafts/' '**/*.{pdf,md}' '["**/.*", "**/~*"]' 1 1000000 'reports/a b.pdf' \
    'db.example.com:5432/name?sslmode=verify-full&sslrootcert=/etc/rds.pem' >"$sync/corpus/settings/all"
printf '%s\n' '["reports/", "notes/"]' '' '' '' '' '' 'notes/a.md' '127.0.0.1/name' >"$sync/corpus/settings/prefixes"
# The first line of a document is its key.
for document in functions/document-loader/tests/fixtures/documents/*; do
    name=${document##*/}
    { printf '%s\n' "$name" && head -c 8000 "$document"; } >"$loader/corpus/sniff/$name"
done
printf '%s\n' 20 5 '\n' . ' ' '""' '' 'Some text. And more of it!' 'The next line.' >"$loader/corpus/split/prose"
printf '%s\n' 30 10 '\n## ' '\n- ' '\n' ' ' '""' '' '# One' '' '- two' '- three' '## Four' >"$loader/corpus/split/guide"

# Nothing of ours is unsafe, so there is no memory to watch, which would halve the speed.
fuzz() { # folder of the function, target
    say "Fuzzing $2 for $seconds seconds"
    cargo +nightly fuzz run --fuzz-dir "$1" --target-dir "${CARGO_TARGET_DIR:-target}/fuzz" --sanitizer none \
        --jobs "$jobs" "$2" -- -dict="$1/dictionary.txt" -max_len=8192 -max_total_time="$seconds"
}
fuzz "$sync" envelope
fuzz "$sync" settings
fuzz "$loader" sniff
fuzz "$loader" split
