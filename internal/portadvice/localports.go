package portadvice

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
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
	chosen, err := readPorts(root, localPortRange)
	if err != nil {
		return nil
	}
	reserved, err := readPorts(root, reservedPorts)
	if err != nil {
		return nil
	}
	var shared accounting.Ports
	for _, port := range ports {
		both, isChosen := chosen.Find(port.Number)
		if _, isReserved := reserved.Find(port.Number); isChosen && !isReserved {
			shared = append(shared, both)
		}
	}
	if len(shared) == 0 {
		return nil
	}
	setting := reservedPorts + "=" + strings.Join(finding.PortRanges(slices.Concat(reserved, shared)), ",")
	message := finding.DescribePorts(shared) + ": in the range of ports that the kernel chooses for connections of this host: " +
		"while no server listens there, their traffic can be booked to a client"
	remedy := "reserve them: sysctl -w " + setting + "\nand for the next boot: echo " + setting + " > " + reservedFile
	if !hook.CountsForwarded() {
		message += "; so can that of containers' connections that the host masquerades"
		remedy += "\nand set the same in the containers' network namespaces"
	}
	return []finding.Finding{{ID: finding.LocalPortRange, Level: finding.Note, Message: message, Remedy: remedy}}
}

// readPorts reads a setting of the kernel that is a list of ports and ranges, or the two
// ends of a range.
func readPorts(root, setting string) (accounting.Ports, error) {
	// In /proc, files have no size.
	data, err := os.ReadFile(filepath.Join(root, "/proc/sys", strings.ReplaceAll(setting, ".", "/")))
	if err != nil {
		return nil, err
	}
	text := strings.TrimSpace(string(data))
	if setting == localPortRange {
		text = strings.Join(strings.Fields(text), "-")
	}
	var ports []accounting.Port
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		first, firstErr := strconv.ParseUint(low, 10, 16)
		last, lastErr := strconv.ParseUint(high, 10, 16)
		if err := errors.Join(firstErr, lastErr); err != nil {
			return nil, err
		}
		for number := first; number <= last; number++ {
			ports = append(ports, accounting.Port{Number: uint16(number), Protocols: accounting.TCPAndUDP})
		}
	}
	sorted, _ := accounting.Union(ports)
	return sorted, nil
}
