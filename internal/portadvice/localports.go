package portadvice

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/finding"
	"ssmonitor/nft"
)

const (
	localPortRange = "net.ipv4.ip_local_port_range"
	reservedPorts  = "net.ipv4.ip_local_reserved_ports"
	// reservedFile makes the kernel's setting permanent: see sysctl.d(5).
	reservedFile = "/etc/sysctl.d/60-ssmonitor.conf"
)

// localPorts looks for counted ports that the kernel may choose as the local ports
// of connections that this host begins, over IPv4 or IPv6. It would book those to
// the ports' clients: no counter can tell their packets apart. The settings are
// those of the caller's network namespace; one without them has nothing to find.
func localPorts(root string, ports accounting.Ports, hook nft.Hook) []finding.Finding {
	chosen, err := readPortSet(root, localPortRange)
	if err != nil {
		return nil
	}
	reserved, err := readPortSet(root, reservedPorts)
	if err != nil {
		return nil
	}
	var shared accounting.Ports
	for _, port := range ports {
		if chosen[port.Number] && !reserved[port.Number] {
			shared = append(shared, accounting.Port{Number: port.Number, Protocols: accounting.TCPAndUDP})
			reserved[port.Number] = true
		}
	}
	if len(shared) == 0 {
		return nil
	}
	setting := reservedPorts + "=" + reserved.String()
	message := finding.DescribePorts(shared) + ": in the range of ports that the kernel chooses for connections of this host: " +
		"while no server listens there, their traffic can be booked to a client"
	remedy := "reserve them: sysctl -w " + setting + "\nand for the next boot: echo " + setting + " > " + reservedFile
	if hook == nft.HookContainer {
		message += "; so can that of containers' connections that the host masquerades"
		remedy += "\nand set the same in the containers' network namespaces"
	}
	return []finding.Finding{{ID: finding.LocalPortRange, Level: finding.Note, Message: message, Remedy: remedy}}
}

// portSet is a set of ports by their numbers.
type portSet [1 << 16]bool

// readPortSet reads a setting of the kernel that is a list of ports and ranges, or the
// two ends of a range.
func readPortSet(root, setting string) (*portSet, error) {
	// In /proc, files have no size.
	data, err := os.ReadFile(filepath.Join(root, "/proc/sys", strings.ReplaceAll(setting, ".", "/")))
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	if setting == localPortRange {
		text = strings.Join(strings.Fields(text), "-")
	}
	return parsePortSet(text)
}

// parsePortSet reads ports and ranges between commas.
func parsePortSet(text string) (*portSet, error) {
	var set portSet
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, err := strconv.ParseUint(low, 10, 16)
		if err != nil {
			return nil, err
		}
		last, err := strconv.ParseUint(high, 10, 16)
		if err != nil {
			return nil, err
		}
		for port := first; port <= last; port++ {
			set[port] = true
		}
	}
	return &set, nil
}

// String returns ports and ranges between commas, as the kernel writes them.
func (s *portSet) String() string {
	var parts []string
	for port := 0; port < len(s); port++ {
		if !s[port] {
			continue
		}
		first := port
		for port+1 < len(s) && s[port+1] {
			port++
		}
		part := strconv.Itoa(first)
		if port > first {
			part += "-" + strconv.Itoa(port)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
