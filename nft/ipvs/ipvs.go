// Package ipvs reads the virtual services of IPVS, the kernel's load balancer, and
// the real servers behind them. A client's packets reach IPVS at the input hook; the
// answers of a real server pass the forward hook with the server's own address and
// port as their source.
//
// It reads the kernel's own list below /proc. The request over netlink would load
// IPVS into a kernel that does not use it, and needs a privilege.
package ipvs

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"ssmonitor/accounting"
)

// servicesFile lists the services of the calling thread's network namespace. It is
// missing unless the kernel has loaded IPVS.
const servicesFile = "/proc/thread-self/net/ip_vs"

// errMalformed says that the kernel's list has an unknown form.
var errMalformed = errors.New("the kernel's list of IPVS services has an unknown form")

// Service is a virtual service of TCP or UDP, or one that is selected by a mark.
type Service struct {
	Protocol accounting.Protocol // 0 if it is selected by a mark
	Address  netip.AddrPort      // port 0: every port; invalid if it is selected by a mark
	Mark     uint32              // of the packets, 0 if it is selected by its address
	// Servers are the real servers to which IPVS translates (forwarding method
	// masquerading). Others answer the clients directly. Port 0 stands for the
	// port that the client uses.
	Servers []netip.AddrPort
}

// Services returns the virtual services of this network namespace. Without IPVS
// there are none.
func Services() (services []Service, err error) {
	list, err := os.ReadFile(servicesFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		services, err = parse(string(list))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the IPVS services: %w", err)
	}
	return services, nil
}

// parse reads what ip_vs_info_seq_show of net/netfilter/ipvs/ip_vs_ctl.c writes: a
// line per service, followed by one per real server.
//
//	IP Virtual Server version 1.2.1 (size=4096)
//	Prot LocalAddress:Port Scheduler Flags
//	  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
//	TCP  0A010001:7530 rr
//	  -> AC1E0002:20C4      Masq    1      0          0
//	FWM  00000007 wlc persistent 300 FFFFFFFF
//
// Services of other protocols and the headings are skipped with the lines below.
func parse(list string) (services []Service, err error) {
	wanted := false // whether the servers below are the last service's
	for line := range strings.Lines(list) {
		fields := strings.Fields(line)
		var service Service
		if len(fields) == 0 || fields[0] != "->" {
			if service, wanted, err = parseService(fields); wanted {
				services = append(services, service)
			}
		} else if wanted {
			err = services[len(services)-1].addServer(fields)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %q: %w", errMalformed, strings.TrimSuffix(line, "\n"), err)
		}
	}
	return services, nil
}

// parseService parses the line of a service. wanted is false for the headings and
// for protocols that are not counted.
func parseService(fields []string) (service Service, wanted bool, err error) {
	if len(fields) < 2 {
		return Service{}, false, nil
	}
	switch fields[0] {
	case "TCP":
		service.Protocol = accounting.TCP
	case "UDP":
		service.Protocol = accounting.UDP
	case "FWM":
		mark, err := strconv.ParseUint(fields[1], 16, 32)
		return Service{Mark: uint32(mark)}, true, err
	default:
		return Service{}, false, nil
	}
	service.Address, err = parseAddress(fields[1])
	return service, true, err
}

// addServer parses the line of a real server: an arrow, its address and its
// forwarding method.
func (s *Service) addServer(fields []string) error {
	if len(fields) < 3 {
		return errors.New("want an address and a forwarding method")
	}
	if fields[2] != "Masq" {
		return nil
	}
	server, err := parseAddress(fields[1])
	if err == nil {
		s.Servers = append(s.Servers, server)
	}
	return err
}

// parseAddress parses an address and a port in hexadecimal digits: AC1E0002:20C4, or
// [fd00:0000:0000:0000:0000:0000:0000:0002]:20C4.
func parseAddress(text string) (netip.AddrPort, error) {
	colon := strings.LastIndexByte(text, ':')
	if colon < 0 {
		return netip.AddrPort{}, errors.New("want a port behind the address")
	}
	port, err := strconv.ParseUint(text[colon+1:], 16, 16)
	if err != nil {
		return netip.AddrPort{}, err
	}
	text = text[:colon]
	var address netip.Addr
	if inner, bracketed := strings.CutPrefix(text, "["); bracketed {
		address, err = netip.ParseAddr(strings.TrimSuffix(inner, "]"))
	} else {
		address, err = parseIPv4(text)
	}
	return netip.AddrPortFrom(address, uint16(port)), err
}

func parseIPv4(digits string) (netip.Addr, error) {
	bytes, err := hex.DecodeString(digits)
	if address, ok := netip.AddrFromSlice(bytes); ok && address.Is4() {
		return address, err
	}
	return netip.Addr{}, fmt.Errorf("address %q: want eight hexadecimal digits", digits)
}
