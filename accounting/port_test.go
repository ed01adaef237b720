package accounting

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func TestUnion(t *testing.T) {
	tests := []struct {
		name      string
		lists     [][]Port
		want      Ports
		conflicts []NameConflict
	}{
		{"nothing", nil, nil, nil},
		{"empty lists", [][]Port{{}, nil}, nil, nil},
		{
			"sorts by number",
			[][]Port{{{9, OnlyTCP, "", false}, {1, OnlyUDP, "", false}}, {{5, TCPAndUDP, "", false}}},
			Ports{{1, OnlyUDP, "", false}, {5, TCPAndUDP, "", false}, {9, OnlyTCP, "", false}}, nil,
		},
		{
			"counts the protocols of all",
			[][]Port{{{5, OnlyTCP, "a", false}}, {{5, OnlyUDP, "a", false}}},
			Ports{{5, TCPAndUDP, "a", false}}, nil,
		},
		{
			"keeps the first name that is not empty",
			[][]Port{{{5, OnlyTCP, "", false}}, {{5, OnlyTCP, "a", false}}, {{5, OnlyTCP, "", false}}},
			Ports{{5, OnlyTCP, "a", false}}, nil,
		},
		{
			"tells of other names in the order of the lists",
			[][]Port{{{7, OnlyTCP, "x", false}, {5, OnlyTCP, "a", false}}, {{5, OnlyTCP, "c", false}, {7, OnlyTCP, "y", false}}, {{5, OnlyTCP, "b", false}}},
			Ports{{5, OnlyTCP, "a", false}, {7, OnlyTCP, "x", false}},
			[]NameConflict{{5, "a", "c"}, {5, "a", "b"}, {7, "x", "y"}},
		},
		{
			"the same port twice in one list",
			[][]Port{{{65535, OnlyTCP, "a", false}, {65535, OnlyTCP, "a", false}}},
			Ports{{65535, OnlyTCP, "a", false}}, nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, conflicts := Union(test.lists...)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %v, want %v", got, test.want)
			}
			if !slices.Equal(conflicts, test.conflicts) {
				t.Errorf("got conflicts %v, want %v", conflicts, test.conflicts)
			}
		})
	}
}

func TestUnionLeavesItsListsAlone(t *testing.T) {
	list := []Port{{9, OnlyTCP, "", false}, {9, OnlyUDP, "a", false}, {1, OnlyTCP, "", false}}
	before := slices.Clone(list)
	Union(list, list)
	if !slices.Equal(list, before) {
		t.Errorf("got %v, want the list %v as before", list, before)
	}
}

func TestKeysAreInTheirOrder(t *testing.T) {
	want := []Key{
		{1, TCP, In}, {1, TCP, Out}, {1, UDP, In}, {1, UDP, Out},
		{2, UDP, In}, {2, UDP, Out},
		{65535, TCP, In}, {65535, TCP, Out},
	}
	if got := (Ports{{1, TCPAndUDP, "", false}, {2, OnlyUDP, "", false}, {65535, OnlyTCP, "", false}}).Keys(); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	shuffled := slices.Clone(want)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	slices.SortFunc(shuffled, Key.Compare)
	if !slices.Equal(shuffled, want) {
		t.Errorf("sorted: got %v, want %v", shuffled, want)
	}
}

func TestKeyIsNamedAsInTheKernel(t *testing.T) {
	for name, key := range map[string]Key{
		"tcp-20000-in":  {20000, TCP, In},
		"udp-1-out":     {1, UDP, Out},
		"tcp-65535-out": {65535, TCP, Out},
	} {
		if got := key.String(); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
}

func TestFind(t *testing.T) {
	ports := Ports{{1, OnlyTCP, "a", false}, {5, OnlyUDP, "b", false}}
	if port, found := ports.Find(5); !found || port != ports[1] {
		t.Errorf("got %v, %t", port, found)
	}
	for _, number := range []uint16{0, 2, 6} {
		if port, found := ports.Find(number); found {
			t.Errorf("%d: got %v, want none", number, port)
		}
	}
}

func TestChangesOfPorts(t *testing.T) {
	before := Ports{{1, TCPAndUDP, "a", false}, {2, OnlyTCP, "b", false}, {3, TCPAndUDP, "c", false}, {5, OnlyUDP, "e", false}}
	tests := []struct {
		name           string
		next           Ports
		added, removed Ports
	}{
		{"nothing", before, nil, nil},
		{"another name", Ports{{1, TCPAndUDP, "z", false}, before[1], before[2], before[3]}, nil, nil},
		{"the first and the last port go", before[1:3], nil, Ports{before[0], before[3]}},
		{"ports come at the ends and between", Ports{before[0], before[1], before[2], {4, OnlyTCP, "", false}, before[3], {9, OnlyUDP, "i", false}},
			Ports{{4, OnlyTCP, "", false}, {9, OnlyUDP, "i", false}}, nil},
		{"a protocol comes and one goes", Ports{{1, OnlyUDP, "a", false}, {2, TCPAndUDP, "b", false}, before[2], before[3]},
			Ports{{2, OnlyUDP, "b", false}}, Ports{{1, OnlyTCP, "a", false}}},
		{"one protocol for another", Ports{before[0], {2, OnlyUDP, "b", false}, before[2], before[3]},
			Ports{{2, OnlyUDP, "b", false}}, Ports{{2, OnlyTCP, "b", false}}},
		{"all go", nil, nil, before},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			added, removed := before.changes(test.next)
			if !slices.Equal(added, test.added) || !slices.Equal(removed, test.removed) {
				t.Errorf("got %v added and %v removed, want %v and %v", added, removed, test.added, test.removed)
			}
			added, removed = test.next.changes(before)
			if len(added) != len(test.removed) || len(removed) != len(test.added) {
				t.Errorf("backward: got %v added and %v removed", added, removed)
			}
		})
	}
}
