package serving

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// NewTransport returns a transport to the server on a unix socket, whatever host a
// request names. Nothing is sent on a connection for which check returns an error; a nil
// check accepts all.
func NewTransport(socket string, check func(net.Conn) error) http.RoundTripper {
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err != nil || check == nil {
				return conn, err
			}
			if err := check(conn); err != nil {
				return nil, errors.Join(err, conn.Close())
			}
			return conn, nil
		},
		DisableKeepAlives:      true, // the server closes every connection after one response
		MaxResponseHeaderBytes: 4 << 10,
	}
}
