package testkit

import (
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"
)

// Until waits until the condition holds.
func Until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	Eventually(t, 10*time.Second, func() error {
		if condition() {
			return nil
		}
		return errors.New("no: " + what)
	})
}

// Quiet returns a log that nobody reads.
func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
