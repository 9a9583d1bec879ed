#!/bin/sh
# `make test`: every check. It stops at the first that fails; nothing is left out.
set -eu
cd "$(dirname "$0")/.."
# shellcheck source=tools/machine.sh
. tools/machine.sh

need rust c-compiler postgresql python ps chromium
cargo_tool nextest 0.9.143 --no-default-features --features default-no-update
cargo_tool deny 0.20.2
python_tools lint
python_tools checkov
python_tools conformance
python_tools api
python_tools browser

say 'Format'
cargo fmt --all --check

# Also fetches the crates of other platforms, which the checks below read without the network.
say 'Cargo.lock agrees with the manifests'
cargo fetch --locked

say 'Clippy, with warnings as errors'
cargo clippy --workspace --all-targets -- -D warnings

say 'Documentation, with warnings as errors'
# Private items too: nothing here is published, and a reader of the code follows their links.
RUSTDOCFLAGS="-Dwarnings -Arustdoc::private_intra_doc_links" cargo doc --no-deps --workspace --document-private-items

say 'Licences, banned crates, sources and the advisories known offline'
cargo deny --offline --workspace check --hide-inclusion-graph licenses bans sources

say 'Shell scripts and Python'
".tools/python-lint/bin/shellcheck" --external-sources tools/*.sh .ci/run
python_module lint ruff check local/conformance local/api local/browser
python_module lint ruff format --check local/conformance local/api local/browser

say 'template.yaml: cfn-lint, sam validate, checkov'
python_module lint cfnlint.runner.cli template.yaml
AWS_DEFAULT_REGION=us-east-1 SAM_CLI_TELEMETRY=0 python_module lint samcli validate --lint --template template.yaml
python_module checkov checkov.main --file template.yaml --framework cloudformation --compact --quiet --skip-download

# Every target at once: the features are those of the tests below, so nothing is compiled twice.
say 'Build'
cargo build --workspace --all-targets

say 'Conformance of the embedded S3, beside moto'
PYTHONDONTWRITEBYTECODE=1 python_module conformance pytest local/conformance

say "The registry's answers, against its own document"
PYTHONDONTWRITEBYTECODE=1 python_module api pytest local/api

say 'The registry in a browser: WCAG 2.1 AA, the keyboard, no JavaScript'
PYTHONDONTWRITEBYTECODE=1 python_module browser pytest local/browser

say 'Documentation examples'
cargo test --doc --workspace --quiet

say 'Tests'
cargo nextest run --workspace
