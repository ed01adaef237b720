package main

import (
	"bytes"
	"io"
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
