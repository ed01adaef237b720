package interfaces

import (
	"encoding/binary"
	"slices"
	"syscall"
)

// UplinksOfAllTables returns the names of the interfaces with a default route in any
// routing table, each once. It is for a process that may still ask rtnetlink.
func UplinksOfAllTables() ([]string, error) {
	var names []string
	for _, family := range [...]int{syscall.AF_INET, syscall.AF_INET6} {
		dump, err := syscall.NetlinkRIB(syscall.RTM_GETROUTE, family)
		if err != nil {
			return nil, err
		}
		messages, err := syscall.ParseNetlinkMessage(dump)
		if err != nil {
			return nil, err
		}
		for i := range messages {
			for _, index := range defaultRoute(&messages[i]) {
				// An interface that has been removed meanwhile has no name.
				if name, err := Name(uint32(index)); err == nil && !slices.Contains(names, name) {
					names = append(names, name)
				}
			}
		}
	}
	return names, nil
}

// defaultRoute returns the indexes of the interfaces of a default route. Other
// messages have none. It decodes struct rtmsg of include/uapi/linux/rtnetlink.h.
func defaultRoute(m *syscall.NetlinkMessage) (indexes []int) {
	if m.Header.Type != syscall.RTM_NEWROUTE || len(m.Data) < syscall.SizeofRtMsg {
		return nil
	}
	if prefix, typ := m.Data[1], m.Data[7]; prefix > longestDefault || typ != syscall.RTN_UNICAST {
		return nil
	}
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return nil
	}
	for _, attribute := range attributes {
		switch {
		case attribute.Attr.Type == syscall.RTA_OIF && len(attribute.Value) == 4:
			indexes = append(indexes, int(binary.NativeEndian.Uint32(attribute.Value)))
		case attribute.Attr.Type == syscall.RTA_MULTIPATH:
			indexes = append(indexes, nextHops(attribute.Value)...)
		}
	}
	return indexes
}

// nextHops decodes a list of struct rtnexthop, each followed by attributes.
func nextHops(list []byte) (indexes []int) {
	for len(list) >= syscall.SizeofRtNexthop {
		indexes = append(indexes, int(binary.NativeEndian.Uint32(list[4:])))
		length := int(binary.NativeEndian.Uint16(list))
		if length < syscall.SizeofRtNexthop || length > len(list) {
			break
		}
		list = list[min((length+3)&^3, len(list)):]
	}
	return indexes
}
