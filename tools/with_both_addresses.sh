#!/bin/bash
# Run a command where localhost has both addresses, 127.0.0.1 and ::1, as the tests of others expect it. Many containers know
# but one: the other one is there for this command only.
# Usage: tools/with_both_addresses.sh COMMAND [ARGUMENT...]
set -euo pipefail

if getent ahostsv6 localhost | grep -q '^::1 '; then
    exec "$@"
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "localhost needs the address ::1: put it into /etc/hosts, or run this as root" >&2
    exit 1
fi
hosts=$(mktemp)
{ cat /etc/hosts && echo '::1 localhost'; } >"$hosts"
exec unshare --mount --propagation private sh -c 'mount --bind "$0" /etc/hosts && rm "$0" && exec "$@"' "$hosts" "$@"
