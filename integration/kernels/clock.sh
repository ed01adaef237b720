#!/bin/busybox sh
# The first program of a virtual machine whose clock is set while an agent runs:
# from 1970 to 2026, to 2046 and back. Each connection that is refused is one
# packet each way. The report goes to the second serial port.
/bin/busybox mkdir -p /sbin /run /state
/bin/busybox --install -s /bin
ln -s /bin/busybox /sbin/modprobe
export PATH=/bin RUNTIME_DIRECTORY=/run STATE_DIRECTORY=/state SSMONITOR_CONFIG=none SSMONITOR_NO_SEARCH=true
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
stty -F /dev/ttyS1 raw
ifconfig lo 127.0.0.1 up

start() {
    rm -f /run/ssmonitor.sock
    /bin/ssmonitor run --csv '' --interval 200ms --save-interval 0s --port 8388 2>>/log &
    agent=$!
    until [ -S /run/ssmonitor.sock ]; do sleep 0.1; done
}

# connect makes connections and waits until they are saved.
connect() {
    for i in $(seq "$1"); do
        nc 127.0.0.1 8388 </dev/null 2>/dev/null
        packets=$((packets + 1))
    done
    until /bin/ssmonitor usage --by total --format csv | grep -q ",$((60 * packets)),"; do sleep 0.1; done
}

{
    packets=0
    date -s @100 >/dev/null
    start
    connect 5
    kill $agent
    wait $agent
    start
    connect 3
    date -s '2026-11-24 12:00:00' >/dev/null
    connect 2
    date -s '2046-11-24 12:00:00' >/dev/null
    connect 4
    date -s '2026-11-24 12:10:00' >/dev/null
    connect 1
    kill $agent
    wait $agent
    /bin/ssmonitor usage --by month --format csv
    echo
    cat /log
} >/dev/ttyS1 2>&1
poweroff -f
