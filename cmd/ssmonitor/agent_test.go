package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ssmonitor/internal/testkit"
)

// TestTextfileBetweenSaves sends traffic that the agent does not save for an hour.
// The textfile keeps the totals of the last save meanwhile, until a reading fails.
func TestTextfileBetweenSaves(t *testing.T) {
	p := newPlace(t)
	p.setup()
	path := filepath.Join(p.directory, "ssmonitor.prom")
	p.agent(p.socket, "--save-interval", "1h", "--textfile", path)
	connection, err := net.Dial("udp", "127.0.0.1:20000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	for range 20 {
		_, _ = connection.Write(make([]byte, 100)) // refused now and then: nobody listens
		time.Sleep(50 * time.Millisecond)
		if content, err := os.ReadFile(path); err != nil || !strings.Contains(string(content), "ssmonitor_port_bytes_total") {
			t.Fatalf("got %v and\n%s", err, content)
		}
	}
	testkit.NFT(t, "delete table inet ssmonitor; add table inet ssmonitor") // which is not the agent's
	testkit.Eventually(t, 10*time.Second, func() error {
		content, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(content), "\nssmonitor_read_success 0\n") {
			err = fmt.Errorf("a reading that fails does not show:\n%s", content)
		}
		return err
	})
	testkit.NFT(t, "delete table inet ssmonitor")
	testkit.Eventually(t, 10*time.Second, func() error { // the agent ends well
		_, err := os.Stat(p.csv)
		return err
	})
}

// TestAgentOpensNoSourceOfTheSettings has settings with sources that would be
// errors: beside --list they are for setup.
func TestAgentOpensNoSourceOfTheSettings(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket, "--config", writeSettings(t, "shadowsocks: [/nowhere]\nserver-config: [/nowhere]\nport: [20009]\n"))
}
