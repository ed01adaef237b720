package paths

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// TestIPVS has a virtual service that IPVS passes on to a container by NAT, with
// and without connection entries. It translates at input, behind the counters, and
// back where the host forwards.
func TestIPVS(t *testing.T) {
	run(t, exec.Command("modprobe", "ip_vs"))
	for _, conntrack := range []string{"0", "1"} {
		t.Run("conntrack "+conntrack, func(t *testing.T) {
			l := newLab(t)
			l.addContainer(t).echo(t, "")
			l.server.do(t, func() error { return addVirtualService(serverIPv4, publishedPort, containerV4, countedPort) })
			l.server.set(t, "ipv4/vs/conntrack", conntrack)
			run(t, l.ssmonitor("setup", "--no-search", "--list", l.list(), "--port", fmt.Sprint(publishedPort)))
			l.startAgent(t, "--list", l.list())
			each(t, publishedPort, l.exact, serverIPv4)
		})
	}
}

// addVirtualService adds services by TCP and UDP with one real server to the
// thread's namespace, by the socket options of include/uapi/linux/ip_vs.h.
func addVirtualService(address string, port int, server string, serverPort int) error {
	const addService, addServer = 64 + 1024 + 64 + 2, 64 + 1024 + 64 + 7 // IP_VS_SO_SET_ADD, IP_VS_SO_SET_ADDDEST
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	for _, protocol := range []uint16{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		service := virtualService(protocol, address, port)
		if err := unix.SetsockoptString(fd, unix.SOL_IP, addService, string(service)); err != nil {
			return fmt.Errorf("adding a service to IPVS: %w", err)
		}
		if err := unix.SetsockoptString(fd, unix.SOL_IP, addServer, string(append(service, realServer(server, serverPort)...))); err != nil {
			return fmt.Errorf("adding a server to IPVS: %w", err)
		}
	}
	return nil
}

// virtualService is struct ip_vs_service_user, with round-robin scheduling.
func virtualService(protocol uint16, address string, port int) []byte {
	b := binary.NativeEndian.AppendUint16(nil, protocol)
	b = append(b, 0, 0)
	b = append(b, net.ParseIP(address).To4()...)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	b = append(b, 0, 0)
	b = binary.NativeEndian.AppendUint32(b, 0) // fwmark
	b = append(b, "rr\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	b = binary.NativeEndian.AppendUint32(b, 0) // flags
	b = binary.NativeEndian.AppendUint32(b, 0) // timeout
	return append(b, 255, 255, 255, 255)       // netmask
}

// realServer is struct ip_vs_dest_user, of a server that is reached by NAT.
func realServer(address string, port int) []byte {
	b := append([]byte(nil), net.ParseIP(address).To4()...)
	b = binary.BigEndian.AppendUint16(b, uint16(port))
	b = append(b, 0, 0)
	for _, value := range []uint32{0, 1, 0, 0} { // flags (IP_VS_CONN_F_MASQ), weight, thresholds
		b = binary.NativeEndian.AppendUint32(b, value)
	}
	return b
}
