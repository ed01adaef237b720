package nft

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"ssmonitor/internal/testkit"
)

// BenchmarkInstalling compares the installation of a new table with two others:
// nft with the same ruleset as a file, including the start of the process, which
// a user also waits for; and google/nftables with the table, its chains and its
// counters only, since it has no maps to counters and no rule that uses one.
func BenchmarkInstalling(b *testing.B) {
	for _, against := range []struct {
		name    string
		prepare func(b *testing.B, ports int) (install func())
	}{
		{"nft -f", nftFile},
		{"google/nftables without maps", libraryCounters},
	} {
		for _, ports := range []int{1000, 10_000} {
			b.Run(compared(against.name, ports), func(b *testing.B) {
				inNamespace(b)
				table := open(b, Options{})
				library, err := nftables.New()
				if err != nil {
					b.Fatal(err)
				}
				list := portList(ports)
				removed := func(install func()) func() time.Duration {
					return func() time.Duration {
						duration := elapsed(install)
						library.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: TableName})
						if err := library.Flush(); err != nil {
							b.Fatal(err)
						}
						return duration
					}
				}
				compare(b, 1, removed(func() { install(b, table, list) }), removed(against.prepare(b, ports)))
			})
		}
	}
}

func nftFile(b *testing.B, ports int) func() {
	b.Helper()
	testkit.Require(b, "nft")
	path := filepath.Join(b.TempDir(), "ruleset.nft")
	file, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if err := WriteRuleset(file, HookHost, portList(ports)); err != nil {
		b.Fatal(err)
	}
	return func() {
		if output, err := exec.Command("nft", "-f", path).CombinedOutput(); err != nil {
			b.Fatalf("nft: %v\n%s", err, output)
		}
	}
}

func libraryCounters(b *testing.B, ports int) func() {
	b.Helper()
	keys := portList(ports).Keys()
	return func() {
		library, err := nftables.New()
		if err != nil {
			b.Fatal(err)
		}
		table := library.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: TableName})
		for _, c := range HookHost.chains() {
			hook, priority := nftables.ChainHook(c.hook), nftables.ChainPriority(c.priority)
			library.AddChain(&nftables.Chain{
				Table: table, Name: c.name, Type: nftables.ChainTypeFilter, Hooknum: &hook, Priority: &priority,
			})
		}
		for _, key := range keys {
			library.AddObj(&nftables.NamedObj{Table: table, Name: key.String(), Type: nftables.ObjTypeCounter, Obj: &expr.Counter{}})
		}
		if err := library.Flush(); err != nil {
			b.Fatal(err)
		}
	}
}
