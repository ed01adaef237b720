package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"

	"ssmonitor/accounting"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/terminal"
)

// Client reads reports from the agent over its socket.
type Client struct {
	socket    string
	transport http.RoundTripper
}

// NewClient returns a client for the agent that listens on the unix socket at
// that path.
func NewClient(socket string) *Client {
	return &Client{socket, serving.NewTransport(socket, nil)}
}

// ErrAgentNotRunning means that no agent answers on the socket, or that the
// agent ended while it answered.
var ErrAgentNotRunning = errors.New("the agent is not running")

// errStranger means that another program answers on the socket.
var errStranger = errors.New("what answers there is not ssmonitor's agent")

// notFoundError is an answer of something that knows no such path.
type notFoundError string

// Error returns the answer.
func (e notFoundError) Error() string { return string(e) }

// Report requests GET /v1/ports. Its error says what to do. It is
// ErrAgentNotRunning, fs.ErrPermission if the user is not in the socket's
// group, context.DeadlineExceeded if the agent did not answer within ctx, or an
// error without a type of its own.
func (c *Client) Report(ctx context.Context) (*accounting.Report, error) {
	return fetch(ctx, c, "/v1/ports", nil, bodyBy(ReadReport))
}

// Usage requests GET /v1/usage with these parameters. Its errors are those of
// Report.
func (c *Client) Usage(ctx context.Context, parameters url.Values) (*Usage, error) {
	return fetch(ctx, c, "/v1/usage?"+parameters.Encode(), nil, bodyBy(ReadUsage))
}

// Metrics requests GET /metrics with these parameters and header, and calls read with those
// of the response and its body, as it came: compressed, if the header accepts that. An error of
// read means that it is no response of the agent. The errors are those of Report.
func (c *Client) Metrics(ctx context.Context, parameters url.Values, header http.Header, read func(http.Header, io.Reader) error) error {
	_, err := fetch(ctx, c, "/metrics?"+parameters.Encode(), header, func(header http.Header, body io.Reader) (*struct{}, error) {
		return nil, read(header, body)
	})
	return err
}

// Unsaved requests GET /v1/unsaved. Its errors are those of Report. An agent of an older
// version does not know the request.
func (c *Client) Unsaved(ctx context.Context) (*Unsaved, error) {
	return fetch(ctx, c, "/v1/unsaved", nil, bodyBy(ReadUnsaved))
}

// bodyBy reads the body of a response.
func bodyBy[T any](read func(io.Reader) (*T, error)) func(http.Header, io.Reader) (*T, error) {
	return func(_ http.Header, body io.Reader) (*T, error) { return read(body) }
}

func fetch[T any](ctx context.Context, c *Client, path string, header http.Header, read func(http.Header, io.Reader) (*T, error)) (*T, error) {
	value, err := get(ctx, c, path, header, read)
	if err == nil {
		return value, nil
	}
	var advice string
	switch {
	case errors.Is(err, ErrAgentNotRunning):
		advice = ": start it (systemctl start ssmonitor), or name its socket with --socket"
	case errors.Is(err, errStranger):
		advice = ": end that process and restart the agent, or name the agent's socket with --socket"
	case errors.Is(err, fs.ErrPermission):
		advice = ": add this user to the socket's group (usermod --append --groups ssmonitor USER) and start the program again"
	case errors.Is(err, context.DeadlineExceeded):
		advice = ": the agent does not answer in time: see its log (journalctl --unit ssmonitor)"
	}
	return nil, fmt.Errorf("asking the agent on %s: %w%s", c.socket, err, advice)
}

func get[T any](ctx context.Context, c *Client, path string, header http.Header, read func(http.Header, io.Reader) (*T, error)) (*T, error) {
	// The host name does not matter: the transport always dials the socket.
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ssmonitor"+path, nil)
	if err != nil {
		return nil, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return nil, notRunning(err)
	}
	defer resp.Body.Close() //nolint:errcheck // the body has been read or is abandoned
	if resp.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		// It may be another program that answers, and the error ends up in a terminal.
		text := terminal.Text(fmt.Sprintf("answered %s: %s", resp.Status, strings.Join(strings.Fields(string(reason)), " ")))
		if resp.StatusCode == http.StatusNotFound {
			return nil, fmt.Errorf("%w (%w)", errStranger, notFoundError(text))
		}
		return nil, errors.New(text)
	}
	value, err := read(resp.Header, resp.Body)
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		err = notRunning(err)
	case err != nil && ctx.Err() == nil:
		err = fmt.Errorf("%w (%w)", errStranger, err)
	}
	return value, err
}

// notRunning turns every failure to get a response into ErrAgentNotRunning,
// except those with a cause of their own. An agent that ends shows in many
// ways; one cause for all of them lets a [health.Fault] report it once.
func notRunning(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w (%s)", ErrAgentNotRunning, err.Error())
}
