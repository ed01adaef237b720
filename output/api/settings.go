package api

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"

	"ssmonitor/internal/terminal"
)

// Settings are those that the agent runs with.
type Settings struct {
	File string             `json:"file,omitempty"` // empty: none
	Keys map[string]Setting `json:"keys"`           // by the names of the keys
}

// Setting is the value of a key as users write it.
type Setting struct {
	From   string   `json:"from,omitempty"` // FromFile, FromStart, or empty for the default
	Values []string `json:"values"`
}

// The places of settings.
const (
	FromFile  = "file"
	FromStart = "start" // a flag or a variable
)

// maxSettings bounds how much a reader takes.
const maxSettings = 8 << 20

// NewSettingsHandler answers GET /v1/settings with the JSON of [Settings].
func NewSettingsHandler(inForce func() *Settings, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		setJSONHeader(w.Header())
		if err := terminal.NewJSONEncoder(w).Encode(inForce()); err != nil {
			log.Debug("writing a response failed", "path", req.URL.Path, "error", err)
		}
	})
}

// Settings requests GET /v1/settings, which older agents do not have. Its
// errors are those of Report.
func (c *Client) Settings(ctx context.Context) (*Settings, error) {
	return fetch(ctx, c, "/v1/settings", nil, bodyBy(func(body io.Reader) (*Settings, error) {
		read := new(Settings)
		return read, json.NewDecoder(io.LimitReader(body, maxSettings)).Decode(read)
	}))
}
