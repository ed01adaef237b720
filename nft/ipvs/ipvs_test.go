package ipvs

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

// headings are the kernel's first lines. The third one looks like a server's.
const headings = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
`

func addresses(texts ...string) []netip.AddrPort {
	var parsed []netip.AddrPort
	for _, text := range texts {
		parsed = append(parsed, netip.MustParseAddrPort(text))
	}
	return parsed
}

func TestParse(t *testing.T) {
	address := netip.MustParseAddrPort
	for _, test := range []struct {
		name, list string
		want       []Service
		complaint  string
	}{
		{"nothing", "", nil, ""},
		{"no service", headings, nil, ""},
		{"IPv4", headings + `TCP  0A010001:7530 rr 
  -> AC1E0003:20C4      Masq    1      0          12        
  -> AC1E0002:20C4      Masq    0      3          0         
UDP  0A010001:7530 wlc ops persistent 300 FFFFFFFF
`, []Service{
			{Protocol: accounting.TCP, Address: address("10.1.0.1:30000"), Servers: addresses("172.30.0.3:8388", "172.30.0.2:8388")},
			{Protocol: accounting.UDP, Address: address("10.1.0.1:30000")},
		}, ""},
		{"IPv6", headings + `UDP  [fd01:0000:0000:0000:0000:0000:0000:0001]:7530 rr 
  -> [fd30:0000:0000:0000:0000:0000:0000:0002]:20C4      Masq    1      0          0         
`, []Service{{Protocol: accounting.UDP, Address: address("[fd01::1]:30000"), Servers: addresses("[fd30::2]:8388")}}, ""},
		{"by mark, servers of both families", headings + `FWM  0000001F sh 
  -> AC1E0002:0000      Masq    1      0          0         
  -> [fd30:0000:0000:0000:0000:0000:0000:0002]:0000      Masq    1      0          0         
`, []Service{{Mark: 31, Servers: addresses("172.30.0.2:0", "[fd30::2]:0")}}, ""},
		{"every port", headings + "TCP  0A010001:0000 rr persistent 300 FFFFFFFF\n",
			[]Service{{Protocol: accounting.TCP, Address: address("10.1.0.1:0")}}, ""},
		{"servers that answer directly", headings + `TCP  0A010001:7530 rr 
  -> AC1E0002:20C4      Route   1      0          0         
  -> AC1E0003:20C4      Tunnel  1      0          0         
  -> AC1E0004:20C4      Local   1      0          0         
  -> AC1E0005:20C4      Masq    1      0          0         
`, []Service{{Protocol: accounting.TCP, Address: address("10.1.0.1:30000"), Servers: addresses("172.30.0.5:8388")}}, ""},
		{"SCTP and its servers", headings + `TCP  0A010001:7530 rr 
SCTP 0A010001:7530 rr 
  -> AC1E0002:20C4      Masq    1      0          0         
`, []Service{{Protocol: accounting.TCP, Address: address("10.1.0.1:30000")}}, ""},
		{"short IPv4 address", headings + "TCP  0A0100:7530 rr\n", nil, `address "0A0100": want eight hexadecimal digits`},
		{"no digits", headings + "TCP  0A01000Z:7530 rr\n", nil, "0A01000Z"},
		{"IPv6 without colons", headings + "TCP  [fd01]:7530 rr\n", nil, "fd01"},
		{"no port", headings + "TCP  0A010001 rr\n", nil, "want a port"},
		{"port too large", headings + "TCP  0A010001:17530 rr\n", nil, "17530"},
		{"mark too large", headings + "FWM  1FFFFFFFF rr\n", nil, "1FFFFFFFF"},
		{"server without a method", headings + "TCP  0A010001:7530 rr\n  -> AC1E0002:20C4\n", nil, "forwarding method"},
		{"server without an address", headings + "TCP  0A010001:7530 rr\n  -> x:y Masq 1 0 0\n", nil, `"y"`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := parse(test.list)
			if test.complaint != "" {
				if !errors.Is(err, errMalformed) || !strings.Contains(err.Error(), test.complaint) {
					t.Errorf("got %v, want errMalformed with %q", err, test.complaint)
				}
			} else if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(test.want, got, cmpopts.EquateComparable(netip.AddrPort{})); diff != "" {
				t.Errorf("services (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoServices reads in a new namespace, which has no service whether or not the
// kernel has IPVS.
func TestNoServices(t *testing.T) {
	testkit.NetworkNamespace(t)
	if services, err := Services(); err != nil || len(services) != 0 {
		t.Errorf("got %v, %v, want nothing", services, err)
	}
}

// FuzzParse parses arbitrary bytes: nothing may panic, and no address be invalid.
func FuzzParse(f *testing.F) {
	f.Add(headings + "TCP  0A010001:7530 rr \n  -> AC1E0002:20C4      Masq    1      0          0         \n")
	f.Add(headings + "FWM  0000001F sh \n  -> [fd30:0000:0000:0000:0000:0000:0000:0002]:0000      Masq    1      0          0\n")
	f.Fuzz(func(t *testing.T, list string) {
		services, err := parse(list)
		if err != nil && services != nil {
			t.Errorf("got %v beside %v", services, err)
		}
		for _, service := range services {
			if service.Address.IsValid() != (service.Protocol != 0) {
				t.Errorf("%+v: want an address with a protocol", service)
			}
			for _, server := range service.Servers {
				if !server.IsValid() {
					t.Errorf("%+v has an invalid server", service)
				}
			}
		}
	})
}
