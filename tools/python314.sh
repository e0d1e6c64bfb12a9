#!/bin/bash
# Run a command with CPython 3.14 at hand, in a copy of this tree inside a Debian sid system made by debootstrap.
# Usage: tools/python314.sh COMMAND [ARGUMENT...]        such as: tools/python314.sh tools/core_tests.sh 3.14
#
# Needs root. The system is made once, about 650 MB, in ${XDG_CACHE_HOME:-~/.cache}/asyncio-pulse/python3.14; the copy of
# the tree goes away with the command.
set -euo pipefail
cd "$(dirname "$0")/.."
system=${XDG_CACHE_HOME:-$HOME/.cache}/asyncio-pulse/python3.14

fail() {
    echo "python314: $1" >&2
    exit 1
}

make_system() {
    command -v debootstrap >/dev/null || apt-get install -y -qq debootstrap >/dev/null ||
        fail "debootstrap is missing and could not be installed"
    # Where this machine gets its own Debian packages from, if it is a Debian; else debootstrap's default.
    local mirror partial=$system.partial
    mirror=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Origin: Debian' 2>/dev/null |
        awk '$2 !~ /security/ {print $1; exit}') || mirror=
    rm -rf --one-file-system "$partial"
    echo "python314: making a Debian sid system in $system (once, some minutes)" >&2
    debootstrap --variant=minbase --include=ca-certificates,gcc,libc6-dev,python3.14-dev,python3.14-venv \
        sid "$partial" ${mirror:+"$mirror"} >"$system.log" 2>&1 || fail "debootstrap failed: see $system.log"
    mv "$partial" "$system"
}

# Names, certificates and pip's settings are those of the machine outside.
share_network_settings() {
    local file
    for file in /etc/resolv.conf /etc/hosts /etc/ssl/certs/ca-certificates.crt /etc/pip.conf \
        "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf" \
        "${PIP_CONFIG_FILE:-}" "${PIP_CERT:-}" "${SSL_CERT_FILE:-}" "${REQUESTS_CA_BUNDLE:-}"; do
        if [ -f "$file" ]; then
            install -D -m 644 "$(realpath "$file")" "$system$file"
        fi
    done
    # Tests expect both addresses of localhost.
    grep -q '^::1.*localhost' "$system/etc/hosts" || echo '::1 localhost' >>"$system/etc/hosts"
}

# debootstrap does not mind an index that is past its date, as those of frozen mirrors are; apt need not, its signature holds.
accept_frozen_mirrors() {
    echo 'Acquire::Check-Valid-Until "false";' >"$system/etc/apt/apt.conf.d/80frozen-mirrors"
}

# Local directories that pip is told to look into. The pages of an index, `simple`, refer to files beside it.
package_directories() {
    local name
    for name in $(python3 -m pip config list 2>/dev/null |
        grep -oE "(file://)?/[^' ]+" | sed 's#^file://##; s#/simple/*$##' | sort -u); do
        [ ! -d "$name" ] || echo "$name"
    done
}

if [ "${1:-}" = --inside-namespace ]; then
    shift
    mount -t proc proc "$system/proc"
    mount --rbind /dev "$system/dev"
    for directory in $PULSE_PACKAGE_DIRECTORIES; do
        mkdir -p "$system$directory"
        mount --bind -o ro "$directory" "$system$directory"
    done
    exec chroot "$system" /bin/bash -c 'cd "$1" && shift && exec "$@"' bash "$@"
fi

[ "$(id -u)" -eq 0 ] || fail "needs root for debootstrap and chroot"
mkdir -p "$(dirname "$system")"
exec 9>"$system.lock"
flock 9
[ -x "$system/usr/bin/python3.14" ] || make_system
share_network_settings
accept_frozen_mirrors
flock -u 9

tree=$(mktemp -d "$system/tmp/tree.XXXXXX")
trap 'rm -rf "$tree"' EXIT
# Without what tests and builds beside this one may be writing.
tar -c --exclude=./.git --exclude=./.venv --exclude=./build --exclude=./dist --exclude='*.so' --exclude='__pycache__' \
    --exclude='*.egg-info' --exclude='./.*_cache' --exclude='./.hypothesis' --exclude='./.coverage*' . | tar -x -C "$tree"
# All mounts belong to a namespace that ends with the command.
env -u PYENV_ROOT -u PYTHONPATH PULSE_PACKAGE_DIRECTORIES="$(package_directories)" HOME=/root \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    XDG_CACHE_HOME="$(dirname "$(dirname "$system")")" \
    unshare --mount --propagation private "$PWD/tools/python314.sh" --inside-namespace "${tree#"$system"}" "$@"
