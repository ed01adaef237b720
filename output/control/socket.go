package control

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"ssmonitor/internal/peer"
	"ssmonitor/internal/serving"
)

// SocketName is the name of the socket, which lies beside the one for readers.
const SocketName = "control.sock"

const (
	// refusalTimeout is how long a client may take to read its refusal.
	refusalTimeout = time.Second
	// maxRefusals is how many clients are waited for at the same time.
	maxRefusals = 16
	// maxRefused is how much of a refused request is read, and ignored.
	maxRefused = 64 << 10
)

// SocketPath returns the path of the control socket of the agent whose readers'
// socket is at a path.
func SocketPath(readers string) string { return filepath.Join(filepath.Dir(readers), SocketName) }

// Listen listens on the control socket at a path. It accepts connections of root only;
// others receive a refusal and are logged. Files at the path are replaced or left alone
// as by [serving.ListenSocket].
func Listen(path string, log *slog.Logger) (*Listener, error) {
	socket, err := serving.ListenPrivateSocket(path)
	if err != nil {
		return nil, err
	}
	return &Listener{socket, log, make(chan struct{}, maxRefusals)}, nil
}

// Listener accepts connections of root only.
type Listener struct {
	*serving.Socket
	log      *slog.Logger
	refusals chan struct{} // has a token for each refused client that is waited for
}

// Accept waits for the next connection of root.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Socket.Accept()
		if err != nil {
			return nil, err
		}
		cred, err := peer.Credentials(conn)
		if err == nil && cred.Uid == 0 {
			return conn, nil
		}
		if err == nil {
			err = fmt.Errorf("user %d may not change anything here: run the command as root, and inside the agent's container if it has one", cred.Uid)
		}
		l.log.Warn("a connection to the control socket was refused", "error", err)
		l.refuse(conn, err)
	}
}

// refuse answers, whatever the request is. It does not close the connection while the
// client still writes: the client would get an error of its socket, not the answer. If
// many clients are refused at the same time, some do get that.
func (l *Listener) refuse(conn net.Conn, reason error) {
	_ = conn.SetDeadline(time.Now().Add(refusalTimeout))
	body := errorBody(reason)
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		http.StatusForbidden, http.StatusText(http.StatusForbidden), len(body), body) // the peer may have hung up
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	select {
	case l.refusals <- struct{}{}:
	default:
		_ = conn.Close()
		return
	}
	go func() {
		_, _ = io.CopyN(io.Discard, conn, maxRefused)
		_ = conn.Close()
		<-l.refusals
	}()
}

// errorBody returns the body of an answer that is not 204.
func errorBody(err error) []byte {
	body, _ := json.Marshal(refusal{err.Error()}) // a string can always be encoded
	return append(body, '\n')
}

// refusal is the JSON of an answer that is not 204.
type refusal struct {
	Error string `json:"error"`
}
