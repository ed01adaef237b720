#!/bin/sh
# Installs those of the Debian packages named as arguments that are missing, and
# keeps their services from starting on this host. It also refreshes apt's lists
# if they are older than a day: tests download packages.
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
    # dash does not run the trap of EXIT when a signal ends it.
    trap 'rm -f $policy' EXIT
    for signal in HUP INT TERM; do
        # shellcheck disable=SC2064 # the signal of this round
        trap "rm -f $policy; trap - EXIT $signal; kill -s $signal \$\$" $signal
    done
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod +x $policy
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086 # a list of words
apt-get -qq install -y --no-install-recommends $missing
