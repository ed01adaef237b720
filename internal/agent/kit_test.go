package agent

import (
	"io"
	"log/slog"
	"syscall"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/internal/settings"
	"ssmonitor/internal/testkit"
	"ssmonitor/nft"
)

// newTestAgent moves the test into a network namespace, and returns an agent of two ports
// that is not running.
func newTestAgent(t *testing.T, log io.Writer, change func(*settings.Settings)) *agent {
	t.Helper()
	testkit.NetworkNamespace(t)
	s := settings.Default()
	s.StateDirectory, s.CSV, s.Socket = t.TempDir(), "", ""
	s.Ports = accounting.Ports{{Number: 20000, Protocols: accounting.TCPAndUDP}, {Number: 20001, Protocols: accounting.TCPAndUDP}}
	if change != nil {
		change(s)
	}
	return newAgent(s, Options{Log: newLog(log), Lookup: func(string) string { return "" }, Inputs: settings.Inputs{File: settings.NoFile}})
}

func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// open opens the agent until the test ends.
func open(t *testing.T, a *agent) *agent {
	t.Helper()
	if err := a.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// openTable opens the table until the test ends, with counters for the ports.
func openTable(t *testing.T, ports ...accounting.Port) *nft.Table {
	t.Helper()
	table, err := nft.Open(nft.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	if len(ports) > 0 {
		if err := table.Install(ports); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

// refusing is a store on a full disk.
type refusing struct{}

func (refusing) Save(accounting.State) error { return syscall.ENOSPC }

// unrepairable is the real table, except that it can't be verified.
type unrepairable struct{ *nft.Table }

func (unrepairable) Verify(accounting.Ports) ([]string, error) { return nil, syscall.ENOBUFS }
