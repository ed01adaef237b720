package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/commandline"
	"ssmonitor/internal/settings"
)

// call runs the command line as main does.
func call(t *testing.T, arguments ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, failure bytes.Buffer
	status = execute(t.Context(), append([]string{"ssmonitor"}, arguments...), &out, &failure)
	return status, out.String(), failure.String()
}

func TestHelpHasExamples(t *testing.T) {
	status, manual, _ := call(t, "man")
	if status != exitDone {
		t.Fatalf("status %d", status)
	}
	var named []string
	for _, command := range commandline.All(newApp(&bytes.Buffer{}, &bytes.Buffer{})) {
		if command.Hidden || command.Name == "help" {
			continue
		}
		named = append(named, command.HelpName)
		words := strings.Fields(command.HelpName)[1:]
		status, help, stderr := call(t, append(words, "--help")...)
		if status != exitDone || stderr != "" || !strings.HasPrefix(help, "NAME:\n   "+command.HelpName+" - ") ||
			!strings.Contains(strings.Join(strings.Fields(help), " "), command.Usage) {
			t.Errorf("%s --help: got status %d, %q and\n%s", command.HelpName, status, stderr, help)
		}
		if command.Name != "version" && !strings.Contains(help, "Example") {
			t.Errorf("%s --help has no example", command.HelpName)
		}
		if _, same, _ := call(t, append([]string{"help"}, words...)...); same != help {
			t.Errorf("help of %s differs from --help:\n%s", command.HelpName, same)
		}
		if !strings.Contains(manual, "\n.SS "+command.HelpName) {
			t.Errorf("the manual page lacks %s", command.HelpName)
		}
	}
	if strings.Contains(manual, "__complete") || strings.Contains(manual, `\_\_complete`) {
		t.Error("the manual page has a hidden command")
	}
	if !slices.Contains(named, "ssmonitor client new") || !slices.Contains(named, "ssmonitor client list") {
		t.Errorf("the subcommands are missing in %q", named)
	}
	if _, bare, _ := call(t, "client"); !strings.Contains(bare, "ssmonitor client COMMAND [OPTION]...") || !strings.Contains(bare, "\n   new ") {
		t.Errorf("client without a subcommand prints\n%s", bare)
	}
}

// fullOnce is a disk that is full at the first write.
type fullOnce struct{ full bool }

func (w *fullOnce) Write(data []byte) (int, error) {
	if !w.full {
		w.full = true
		return 0, syscall.ENOSPC
	}
	return len(data), nil
}

// TestWriteAfterAFailedOne prints to a disk that has room again before the end.
func TestWriteAfterAFailedOne(t *testing.T) {
	out := &checkedWriter{Writer: &fullOnce{}}
	var stderr bytes.Buffer
	_, _ = out.Write([]byte("lost\n"))
	if _, err := out.Write([]byte("written\n")); err != nil {
		t.Fatal(err)
	}
	if status := exitStatus(nil, out, &stderr); status != exitFailed || !strings.Contains(stderr.String(), syscall.ENOSPC.Error()) {
		t.Errorf("got status %d and %q, want status 1 and %v", status, &stderr, syscall.ENOSPC)
	}
}

// TestEveryKeyIsAFlag finds each key of the settings among the flags of the commands.
func TestEveryKeyIsAFlag(t *testing.T) {
	flags := make(map[string]bool)
	for _, command := range commandline.All(newApp(io.Discard, io.Discard)) {
		for _, option := range command.Flags {
			if own, ok := option.(*settingFlag); ok {
				flags[own.Name] = true
			}
		}
	}
	for _, key := range append(settings.All(), settings.Config) {
		if !flags[key.Name] {
			t.Errorf("no command has a flag for the key %s", key.Name)
		}
	}
}
