package api

import (
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/servingtest"
)

// TestSettings asks an agent for its settings, and one that has no such request.
func TestSettings(t *testing.T) {
	want := &Settings{File: "/etc/ssmonitor/config.yaml", Keys: map[string]Setting{
		"warn": {From: FromFile, Values: []string{"Smith, John=1GB", "2GB"}}, "hook": {Values: []string{"host"}},
	}}
	for name, handler := range map[string]http.Handler{
		"this": NewSettingsHandler(func() *Settings { return want }, testkit.Quiet()), "older": http.NotFoundHandler(),
	} {
		path := filepath.Join(t.TempDir(), "socket")
		server := &http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
		listener := servingtest.Listen(t, path)
		go func() { _ = server.Serve(listener) }()
		got, err := NewClient(path).Settings(t.Context())
		_ = server.Close()
		if name == "older" {
			if err == nil {
				t.Errorf("%s: got %+v", name, got)
			}
		} else if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
}
