package sources

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/interfaces"
)

const (
	hostsFile    = "/etc/hosts"
	hostsMaxSize = 1 << 20
)

// thisHost returns the addresses of the network interfaces, and the names of
// this host as the kernel and /etc/hosts give them. It asks no name server.
func thisHost() (shadowsocks.LocalHost, error) {
	addresses, err := interfaces.Addresses()
	if err != nil {
		return shadowsocks.LocalHost{}, err
	}
	host := shadowsocks.LocalHost{Addresses: addresses}
	if name, err := os.Hostname(); err == nil && name != "" {
		host.Names = append(host.Names, name)
	}
	hosts, err := configfile.Read(hostsFile, hostsMaxSize)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return host, fmt.Errorf("reading the names of this host: %w", err)
	}
	host.Names = append(host.Names, namesOf(hosts, addresses)...)
	return host, nil
}

// namesOf returns the names in a hosts(5) file for the addresses and for
// loopback.
func namesOf(hosts []byte, addresses []netip.Addr) []string {
	var names []string
	for line := range bytes.Lines(hosts) {
		line, _, _ = bytes.Cut(line, []byte("#"))
		fields := strings.Fields(string(line))
		if len(fields) < 2 {
			continue
		}
		address, err := netip.ParseAddr(fields[0])
		if err == nil && (address.IsLoopback() || slices.Contains(addresses, address.WithZone(""))) {
			names = append(names, fields[1:]...)
		}
	}
	return names
}
