package publishing_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/publishing"
	"ssmonitor/nft/ipvs"
	"ssmonitor/nft/survey"
)

// TestHandedOn has each way in which a program may listen elsewhere.
func TestHandedOn(t *testing.T) {
	both := []uint16{20000, 20001}
	first := both[:1]
	for _, test := range []struct {
		name  string
		scene publishing.Scene
		want  []uint16
	}{
		{"nothing", publishing.Scene{}, nil},
		{"to a container", publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(20000, 20000, "172.17.0.2:8388")}}}, first},
		{"to another port of the host", publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(20001, 20001, "127.0.0.1:9000")}}}, both[1:]},
		{"a range that leads to a port", publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 40000, "127.0.0.1:20000")}}}, nil},
		{"from another port to a container", publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(30000, 30000, "172.17.0.2:20000")}}}, first},
		{"from another port to a container, as connections show", publishing.Scene{Redirected: to("tcp 172.17.0.2:20000 30000")}, append(first[:1:1], 30000)},
		{"by IPVS from another port", publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP,
			Address: netip.MustParseAddrPort("192.0.2.1:443"), Servers: []netip.AddrPort{netip.MustParseAddrPort("172.17.0.2:20001")}}}}, both[1:]},
		{"by a protocol that does not count", publishing.Scene{Rules: &survey.Survey{Translations: []survey.Translation{rule(20001, 20001, "127.0.0.1:9000", byUDP)}}}, nil},
		{"for an address of a cluster", publishing.Scene{Rules: &survey.Survey{Elsewhere: []survey.Translation{rule(20000, 20001, "172.17.0.2:8388")}}}, both},
		{"in a way that is not understood", publishing.Scene{Rules: &survey.Survey{Unresolved: []survey.Unresolved{
			{Place: docker, Protocol: accounting.TCP, Ports: survey.PortRange{First: 20000, Last: 20000}}}}}, first},
		{"to a transparent proxy", publishing.Scene{Rules: &survey.Survey{Transparent: []survey.Transparent{
			{Place: docker, Protocol: accounting.UDP, Ports: survey.PortRange{First: 1, Last: 65535}}}}}, first},
		{"by IPVS", publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.1:20001")}}}, both[1:]},
		{"by IPVS for every port", publishing.Scene{Services: []ipvs.Service{{Protocol: accounting.TCP, Address: netip.MustParseAddrPort("192.0.2.1:0")}}}, both},
		{"by IPVS for a mark", publishing.Scene{Services: []ipvs.Service{{Mark: 5}}}, both},
		{"as connections show", publishing.Scene{Redirected: to("tcp 172.17.0.2:8388 20000")}, first},
	} {
		complete(&test.scene)
		on := test.scene.HandedOn(aliceAndBob)
		if got := slices.Sorted(maps.Keys(on)); !slices.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
