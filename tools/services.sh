#!/bin/bash
# Install the services that tests/thirdparty talks to, where that can be done without asking. They are started by the tests.
set -euo pipefail

missing=()
command -v redis-server >/dev/null || missing+=(redis-server)
{ command -v initdb || ls /usr/lib/postgresql/*/bin/initdb; } >/dev/null 2>&1 || missing+=(postgresql)
if [ "${#missing[@]}" -eq 0 ]; then
    exit
fi
if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    # The packages would start a server each, on the usual ports.
    RUNLEVEL=1 apt-get install -y -qq "${missing[@]}" >/dev/null && exit
fi
echo "services: ${missing[*]} missing; tests that need them are skipped"
