#!/bin/sh
# Installs ssmonitor from an unpacked release, or removes it. Needs no tool but
# a shell and coreutils.
set -eu

usage() {
    cat <<END
usage: ./install.sh [--prefix DIRECTORY] [--uninstall]

Installs ssmonitor below the prefix, /usr/local by default, and links it into
Netdata where Netdata is installed. Nothing is started. --uninstall removes the
installed files and keeps the settings, the list of ports and the totals.
DESTDIR, if set, is put in front of every path.
END
}

prefix=/usr/local
uninstall=
while [ $# -gt 0 ]; do
    case $1 in
    --prefix)
        [ $# -gt 1 ] || { usage >&2; exit 2; }
        prefix=$2
        shift
        ;;
    --prefix=*) prefix=${1#*=} ;;
    --uninstall) uninstall=yes ;;
    -h | --help) usage; exit 0 ;;
    *)
        echo "install.sh: unexpected argument \"$1\"" >&2
        usage >&2
        exit 2
        ;;
    esac
    shift
done
case $prefix in
/*) ;;
*)
    echo "install.sh: --prefix \"$prefix\": want an absolute path" >&2
    exit 2
    ;;
esac
prefix=${prefix%/}
destination=${DESTDIR:-}

cd "$(dirname "$0")"
units='ssmonitor-setup.service ssmonitor-metrics.socket ssmonitor-metrics.service ssmonitor.service'

netdata() { DESTDIR=$destination sh share/ssmonitor/netdata/link.sh "$1" "$prefix/bin/ssmonitor"; }

files=$(find bin lib share -type f)

if [ -n "$uninstall" ]; then
    if [ -z "$destination" ]; then
        if [ -d /run/systemd/system ]; then
            # shellcheck disable=SC2086 # a list of words
            systemctl disable --now $units || true
        fi
        # A settings file that can't be read must not keep the counters.
        "$prefix/bin/ssmonitor" teardown || "$prefix/bin/ssmonitor" teardown --config none || true
    fi
    for file in $files; do
        rm -f "$destination$prefix/$file"
    done
    shared=$destination$prefix/share/ssmonitor
    rmdir "$shared/netdata/health.d" "$shared/netdata" "$shared/prometheus" "$shared/grafana" "$shared" \
        "$destination$prefix/share/doc/ssmonitor" 2>/dev/null || true
    netdata unlink
    if [ -z "$destination" ] && [ -d /run/systemd/system ]; then
        systemctl daemon-reload
    fi
    echo 'Removed. Kept: /etc/ssmonitor, the totals in /var/lib/ssmonitor, and the user and group ssmonitor.'
    exit 0
fi

for file in $files; do
    mode=0644
    [ -x "$file" ] && mode=0755
    install -D -m $mode "$file" "$destination$prefix/$file"
done
for unit in $units; do
    sed "s|/usr/local/bin/|$prefix/bin/|g" "lib/systemd/system/$unit" >"$destination$prefix/lib/systemd/system/$unit"
done
netdata link
# Up to version 0.2.0 a path unit started setup, which now keeps running.
path_unit=$prefix/lib/systemd/system/ssmonitor-setup.path
if [ -z "$destination" ] && [ -d /run/systemd/system ] && [ -e "$path_unit" ]; then
    systemctl disable --now ssmonitor-setup.path || true
fi
rm -f "$destination$path_unit"
# Up to version 0.2.0 the agent wanted this socket, and served metrics itself.
if [ -z "$destination" ] && [ -L /etc/systemd/system/ssmonitor.service.wants/ssmonitor-metrics.socket ]; then
    systemctl reenable ssmonitor-metrics.socket || true
fi

cat <<END
Installed below $prefix. To start counting, now and at every boot:
  systemd-sysusers && systemctl daemon-reload
  systemctl enable --now ssmonitor-setup.service ssmonitor.service
Next: ssmonitor check (what is wrong), ssmonitor top (now), ssmonitor usage (by client)
To let Netdata read: usermod -aG ssmonitor netdata && systemctl restart netdata
END
