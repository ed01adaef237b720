package shadowsocks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reasons why a readable configuration gives no ports, for errors.Is.
var (
	// ErrClient says that the file configures a client: its ports are those of
	// a server elsewhere.
	ErrClient = errors.New("this configures a Shadowsocks client, expected a server's configuration")
	// ErrNoPorts says that the file names no port of a server.
	ErrNoPorts = errors.New("no server port in it, expected server_port, port_password or servers")
)

// SyntaxError says where a file stops being JSON, JSON with comments or JSON5.
// It does not say what stands there: that might be part of a password.
type SyntaxError struct {
	Line, Column int // from 1; the column in characters
}

// Error names line and column.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d, column %d: expected JSON, JSON with comments or JSON5", e.Line, e.Column)
}

// ValueError says which value of a configuration is not what it should be.
type ValueError struct {
	Place    string // as in servers[2].server_port
	Value    string // what stands there, in words where it must not be shown
	Expected string
}

// Error names place, value and what was expected.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s is %s: expected %s", e.Place, e.Value, e.Expected)
}

// portError says that text is no port number.
func portError(place, text string) error {
	return &ValueError{place, show(text), "a port number from 1 to 65535, digits only"}
}

// show quotes a mistaken port number. Any other text might be a password in
// the wrong place, so it is shown only if it is short and all of it but one
// character could be part of a number.
func show(text string) string {
	const longest = 7
	if text == "" {
		return "empty"
	}
	strange := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || strings.ContainsRune("+-. ", r) {
			return -1
		}
		return r
	}, text)
	if len(text) > longest || len(strange) > 1 || len(strange) == len(text) {
		return "no number"
	}
	return strconv.Quote(text)
}
