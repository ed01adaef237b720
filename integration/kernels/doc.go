// Package kernels holds a test that runs the tests of packages nft and nft/survey
// on the kernels of Debian that the host does not run: 6.1, which can't keep an owned
// table (flag persist), and 6.12, which can. All but those that -short leaves
// out have to pass on both.
//
// Each kernel boots in QEMU, emulated and without KVM, with an initramfs that
// holds the static test binaries, busybox as the shell, nft and iptables with
// their libraries, and netfilter's modules, which the kernel loads when it
// needs them. The kernels come from the package sources of the host, the newest
// of each series, and are unpacked into build/kernels; nothing is installed,
// and root is not needed.
//
// The test needs Debian 12 on amd64, where apt has fetched its lists, and the
// packages qemu-system-x86, busybox-static, nftables and iptables. Where
// something is missing it is skipped and says what; with CI=true it fails. It
// takes about a minute and is left out with -short.
package kernels
