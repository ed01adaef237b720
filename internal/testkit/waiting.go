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

// InTime returns the error of do. It ends the test if do waits for something that never
// comes.
func InTime(t *testing.T, what string, do func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatalf("%s hangs", what)
		return nil
	}
}

// Quiet returns a log that nobody reads.
func Quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }
