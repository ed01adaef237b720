package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
)

// TestPluginSurvivesTheSignal has Netdata stop reading while it keeps the plugin's
// stdin open. Netdata disables a plugin that the signal SIGPIPE ends.
func TestPluginSurvivesTheSignal(t *testing.T) {
	p := newPlace(t)
	netdata, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := programOf("netdata", "--config", "none", "--socket", p.socket, "1")
	if _, err := command.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	command.Stdout, command.Stderr = stdout, &log
	if err := errors.Join(command.Start(), stdout.Close(), netdata.Close()); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Errorf("the plugin ended with %v, want status 0\n%s", err, &log)
	}
}

// TestPluginTakesChartsFromSettings has two ports, of which one may have charts of
// its own. The command line comes first.
func TestPluginTakesChartsFromSettings(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	for _, test := range []struct {
		name, settings string
		arguments      []string
		ports          int
	}{
		{"default", "", nil, 2},
		{"settings", "charts: 1\n", nil, 1},
		{"none", "charts: none\n", nil, 0},
		{"a mistake in the settings", "charts: many\n", nil, 2},
		{"command line first", "charts: none\n", []string{"--charts", "1"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := writeSettings(t, test.settings)
			command := programOf(append(append([]string{"netdata", "--config", path, "--socket", p.socket}, test.arguments...), "1")...)
			stdin, err := command.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			plugin := startPlugin(t, command)
			lines, ports := plugin.lines, 0
			// The second report begins with the total again.
			for totals := 0; totals < 2 && lines.Scan(); {
				if strings.HasPrefix(lines.Text(), "CHART 'ssmonitor.port_") && strings.Contains(lines.Text(), "_traffic' ''") {
					ports++
				}
				if strings.HasPrefix(lines.Text(), "BEGIN 'ssmonitor.total_traffic'") {
					totals++
				}
			}
			_ = stdin.Close()
			plugin.endsQuietly()
			if ports != test.ports {
				t.Errorf("%d ports have charts, want %d", ports, test.ports)
			}
		})
	}
}
