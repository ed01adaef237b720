#!/bin/busybox sh
# The first and only program of the virtual machine. The kernel hands it the
# words NAME=VALUE of its command line as environment, and calls modprobe for
# what it lacks, as on any host. What the tests write goes to the second serial
# port; its last line is the tests' exit status.
/bin/busybox mkdir /sbin
/bin/busybox --install -s /bin
ln -s /bin/busybox /sbin/modprobe
export PATH=/bin XTABLES_LIBDIR=/xtables
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
stty -F /dev/ttyS1 raw
cd /nft || poweroff -f

# Closing the port waits until all of it is sent.
{
    uname -r
    status=0
    for binary in ./*.test; do
        "$binary" -test.v -test.short -test.timeout=12m || status=$?
    done
    echo "VM-RC=$status"
} >/dev/ttyS1 2>&1
poweroff -f
