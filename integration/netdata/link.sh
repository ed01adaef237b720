#!/bin/sh
# Links ssmonitor as a plugin into every Netdata on this machine, together with
# its alerts, or removes these links again. Packages run it; run it by hand if
# Netdata was installed afterwards. DESTDIR, if set, is put in front of paths.
set -eu

case ${1:-} in
link | unlink) ;;
*)
    echo "usage: link.sh link|unlink [PROGRAM], by default /usr/bin/ssmonitor" >&2
    exit 2
    ;;
esac
program=${2:-/usr/bin/ssmonitor}
alerts=${program%/bin/*}/share/ssmonitor/netdata/health.d/ssmonitor.conf
root=${DESTDIR:-}

# change links or unlinks one file.
change() {
    if [ "$1" = unlink ]; then
        # Only what link has made: a package removes its own files itself.
        [ "$(readlink "$root$3")" != "$2" ] || rm -f "$root$3"
    elif [ ! -e "$root$3" ] || [ -L "$root$3" ] && [ "$(readlink -f "$root$3")" != "$(readlink -f "$root$2")" ]; then
        ln -sf "$2" "$root$3"
    fi
}

# Where Debian's and Arch's packages, upstream's packages, and upstream's static
# build have plugins and stock alerts.
while read -r plugins health; do
    if [ -d "$root$plugins" ]; then
        change "$1" "$program" "$plugins/ssmonitor.plugin"
    fi
    if [ -d "$root$plugins" ] && [ -d "$root$health" ]; then
        change "$1" "$alerts" "$health/ssmonitor.conf"
    fi
done <<END
/usr/lib/netdata/plugins.d /usr/lib/netdata/conf.d/health.d
/usr/libexec/netdata/plugins.d /usr/lib/netdata/conf.d/health.d
/opt/netdata/usr/libexec/netdata/plugins.d /opt/netdata/usr/lib/netdata/conf.d/health.d
END
