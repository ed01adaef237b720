package ipvs

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// Of include/uapi/linux/ip_vs.h.
const (
	optionAddService = 64 + 1024 + 64 + 2 // IP_VS_SO_SET_ADD
	optionAddServer  = 64 + 1024 + 64 + 7 // IP_VS_SO_SET_ADDDEST

	masquerade = 0 // IP_VS_CONN_F_MASQ
	route      = 3 // IP_VS_CONN_F_DROUTE
)

// appendAddress appends __be32 addr, __be16 port and the padding behind it.
func appendAddress(b []byte, address netip.AddrPort) []byte {
	b = append(b, address.Addr().AsSlice()...)
	return append(binary.BigEndian.AppendUint16(b, address.Port()), 0, 0)
}

// serviceStruct is struct ip_vs_service_user, with round-robin scheduling.
func serviceStruct(protocol accounting.Protocol, address netip.AddrPort, mark uint32) []byte {
	b := appendAddress([]byte{byte(protocol), 0, 0, 0}, address)
	b = binary.NativeEndian.AppendUint32(b, mark)
	name := [16]byte{'r', 'r'}
	b = append(append(b, name[:]...), 0, 0, 0, 0, 0, 0, 0, 0) // flags, timeout
	return append(b, 255, 255, 255, 255)                      // netmask
}

// serverStruct is struct ip_vs_dest_user, of weight 1 and without thresholds.
func serverStruct(address netip.AddrPort, method uint32) []byte {
	b := appendAddress(nil, address)
	for _, value := range []uint32{method, 1, 0, 0} {
		b = binary.NativeEndian.AppendUint32(b, value)
	}
	return b
}

// TestServicesOfTheKernel adds services and reads them. A kernel without IPVS has
// none; the virtual machine's has to have it.
func TestServicesOfTheKernel(t *testing.T) {
	inVM := os.Getenv("SSMONITOR_TEST_IN_VM") == "yes"
	if inVM {
		if output, err := exec.Command("modprobe", "ip_vs").CombinedOutput(); err != nil {
			t.Fatalf("modprobe ip_vs: %v\n%s", err, output)
		}
	}
	testkit.NetworkNamespace(t)
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()

	want := []Service{
		{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("127.0.0.3:30000"), Servers: addresses("172.30.0.2:8388", "172.30.0.3:8389")},
		{Protocol: accounting.UDP, Address: netip.MustParseAddrPort("127.0.0.3:30000"), Servers: addresses("172.30.0.2:8388")},
		{Mark: 31, Servers: addresses("172.30.0.4:8390")},
	}
	set := func(option int, value []byte) {
		err := unix.SetsockoptString(fd, unix.SOL_IP, option, string(value))
		if errors.Is(err, unix.ENOPROTOOPT) && !inVM {
			want = nil // no IPVS
		} else if err != nil {
			t.Fatalf("option %d: %v", option, err)
		}
	}
	for _, service := range want {
		protocol, address := service.Protocol, service.Address
		if service.Mark != 0 {
			protocol, address = accounting.TCP, netip.MustParseAddrPort("0.0.0.0:0")
		}
		added := serviceStruct(protocol, address, service.Mark)
		set(optionAddService, added)
		for _, server := range service.Servers {
			set(optionAddServer, append(added, serverStruct(server, masquerade)...))
		}
		direct := netip.AddrPortFrom(netip.MustParseAddr("172.30.0.9"), address.Port())
		set(optionAddServer, append(added, serverStruct(direct, route)...))
	}

	got, err := Services()
	if err != nil {
		t.Fatal(err)
	}
	anyOrder := []cmp.Option{
		cmpopts.EquateComparable(netip.AddrPort{}),
		cmpopts.SortSlices(func(a, b Service) bool { return a.Protocol < b.Protocol }),
		cmpopts.SortSlices(func(a, b netip.AddrPort) bool { return a.Compare(b) < 0 }),
	}
	if diff := cmp.Diff(want, got, anyOrder...); diff != "" {
		list, _ := os.ReadFile(servicesFile)
		t.Errorf("services (-want +got):\n%s\nof\n%s", diff, list)
	}
}
