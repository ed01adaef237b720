// Package connections counts who is connected to each port: a [Meter] asks a
// [Counter], which ssmonitor/internal/sockdiag implements, and a [Watch] finds the
// ports to which more addresses are connected than their [Limits] allow.
package connections
