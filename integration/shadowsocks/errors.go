package shadowsocks

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reasons why a readable file gives no ports, for errors.Is.
var (
	// ErrClient means that the file configures a client: the ports in it are
	// those of a server elsewhere. The error is a *ClientError.
	ErrClient = errors.New("this configures a Shadowsocks client, not a server")
	// ErrNoPorts means that the file names no port of a server.
	ErrNoPorts = errors.New("no port of a Shadowsocks server in it")
	// ErrFormat means that no Shadowsocks server reads such a file.
	// The error says what it is.
	ErrFormat = errors.New("want the configuration of a Shadowsocks server, in JSON or in YAML")
	// ErrTOML means that the file is TOML, which Xray and V2Ray read as well.
	ErrTOML = errors.New("TOML is not read: name the ports in it with --port, or write it in JSON or YAML")
)

// ClientError says why a file is read as a client's. It wraps ErrClient.
type ClientError struct {
	Reason string
	// ByAddress is set where the reason is the address of the server. It can be
	// wrong: at boot, an address may not be there yet.
	ByAddress bool
}

// Error gives the reason and the remedy.
func (e *ClientError) Error() string {
	return fmt.Sprintf("%v: %s; if it is a server's all the same, name it with --server-config", ErrClient, e.Reason)
}

// Unwrap returns ErrClient.
func (e *ClientError) Unwrap() error { return ErrClient }

// ForeignError says that a file is of another program. It wraps ErrNoPorts.
type ForeignError struct {
	Program string
	Remedy  string // where its ports are, or how to count them

	silent bool // whether it is expected beside a server's configuration
}

// Error names the program and the remedy.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("this is a file of %s, not a server's configuration for Shadowsocks: %s", e.Program, e.Remedy)
}

// Unwrap returns ErrNoPorts.
func (e *ForeignError) Unwrap() error { return ErrNoPorts }

// Is reports whether the file needs no note where it was not named itself.
func (e *ForeignError) Is(target error) bool { return e.silent && target == errSilent }

// SyntaxError says where a file stops being JSON5 or YAML. It does not say what
// stands there, since that might be part of a password.
type SyntaxError struct {
	Line, Column int // from 1; the column in characters
	YAML         bool
}

// Error names line and column.
func (e *SyntaxError) Error() string {
	expected := "JSON, JSON with comments or JSON5"
	if e.YAML {
		expected = "YAML"
	}
	return fmt.Sprintf("line %d, column %d: want %s", e.Line, e.Column, expected)
}

// ValueError says which value of a configuration is not what it should be.
type ValueError struct {
	Place    string // as in servers[2].server_port
	Value    string // what stands there, in words where it must not be shown
	Expected string
}

// Error names the place, the value and what should stand there.
func (e *ValueError) Error() string {
	return fmt.Sprintf("%s is %s: want %s", e.Place, e.Value, e.Expected)
}

// show quotes a mistaken port number. Anything else might be a password in the
// wrong place. So it shows only what has as many digits as a port number and no
// other character than a sign or a space.
func show(text string) string {
	const longest = 5
	if text == "" {
		return "empty"
	}
	digits := strings.TrimSpace(strings.TrimLeft(text, " +-"))
	if digits == "" || len(digits) > longest || len(text) > longest+2 || strings.Trim(digits, "0123456789") != "" {
		return "not a port number"
	}
	return strconv.Quote(text)
}
