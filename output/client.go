package output

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"ssmonitor/accounting"
)

// Client asks the agent over its socket.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the agent that listens on the socket of that
// path.
func NewClient(socket string) *Client {
	return &Client{socket: socket, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives:      true, // The agent keeps no connection either.
		MaxResponseHeaderBytes: 4 << 10,
	}}}
}

// ErrAgentAway says that no agent answers on the socket, or that it ended while
// it answered.
var ErrAgentAway = errors.New("the agent is not running")

// Report asks for GET /v1/ports. The error says what to do about it; for
// errors.Is it is ErrAgentAway, fs.ErrPermission where the user is not in the
// socket's group, and context.DeadlineExceeded where the agent did not answer
// within ctx.
func (c *Client) Report(ctx context.Context) (*accounting.Report, error) {
	report, err := c.ask(ctx)
	if err == nil {
		return report, nil
	}
	var advice string
	switch {
	case errors.Is(err, ErrAgentAway):
		advice = ": start it (systemctl start ssmonitor), or name its socket with --socket"
	case errors.Is(err, fs.ErrPermission):
		advice = ": add this user to the socket's group (usermod --append --groups ssmonitor USER) and start the program again"
	case errors.Is(err, context.DeadlineExceeded):
		advice = ": the agent does not answer in time: see its log (journalctl --unit ssmonitor)"
	}
	return nil, fmt.Errorf("asking the agent on %s: %w%s", c.socket, err, advice)
}

func (c *Client) ask(ctx context.Context) (*accounting.Report, error) {
	// The host is of no account: the transport dials the socket whatever it is.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ssmonitor/v1/ports", nil)
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, away(errors.Unwrap(err)) // *url.Error would show a URL that means nothing to the reader.
	}
	defer answer.Body.Close() //nolint:errcheck // It has been read, or is given up.
	if answer.StatusCode != http.StatusOK {
		reason, _ := io.ReadAll(io.LimitReader(answer.Body, 512))
		return nil, fmt.Errorf("answered %s: %s", answer.Status, strings.TrimSpace(string(reason)))
	}
	report, err := ReadJSON(answer.Body)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = away(err)
	}
	return report, err
}

// away makes ErrAgentAway of all that keeps an answer from coming, but for what
// has a reason of its own. It is one cause for the many ways in which an agent
// is seen to go, so that a Fault reports it once.
func away(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	return fmt.Errorf("%w (%s)", ErrAgentAway, err.Error())
}
