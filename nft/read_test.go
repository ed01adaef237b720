package nft

import (
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
)

func TestReadingDoesNotAllocate(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(500))
	var sample accounting.Sample
	allocations := testing.AllocsPerRun(20, func() {
		if err := table.Read(&sample); err != nil {
			t.Fatal(err)
		}
	})
	if allocations != 0 {
		t.Errorf("got %.1f allocations per reading, want 0", allocations)
	}
}

// TestInterruptedDumpsMissNothing reads while another process keeps changing a
// table of its own. That table comes first in the kernel's list, so its changes
// shift the place where each piece of our dump begins: entries really are missing
// or listed twice.
func TestInterruptedDumpsMissNothing(t *testing.T) {
	wanted := 200 // readings with an incomplete dump
	if testing.Short() {
		wanted = 20
	}
	inNamespace(t)
	change := foreignChanges(t)
	table := open(t, Options{})
	ports := portList(700)
	install(t, table, ports)
	sendUDP(t, "127.0.0.1:20500", 20, 10)
	stop := change()

	// Three sends: the dump, the generation and the table.
	const messagesOfWholeReading = 3
	truth := read(t, table)
	readings, incomplete := 0, 0
	for incomplete < wanted && readings < 400*wanted {
		readings++
		before := table.conn.Sequence
		got := read(t, table)
		if table.conn.Sequence-before > messagesOfWholeReading {
			incomplete++
		}
		if len(got) != len(truth) {
			t.Fatalf("reading %d: got %d counters, want %d", readings, len(got), len(truth))
		}
		for key, reading := range truth {
			if got[key] != reading {
				t.Fatalf("reading %d: %s: got %+v, want %+v", readings, key, got[key], reading)
			}
		}
	}
	t.Logf("%d readings, %d with an incomplete dump, %d changes by another process", readings, incomplete, stop())
	if incomplete < wanted {
		t.Errorf("only %d dumps were incomplete in %d readings", incomplete, readings)
	}
}

// foreignChanges creates a foreign table and returns what begins to add and remove
// counters of it, without a pause, from another socket, until stop is called.
func foreignChanges(t *testing.T) (begin func() (stop func() (made int))) {
	t.Helper()
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	other, err := nftables.New(nftables.AsLasting(), nftables.WithNetNSFd(int(namespace.Fd())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = other.CloseLasting()
		_ = namespace.Close()
	})
	foreign := other.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "foreign"})
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	counters := []nftables.Obj{
		&nftables.CounterObj{Table: foreign, Name: "one"},
		&nftables.CounterObj{Table: foreign, Name: "two"},
		&nftables.CounterObj{Table: foreign, Name: "three"},
	}
	return func() func() int {
		end, made := make(chan struct{}), make(chan int)
		go func() {
			defer close(made)
			for changes := 0; ; changes++ {
				select {
				case <-end:
					made <- changes
					return
				default:
				}
				for _, counter := range counters {
					if changes%2 == 0 {
						other.AddObj(counter)
					} else {
						other.DeleteObject(counter)
					}
				}
				if err := other.Flush(); err != nil {
					t.Errorf("changing the foreign table: %v", err)
					return
				}
			}
		}()
		stop := sync.OnceValue(func() int {
			close(end)
			return <-made
		})
		t.Cleanup(func() { stop() })
		return stop
	}
}

// TestMissingCountersAreRequestedOneByOne tests the requests that complete an
// interrupted dump.
func TestMissingCountersAreRequestedOneByOne(t *testing.T) {
	inNamespace(t)
	table := open(t, Options{})
	install(t, table, portList(300))
	sendUDP(t, "127.0.0.1:20007", 5, 10)
	want := read(t, table)

	var sample accounting.Sample
	r, counters := &table.reader, &table.known.counters
	r.begin(&sample, counters)
	if _, err := table.requestUnseen(); err != nil {
		t.Fatal(err)
	}
	if len(sample.Readings) != len(want) {
		t.Fatalf("got %d counters, want %d", len(sample.Readings), len(want))
	}
	for _, reading := range sample.Readings {
		if want[reading.Key] != reading {
			t.Errorf("%s: got %+v, want %+v", reading.Key, reading, want[reading.Key])
		}
	}
	// Deleted counters are omitted, which is not an error.
	keys := portList(1).Keys()
	if err := errors.Join(table.Detach(keys), table.Delete(keys)); err != nil {
		t.Fatal(err)
	}
	counters.add(keys...)
	r.begin(&sample, counters)
	if _, err := table.requestUnseen(); err != nil || len(sample.Readings) != len(want)-len(keys) {
		t.Errorf("got %d counters, %v, want %d", len(sample.Readings), err, len(want)-len(keys))
	}
}

// TestReadBeyondTheDumpLimit reads more counters than are read in one dump.
func TestReadBeyondTheDumpLimit(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	inNamespace(t)
	table := open(t, Options{})
	ports := portList(21_000)
	install(t, table, ports)
	for range 2 { // the known counters, and all that can exist
		if got := len(read(t, table)); got != 4*len(ports) {
			t.Fatalf("got %d counters, want %d", got, 4*len(ports))
		}
		table = open(t, Options{})
	}
	read(t, table)
	verifyNothing(t, table, ports)
}

func TestWithoutTheCapability(t *testing.T) {
	inNamespace(t)
	testkit.DropCapabilities(t)
	_, err := Open(Options{})
	if !errors.Is(err, ErrPermission) || !errors.Is(err, unix.EPERM) {
		t.Errorf("Open without CAP_NET_ADMIN: got %v", err)
	}
}
