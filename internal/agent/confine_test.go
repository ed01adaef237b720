package agent

import (
	"bytes"
	"strings"
	"syscall"
	"testing"
)

// TestUnconfinedAgent counts although the kernel knows no filter.
func TestUnconfinedAgent(t *testing.T) {
	var log bytes.Buffer
	a := &agent{Options: Options{Log: newLog(&log)}}
	a.confine() // without a way to
	if log.Len() > 0 {
		t.Errorf("got\n%s", &log)
	}
	a.Confine = func() error { return syscall.ENOSYS }
	a.confine()
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "function not implemented") {
		t.Errorf("got\n%s", &log)
	}
}
