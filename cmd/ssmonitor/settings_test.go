package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestSettingsShowNoValue has a password in every key whose values have a form. Its
// file and position are named, and what is wanted.
func TestSettingsShowNoValue(t *testing.T) {
	const secret = "hunter2"
	for _, test := range []struct{ command, settings, position, want string }{
		{"run", "hook: hunter2\n", "line 1, column 7", "key hook: want host or container"},
		{"run", "own: hunter2\n", "line 1, column 6", "key own: want no, auto or yes"},
		{"run", "# first\nport: [20000, \"hunter2\"]\n", "line 2, column 7", "key port: want a port number"},
		{"run", "port: [20000/hunter2]\n", "line 1, column 7", "key port: want tcp or udp"},
		{"run", "port: [20000@hunter2]\n", "line 1, column 7", "key port: want the address"},
		{"run", "interval: hunter2\n", "line 1, column 11", "key interval: want a duration"},
		{"run", "save-interval: hunter2\n", "line 1, column 16", "key save-interval: want a duration"},
		{"run", "month-day: hunter2\n", "line 1, column 12", "key month-day: want a number"},
		{"run", "zone: hunter2\n", "line 1, column 7", "key zone: want a name of the time zone database"},
		{"run", "keep-hours: hunter2\n", "line 1, column 13", "key keep-hours: want a time"},
		{"run", "keep-days: hunter2\n", "line 1, column 12", "key keep-days: want a time"},
		{"run", "listen: hunter2\n", "line 1, column 9", "key listen: want an address and a port"},
		{"run", "metrics-names: hunter2\n", "line 1, column 16", "key metrics-names: want yes or no"},
		{"usage", "hook: host\nwarn: hunter2\n", "line 2, column 7", "key warn: want a number and a unit"},
		{"usage", "warn: {alice: hunter2}\n", "line 1, column 7", "key warn: want a number and a unit"},
		{"usage", "warn: {hunter2: 1GB, ' hunter2': 2GB}\n", "line 1, column 7", "key warn: want one limit for this client"},
		{"usage", "warn: {hunter2: [1GB]}\n", "", "key warn: want a limit"},
		{"run", "addresses: hunter2\n", "line 1, column 12", "key addresses: want a number of addresses"},
		{"run", "any-protocol: hunter2\n", "line 1, column 15", "want true or false"},
		{"run", "server_password: hunter2\n", "line 1, column 1", "unknown field"},
		{"run", "hunter2: [8388]\n", "line 1, column 1", "unknown field"},
		{"run", "hunter2: 1\nhunter2: 2\n", "line 2, column 1", "already defined"},
		{"run", "{\"password\": \"hunter2\", \"server_port\": 8388}\n", "line 1, column ", "unknown field"},
		{"run", "hook: 'hunter2\n", "line 1, column 7", "want YAML"},
		{"run", "hunter2\n", "line 1, column 1", "mapping is expected"},
		{"run", "- hunter2\n", "line 1, column 1", "mapping is expected"},
		{"run", "hook: !hunter2 [x\n", "line 1, column ", "want YAML"},
		{"run", "hook: *hunter2\n", "line 1, column 8", "want YAML"},
	} {
		path := writeSettings(t, test.settings)
		status, stdout, stderr := call(t, test.command, "--config", path)
		if status != exitUsage || !strings.Contains(stderr, fmt.Sprintf("%s: %s", path, test.position)) || !strings.Contains(stderr, test.want) {
			t.Errorf("%q: status %d, got %q, want %s and %s", test.settings, status, stderr, test.position, test.want)
		}
		if strings.Contains(stdout+stderr, secret) || strings.Contains(stderr, "unter") {
			t.Errorf("%q: the value is shown: %s%s", test.settings, stdout, stderr)
		}
	}
}
