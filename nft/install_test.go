package nft

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// TestInstallRemovesFlowtables needs a kernel that has them.
func TestInstallRemovesFlowtables(t *testing.T) {
	inNamespace(t)
	const flowtable = "add flowtable inet ssmonitor f { hook ingress priority 0; devices = { lo }; }"
	table := open(t, Options{})
	ports := portList(1)
	install(t, table, ports)
	if output, err := exec.Command("nft", flowtable).CombinedOutput(); err != nil {
		t.Skipf("this kernel has no flowtable (CONFIG_NF_FLOW_TABLE): %v\n%s", err, output)
	}
	before := read(t, table)
	if findings := verify(t, table, ports); len(findings) != 1 || !strings.Contains(findings[0], `flowtable "f"`) {
		t.Errorf("verifying: got %q, want the flowtable", findings)
	}
	install(t, table, ports)
	verifyNothing(t, table, ports)
	expectSameCounters(t, read(t, table), before)
}

// TestStructureIsDeletedWhole compares the messages, since few kernels have all
// that can be in a table.
func TestStructureIsDeletedWhole(t *testing.T) {
	found := &inspection{
		chains: []chainInfo{{name: "c"}, {name: "jump", binding: true}},
		sets: []setInfo{
			{name: "s"},
			{name: "__set0", flags: unix.NFT_SET_ANONYMOUS},
		},
		flowtables: []string{"f"},
		objects:    []objectInfo{{name: "q", typ: unix.NFT_OBJECT_QUOTA}},
	}
	b := newBatch()
	contentsDrift(found, &layout{}, nil).repair(b)
	want := []string{
		"deleting the rules of chain c", "deleting set s", "deleting chain c", "deleting flowtable f", "deleting counter q",
	}
	var got []string
	for i := 1; i < b.count; i++ { // the first message is the batch's begin
		got = append(got, describe(b.at(i)))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestDetachRemovesElementsThatLeadElsewhere detaches ports of which one has no
// element and another one's leads to a third port's counter.
func TestDetachRemovesElementsThatLeadElsewhere(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(2))
	nftCommand(t, `delete element inet ssmonitor ports-in { tcp . 20000 }
		delete element inet ssmonitor ports-in { udp . 20000 }
		add element inet ssmonitor ports-in { udp . 20000 : "udp-20001-in" }`)
	if err := table.Detach(portList(1).Keys()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ports-in", "ports-out"} {
		if got := nftCommand(t, "list map inet ssmonitor "+name); strings.Contains(got, ". 20000") {
			t.Errorf("the port is still attached:\n%s", got)
		}
	}
}

// TestCountersOfOthersAreLoaded has an administrator create a counter of ours
// with a value, and with user data that is not our mark.
func TestCountersOfOthersAreLoaded(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(1))
	nftCommand(t, `add counter inet ssmonitor udp-20001-in { packets 5 bytes 500; comment "restored by hand"; }`)
	readings := read(t, table)
	want := accounting.Count{Packets: 5, Bytes: 500}
	if got := readings[udpIn20001]; !got.Loaded || got.Count != want {
		t.Errorf("the counter with a comment: got %+v, want %+v and Loaded", got, want)
	}
	if readings[udpIn20000].Loaded {
		t.Errorf("our own counter: got %+v, want Loaded false", readings[udpIn20000])
	}
}
