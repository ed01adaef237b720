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

// plugin is a plugin that Netdata has started: its output is a pipe.
type plugin struct {
	*exec.Cmd
	t      *testing.T
	stdout io.ReadCloser
	lines  *bufio.Scanner
	log    bytes.Buffer
}

func startPlugin(t *testing.T, command *exec.Cmd) *plugin {
	t.Helper()
	p := &plugin{Cmd: command, t: t}
	p.Stderr = &p.log
	var err error
	if p.stdout, err = p.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(p.Cmd) })
	p.lines = bufio.NewScanner(p.stdout)
	return p
}

// startOldPlugin starts the plugin as Netdata before 1.37 does, whose own stdin it gets, by
// a shell with the shell's redirections of stdin.
func startOldPlugin(t *testing.T, p *place, version string, stdin *os.File, redirection string) *plugin {
	t.Helper()
	program := programOf("netdata", "--config", "none", "--socket", p.socket, "1")
	command := exec.Command("sh", append([]string{"-c", `exec "$0" "$@" ` + redirection}, program.Args...)...)
	command.Env = append(program.Env, "NETDATA_VERSION="+version, "LC_ALL=C")
	if stdin != nil {
		command.Stdin = stdin
	}
	return startPlugin(t, command)
}

// waitFor returns the lines up to the one with the text.
func (p *plugin) waitFor(text string) (before []string) {
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
func (p *plugin) endsQuietly() {
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
	hangUp := func(plugin *plugin) { _ = plugin.stdout.Close() }
	for _, test := range []struct {
		name, version string
		stdin         *os.File // nil: /dev/null
		redirection   string
		end           func(*plugin)
		labels        bool
	}{
		{"1.33, which is killed", "1.33.1", nil, "", hangUp, true},
		{"1.33, which ends", "1.33.1", nil, "", func(plugin *plugin) { _ = plugin.Process.Signal(syscall.SIGTERM) }, true},
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
