#!/bin/sh
# Installs the Debian packages that the tests need, those named as arguments,
# where they are missing, and keeps their services from starting on this host.
# It also sees to it that apt knows today's packages: tests download some.
set -eu

fresh=$(find /var/lib/apt/lists -name '*_Packages*' -ctime -1 2>/dev/null | head -n 1)
if [ -z "$fresh" ] && [ "$(id -u)" = 0 ]; then
    apt-get -qq update
fi

missing=
for package in "$@"; do
    state=$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
    echo "packages that the tests need are missing; as root: apt-get install$missing" >&2
    exit 1
fi

policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
    trap 'rm -f $policy' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
apt-get -qq install -y --no-install-recommends $missing
