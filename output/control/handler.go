package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/accounting/usage"
)

const (
	newClientPath    = "/v1/clients/new"
	forgetClientPath = "/v1/clients/forget"
	stateHeader      = "Ssmonitor-State"

	// maxBody is the size of the largest request, which is a name and some numbers.
	maxBody = 4 << 10
	// changeTimeout is how long a request waits for the agent to begin with it.
	changeTimeout = 5 * time.Second
)

// ErrEnding is the answer of an agent that is ending. Nothing has changed.
var ErrEnding = &Error{http.StatusGone, "the agent is ending"}

// Error is an answer of the agent by which nothing has changed.
type Error struct {
	Status int // of HTTP
	Text   string
}

// Error says what was refused, and what to do.
func (e *Error) Error() string { return e.Text }

// Changes are what root can change in a running agent. An error that is not an [*Error]
// stands for status 503.
type Changes interface {
	// HandOver gives a port to another client from now on. When it returns nil, the
	// change is durable.
	HandOver(ctx context.Context, port uint16, name string) error
	// Forget forgets past clients. When it returns nil, the change is durable.
	Forget(ctx context.Context, past usage.Past) error
	// LedgerIdentity identifies the state directory that the agent holds, by its lock.
	LedgerIdentity() string
}

// clientRequest is the JSON of POST /v1/clients/new.
type clientRequest struct {
	Port int    `json:"port"`
	Name string `json:"name"`
}

// pastRequest is the JSON of POST /v1/clients/forget.
type pastRequest struct {
	Name  string `json:"name,omitempty"`
	First int    `json:"first"`
	Last  int    `json:"last"`
}

// NewHandler answers the requests of the control socket.
func NewHandler(agent Changes) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(newClientPath, command(agent, func(ctx context.Context, req clientRequest) error {
		if req.Port < 1 || req.Port > math.MaxUint16 {
			return badRequest("port %d: want a number from 1 to 65535", req.Port)
		}
		name := strings.TrimSpace(req.Name)
		if want := accounting.NameFault(name); want != "" {
			return badRequest("name %q: want %s", name, want)
		}
		return agent.HandOver(ctx, uint16(req.Port), name)
	}))
	mux.Handle(forgetClientPath, command(agent, func(ctx context.Context, req pastRequest) error {
		if req.First < 1 || req.Last < req.First || req.Last > math.MaxUint16 {
			return badRequest("ports %d to %d: want numbers from 1 to 65535", req.First, req.Last)
		}
		return agent.Forget(ctx, usage.Past{Name: req.Name, First: uint16(req.First), Last: uint16(req.Last)})
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		writeError(w, &Error{http.StatusNotFound, fmt.Sprintf("path %q: this agent knows no such request", req.URL.Path)})
	})
	return mux
}

// command answers the requests of one path: it decodes the body of each and runs it.
func command[Request any](agent Changes, run func(context.Context, Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), changeTimeout)
		defer cancel()
		var decoded Request
		err := checkHeader(req, agent)
		if err == nil {
			err = decode(http.MaxBytesReader(w, req.Body, maxBody), &decoded)
		}
		if err == nil {
			err = run(ctx, decoded)
		}
		if err != nil {
			writeError(w, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// checkHeader refuses a request that is no POST, or for another state directory.
func checkHeader(req *http.Request, agent Changes) error {
	if req.Method != http.MethodPost {
		return &Error{http.StatusMethodNotAllowed, fmt.Sprintf("method %q: want POST", req.Method)}
	}
	if meant := req.Header.Get(stateHeader); meant != "" && meant != agent.LedgerIdentity() {
		return &Error{http.StatusPreconditionFailed, "this agent keeps its totals in another directory"}
	}
	return nil
}

// decode reads a body that consists of one JSON object with known members.
func decode(body io.Reader, into any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, err = decoder.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = errors.New("it has more than one value")
		}
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return &Error{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", tooLarge.Limit)}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return &Error{http.StatusRequestTimeout, "the body did not arrive in time"}
	}
	return badRequest("the body is not the JSON of this request: %v", err)
}

func badRequest(format string, arguments ...any) error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, arguments...)}
}

// writeError answers with the status and the text of an error.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusServiceUnavailable
	if refused, ok := errors.AsType[*Error](err); ok {
		status = refused.Status
	}
	if status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(errorBody(err)) // a client that has disconnected needs no answer
}
