package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

func TestClientReadsWhatIsNotSaved(t *testing.T) {
	in := accounting.Key{Port: 20000, Protocol: accounting.TCP, Direction: accounting.In}
	out := accounting.Key{Port: 20000, Protocol: accounting.UDP, Direction: accounting.Out}
	count := accounting.Count{Packets: 3, Bytes: 4000}
	for _, want := range []*Unsaved{
		{Ledger: "fd00-7"},
		{Ledger: "fd00-7", Unsaved: accounting.Unsaved{
			Time: sample.Noon, Ports: accounting.Ports{{Number: 20000, Name: "王小明"}, {Number: 20001}},
			Accounts: []accounting.Account{{Key: in, Total: count.Plus(count)}, {Key: out, Total: count}},
			Gains:    []accounting.Gain{{Time: sample.Noon, Key: in, Count: count}, {Time: sample.Noon.Add(time.Hour), Key: in, Count: count}},
		}},
	} {
		path := filepath.Join(t.TempDir(), "socket")
		mux := http.NewServeMux()
		mux.Handle("GET /v1/unsaved", NewUnsavedHandler(func(context.Context) (*Unsaved, error) { return want, nil }, sample.AtNoon, testkit.Quiet()))
		servingtest.Start(t, path, mux, servingtest.Generous)
		got, err := NewClient(path).Unsaved(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

func TestReadUnsavedRefuses(t *testing.T) {
	for _, text := range []string{"", "{"} {
		if _, err := ReadUnsaved(strings.NewReader(text)); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: got %v, want an unexpected end", text, err)
		}
	}
	for _, text := range []string{
		`{"accounts":[{"port":1,"direction":2}]}`, `{"accounts":[{"port":1,"bytes":9223372036854775808}]}`, `{"accounts":[{"port":70000}]}`,
	} {
		if got, err := ReadUnsaved(strings.NewReader(text)); err == nil {
			t.Errorf("%s: got %+v, want an error", text, got)
		}
	}
}
