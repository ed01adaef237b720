package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// oldPlugin is the plugin as Netdata before 1.37 starts it: its output is a pipe, and
// its stdin is Netdata's own.
type oldPlugin struct {
	*exec.Cmd
	t      *testing.T
	stdout io.ReadCloser
	lines  *bufio.Scanner
	log    bytes.Buffer
}

// startOldPlugin starts the plugin by a shell, with the shell's redirections of stdin.
func startOldPlugin(t *testing.T, p *place, version string, stdin *os.File, redirection string) *oldPlugin {
	t.Helper()
	program := programOf("netdata", "--config", "none", "--socket", p.socket, "1")
	plugin := &oldPlugin{Cmd: exec.Command("sh", append([]string{"-c", `exec "$0" "$@" ` + redirection}, program.Args...)...), t: t}
	plugin.Env = append(program.Env, "NETDATA_VERSION="+version, "LC_ALL=C")
	if stdin != nil {
		plugin.Stdin = stdin
	}
	plugin.Stderr = &plugin.log
	var err error
	if plugin.stdout, err = plugin.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := plugin.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(plugin.Cmd) })
	plugin.lines = bufio.NewScanner(plugin.stdout)
	return plugin
}

// waitFor returns the lines up to the one with the text.
func (p *oldPlugin) waitFor(text string) (before []string) {
	p.t.Helper()
	for p.lines.Scan() {
		before = append(before, p.lines.Text())
		if strings.Contains(p.lines.Text(), text) {
			return before
		}
	}
	p.t.Fatalf("the plugin ended with %v before %q:\n%s\n%s", p.Wait(), text, strings.Join(before, "\n"), &p.log)
	return nil
}

// endsQuietly waits for the end: after another status than 0, Netdata may disable the
// plugin.
func (p *oldPlugin) endsQuietly() {
	p.t.Helper()
	_, _ = io.Copy(io.Discard, p.stdout) // an error if it is closed
	if err := p.Wait(); err != nil {
		p.t.Errorf("the plugin ended with %v\n%s", err, &p.log)
	}
}

// TestPluginOfOldNetdataGoesOn has every stdin that is not from Netdata. Each plugin
// shows a second value, and ends when Netdata does.
func TestPluginOfOldNetdataGoesOn(t *testing.T) {
	p := newPlace(t)
	p.setup()
	p.agent(p.socket)
	file, err := os.Open(p.config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	hangUp := func(plugin *oldPlugin) { _ = plugin.stdout.Close() }
	for _, test := range []struct {
		name, version string
		stdin         *os.File // nil: /dev/null
		redirection   string
		end           func(*oldPlugin)
		labels        bool
	}{
		{"1.33, which is killed", "1.33.1", nil, "", hangUp, true},
		{"1.33, which ends", "1.33.1", nil, "", func(plugin *oldPlugin) { _ = plugin.Process.Signal(syscall.SIGTERM) }, true},
		{"1.29 of Debian 11", "1.29.3-4", nil, "", hangUp, false},
		{"1.19 of Ubuntu 20.04", "1.19.0", nil, "", hangUp, false},
		{"a closed stdin", "", nil, "<&-", hangUp, true},
		{"a file", "", file, "", hangUp, true},
		{"a directory", "", nil, "</", hangUp, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			plugin := startOldPlugin(t, p, test.version, test.stdin, test.redirection)
			definitions := strings.Join(plugin.waitFor("BEGIN 'ssmonitor.port_20000_traffic'"), "\n")
			plugin.waitFor("BEGIN 'ssmonitor.port_20000_traffic' ") // with the time since the first
			if got := strings.Contains(definitions, "CLABEL"); got != test.labels {
				t.Errorf("there are labels: %t, want %t:\n%s", got, test.labels, definitions)
			}
			if title := "'Traffic of port 20000'"; strings.Contains(definitions, title) == test.labels {
				t.Errorf("with labels %t, the title %s is wrong:\n%s", test.labels, title, definitions)
			}
			test.end(plugin)
			plugin.endsQuietly()
		})
	}
}

// TestPluginEndsWithItsPipe has a stdin from Netdata since 1.37, whose end is Netdata's.
func TestPluginEndsWithItsPipe(t *testing.T) {
	p := newPlace(t)
	sockets, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	for name, ends := range map[string][2]*os.File{
		"a pipe":   {read, write},
		"a socket": {os.NewFile(uintptr(sockets[0]), "plugin"), os.NewFile(uintptr(sockets[1]), "netdata")},
	} {
		t.Run(name, func(t *testing.T) {
			syscall.CloseOnExec(int(ends[1].Fd()))
			plugin := startOldPlugin(t, p, "v2.0.0", ends[0], "")
			_ = ends[0].Close()
			if !plugin.lines.Scan() { // a line of its life
				t.Errorf("the plugin ended with %v\n%s", plugin.Wait(), &plugin.log)
			}
			_ = ends[1].Close()
			plugin.endsQuietly()
		})
	}
}

// TestPluginWithoutStdout has nobody who could read the charts, so that it would run for
// ever.
func TestPluginWithoutStdout(t *testing.T) {
	p := newPlace(t)
	for _, redirection := range []string{">&-", "<&- >&-", ">/dev/null"} {
		plugin := startOldPlugin(t, p, "", nil, redirection)
		_, _ = io.Copy(io.Discard, plugin.stdout)
		if err := plugin.Wait(); plugin.ProcessState.ExitCode() != exitFailed || !strings.Contains(plugin.log.String(), "stdout is closed or /dev/null: the plugin writes its charts there") {
			t.Errorf("%s: the plugin ended with %v\n%s", redirection, err, &plugin.log)
		}
	}
}
