package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/peer"
	"ssmonitor/internal/serving"
	"ssmonitor/internal/terminal"
)

// ErrNotListening means that no agent listens on the socket. It may be starting or
// ending.
var ErrNotListening = errors.New("no agent listens")

// ErrNoAnswer means that the agent ended before it answered. It may have made the
// change or not.
var ErrNoAnswer = errors.New("the agent has not answered, and may have made the change or not: see `ssmonitor client list`")

// errStranger means that the process that listens is not the agent.
var errStranger = errors.New("not ssmonitor's agent")

// Directory is the state directory that a change is meant for.
type Directory struct {
	Identity string // of the directory's lock; empty: any
	Owner    uint32 // the user that the directory belongs to
}

// Client sends requests to the agent's control socket.
type Client struct {
	socket    string
	state     Directory
	transport http.RoundTripper
}

// NewClient returns a client for the agent that listens on the socket at a path and
// holds the state.
func NewClient(socket string, state Directory) *Client {
	return &Client{socket, state, serving.NewTransport(socket, state.checkPeer)}
}

// checkPeer makes sure that the agent listens at the other end.
func (d Directory) checkPeer(conn net.Conn) error {
	cred, err := peer.Credentials(conn)
	if err == nil && cred.Uid != 0 && cred.Uid != d.Owner {
		err = fmt.Errorf("process %d of user %d listens there, %w", cred.Pid, cred.Uid, errStranger)
	}
	return err
}

// HandOver gives a port to another client from now on. Its errors are those of the
// agent, as [*Error], ErrNotListening, ErrNoAnswer, fs.ErrPermission,
// context.DeadlineExceeded, and others for an agent that can't be asked; all of them
// say what to do.
func (c *Client) HandOver(ctx context.Context, port uint16, name string) error {
	return c.post(ctx, newClientPath, clientRequest{int(port), name})
}

// Forget forgets past clients. Its errors are those of [Client.HandOver].
func (c *Client) Forget(ctx context.Context, past usage.Past) error {
	return c.post(ctx, forgetClientPath, pastRequest{past.Name, int(past.First), int(past.Last)})
}

func (c *Client) post(ctx context.Context, path string, request any) error {
	err := c.send(ctx, path, request)
	var refused *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound:
		return fmt.Errorf("the agent on %s is of another version: restart it (systemctl restart ssmonitor): %w", c.socket, err)
	case refused != nil && refused.Status == http.StatusPreconditionFailed:
		return fmt.Errorf("the agent on %s: %w: name the right socket with --socket", c.socket, err)
	case refused != nil && refused.Status == http.StatusGone:
		return fmt.Errorf("%w on %s any more", ErrNotListening, c.socket)
	case refused != nil:
		return err
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w on %s", ErrNotListening, c.socket)
	case errors.Is(err, errStranger):
		return fmt.Errorf("%s: %w: end that process, or put the agent's --socket in a directory that only the agent writes to", c.socket, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w: run it as root, in the user namespace of the agent", c.socket, err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %s: %w", c.socket, ErrNoAnswer.Error(), err) // the agent still runs
	}
	return fmt.Errorf("%s: %w: %w", c.socket, ErrNoAnswer, err)
}

func (c *Client) send(ctx context.Context, path string, request any) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	// The host name does not matter: the transport always dials the socket.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://ssmonitor"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if c.state.Identity != "" {
		req.Header.Set(stateHeader, c.state.Identity)
	}
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // the body has been read or is abandoned
	if resp.StatusCode == http.StatusNoContent {
		return nil
	}
	if resp.StatusCode < http.StatusBadRequest {
		return fmt.Errorf("what answers %q there is %w", resp.Status, errStranger)
	}
	return readError(resp)
}

// readError returns the refusal in an answer. Its text is printed in a terminal.
func readError(resp *http.Response) error {
	var refused refusal
	text := "answered " + resp.Status
	if json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&refused) == nil && refused.Error != "" {
		text = refused.Error
	}
	return &Error{resp.StatusCode, terminal.Text(text)}
}
