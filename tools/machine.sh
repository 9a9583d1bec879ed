# Sourced by run.sh, test.sh and bench.sh: what a machine must have, and how it gets it.
#
# Nothing is installed that is there already, and nothing without a line that says so first. Programs of
# the system come from apt-get or Homebrew; everything else lies in .tools/ of this checkout, so deleting
# that folder undoes it.
# shellcheck shell=sh

tools="$PWD/.tools"
requirements="$PWD/tools/requirements"

say() { printf '\n==> %s\n' "$1"; }

fail() {
    printf '\nerror: %s\n' "$1" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# Is the version $1 at least $2? Numbers between dots are compared one by one.
at_least() {
    awk -v have="$1" -v want="$2" 'BEGIN {
        split(have, h, "."); split(want, w, ".")
        for (i = 1; i <= 3; i++) if (h[i] + 0 != w[i] + 0) exit !(h[i] + 0 > w[i] + 0)
    }'
}

# ---- what is asked for: `need WHAT ...` -------------------------------------------------------------

# Each WHAT is one of: rust c-compiler postgresql python ps chromium. All that is missing is installed in one go.
need() {
    missing=''
    for what in "$@"; do
        case $what in
            rust) need_rust ;;
            c-compiler) has cc || missing="$missing c-compiler" ;;
            postgresql) find_postgresql || missing="$missing postgresql" ;;
            python) find_python || missing="$missing python" ;;
            ps) has ps || missing="$missing ps" ;;
            chromium) find_chromium || missing="$missing chromium" ;;
            *) fail "tools/machine.sh does not know how to provide $what" ;;
        esac
    done
    [ -z "$missing" ] || install_packages
}

need_rust() {
    if ! has cargo && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
        export PATH
    fi
    has cargo || fail 'cargo is missing: install Rust from https://rustup.rs and run this again'
    for component in fmt clippy; do
        cargo "$component" --version >/dev/null 2>&1 && continue
        has rustup || fail "cargo $component is missing: install it with the package manager that Rust came from"
        [ "$component" = fmt ] && component=rustfmt
        say "Adding the Rust component $component with rustup"
        rustup component add "$component"
    done
}

# The same places are searched by the crate private-postgres.
find_postgresql() {
    has initdb && has postgres && return 0
    for folder in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin \
        /usr/local/opt/postgresql*/bin /Applications/Postgres.app/Contents/Versions/*/bin; do
        [ -x "$folder/initdb" ] && [ -x "$folder/postgres" ] && return 0
    done
    return 1
}

# Sets `python` to an interpreter that can make virtual environments: 3.10 is what the AWS tools ask for,
# and below 3.15 is what cfn-lint supports.
find_python() {
    for python in python3 python3.14 python3.13 python3.12 python3.11 python3.10 \
        /opt/homebrew/bin/python3.13 /usr/local/bin/python3.13; do
        has "$python" && "$python" -c '
import ensurepip, sys, venv
sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 15))' 2>/dev/null && return 0
    done
    return 1
}

# Chromium, or what is made of it. The same places are searched by local/browser.
find_chromium() {
    for program in chromium chromium-browser google-chrome google-chrome-stable; do
        has "$program" && return 0
    done
    for program in '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome' \
        /Applications/Chromium.app/Contents/MacOS/Chromium; do
        [ -x "$program" ] && return 0
    done
    return 1
}

# ---- packages of the system -------------------------------------------------------------------------

install_packages() {
    if has apt-get; then
        install_with_apt
    elif has brew; then
        install_with_homebrew
    else
        fail "missing:$missing. Neither apt-get nor Homebrew is here to install it: please do, then run this again"
    fi
    for what in $missing; do
        case $what in
            c-compiler) has cc ;;
            postgresql) find_postgresql ;;
            python) find_python ;;
            ps) has ps ;;
            chromium) find_chromium ;;
        esac || fail "$what is still missing after its installation"
    done
}

install_with_apt() {
    packages=''
    for what in $missing; do
        case $what in
            c-compiler) packages="$packages build-essential" ;;
            postgresql) packages="$packages postgresql" ;;
            python) packages="$packages python3-venv" ;;
            ps) packages="$packages procps" ;;
            chromium) packages="$packages chromium" ;;
        esac
    done
    if [ "$(id -u)" -eq 0 ]; then
        as_root() { "$@"; }
    elif has sudo; then
        as_root() { sudo "$@"; }
    else
        fail "missing:$missing. Ask root for: apt-get install$packages"
    fi
    failed=''
    say "This machine lacks:$missing. Installing with apt-get:$packages"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    case $missing in
        *chromium*)
            # Ubuntu has it as a snap only, which is not for root, and not in containers.
            apt-cache show chromium >/dev/null 2>&1 ||
                fail 'a browser is missing, and apt-get has no package chromium here: install Google Chrome or Chromium, then run this again'
            ;;
    esac
    case $missing in *postgresql*) install_postgresql_with_apt ;; esac
    # $packages is a list.
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages || failed=true
    case $missing in *postgresql*) as_root rm -f "$no_cluster" ;; esac
    [ -z "$failed" ] || fail "apt-get could not install$packages: see above"
}

# Only the programs are wanted. Debian's package would make a cluster and start it as a service, unless a
# setting that lives as long as the installation says otherwise.
install_postgresql_with_apt() {
    no_cluster=/etc/postgresql-common/createcluster.d/holdfast.conf
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends postgresql-common
    as_root mkdir -p "${no_cluster%/*}"
    echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
}

install_with_homebrew() {
    for what in $missing; do
        case $what in
            # Homebrew itself needs the compiler of Apple's command line tools.
            c-compiler) fail 'a C compiler is missing: run xcode-select --install, then this again' ;;
            postgresql) formula=postgresql@17 ;;
            python) formula=python@3.13 ;;
            ps) fail 'ps is missing, which macOS always has: see to the PATH' ;;
            chromium) formula=google-chrome ;;
        esac
        say "This machine lacks $what. Installing with Homebrew: $formula"
        brew install "$formula"
    done
}

# ---- programs in .tools -----------------------------------------------------------------------------

# python_tools NAME: the virtual environment .tools/python-NAME with what tools/requirements/NAME.txt asks
# for. It is made anew when that file changes or the interpreter does.
python_tools() {
    environment="$tools/python-$1"
    asked=$("$python" --version && cat "$requirements/$1.txt")
    [ "$(cat "$environment/installed.txt" 2>/dev/null)" = "$asked" ] && [ -x "$environment/bin/python" ] && return 0
    say "Installing the Python tools of tools/requirements/$1.txt into .tools/python-$1"
    rm -rf "$environment"
    "$python" -m venv "$environment"
    "$environment/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements/$1.txt"
    printf '%s\n' "$asked" >"$environment/installed.txt"
}

# Runs a program of such an environment: python_module NAME MODULE ARGUMENTS. By module and not by the
# script in bin/, because those hold the path of the checkout and break when it moves.
python_module() {
    environment="$tools/python-$1"
    shift
    "$environment/bin/python" -W ignore::RuntimeWarning:runpy -m "$@"
}

# cargo_tool NAME VERSION OPTIONS: the program cargo-NAME, from the PATH where it is new enough, else built
# into .tools, with options of `cargo install` if there are any.
cargo_tool() {
    name=$1
    version=$2
    shift 2
    PATH="$tools/bin:$PATH"
    export PATH
    found=$(cargo "$name" --version 2>/dev/null | awk 'NR == 1 { print $2 }')
    [ -n "$found" ] && at_least "$found" "$version" && return 0
    say "Building cargo-$name $version into .tools (a few minutes, once)"
    # A tool that runs for seconds is not worth minutes of optimising.
    CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
        CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_TARGET_DIR="$tools/build" \
        cargo install --locked --root "$tools" --version "$version" "$@" "cargo-$name"
    rm -rf "$tools/build"
}
