package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting/store"
	"ssmonitor/internal/testkit"
)

// hindranceVariable names what TestProgram is hindered by.
const hindranceVariable = "SSMONITOR_TEST_HINDRANCE"

const (
	capabilityNeverGranted = "never granted"
	netfilterUnsupported   = "no netfilter"
	netfilterForbidden     = "forbidden"
	netlinkUnsupported     = "no netlink"
)

// hinder hinders this process as the variable says.
func hinder() error {
	switch hindrance := os.Getenv(hindranceVariable); hindrance {
	case "":
		return nil
	case capabilityNeverGranted:
		return errors.Join(os.Unsetenv(hindranceVariable), testkit.ExecWithoutBounding(unix.CAP_NET_ADMIN))
	case netfilterUnsupported:
		return testkit.RefuseNetlink(false, unix.EPROTONOSUPPORT)
	case netfilterForbidden:
		return testkit.RefuseNetlink(false, unix.EACCES)
	case netlinkUnsupported:
		return testkit.RefuseNetlink(true, unix.EAFNOSUPPORT)
	default:
		return fmt.Errorf("unknown hindrance %q", hindrance)
	}
}

// TestRefusedByTheKernel runs each command that asks the kernel where it refuses root,
// for one reason after another. All of them say what to do about that reason.
func TestRefusedByTheKernel(t *testing.T) {
	for _, test := range []struct {
		name       string
		hindrance  string
		attributes func(testing.TB) *syscall.SysProcAttr
		cause      string
		remedy     string
		finding    string
	}{
		{"a container without the capability", capabilityNeverGranted, nil,
			"CAP_NET_ADMIN is missing, and root can't have it here", "--cap-add NET_ADMIN (Docker, Podman; capabilities.add in Kubernetes)", "unknown the kernel, its counters"},
		{"the network of others", "", testkit.OthersNetwork,
			"CAP_NET_ADMIN does not extend to this network", "run as root of the host, or start the rootless container with a network of its own", "unknown the kernel, its counters"},
		{"no nf_tables", netfilterUnsupported, nil,
			"the kernel has no nf_tables", "modprobe nf_tables, on the host if this is a container", "WRONG   the kernel has no nf_tables (protocol not supported)"},
		{"a security module", netfilterForbidden, nil,
			"a security module or a seccomp filter forbids it", "audit log", "unknown the kernel, its counters"},
		{"no netlink", netlinkUnsupported, nil,
			"there are no netlink sockets here", "add AF_NETLINK to RestrictAddressFamilies=", "WRONG   there are no netlink sockets here (address family not supported by protocol)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			run := func(arguments ...string) (status int, stdout, stderr string) {
				t.Helper()
				command := programOf(arguments...)
				command.Env = append(command.Env, hindranceVariable+"="+test.hindrance)
				if test.attributes != nil {
					command.SysProcAttr = test.attributes(t)
				}
				var out, failure bytes.Buffer
				command.Stdout, command.Stderr = &out, &failure
				if err := command.Run(); err != nil && command.ProcessState == nil {
					t.Fatal(err)
				}
				return command.ProcessState.ExitCode(), out.String(), failure.String()
			}
			setup := []string{"setup", "--no-search", "--port", "20000", "--list", p.list}
			for _, arguments := range [][]string{
				setup,
				append(setup, "--if-configured"),
				append(setup, "--follow"),
				{"run", "--port", "20000", "--state", p.state, "--socket", "", "--csv", ""},
				{"teardown", "--state", p.state},
				{"teardown", "--state", p.state, "--dry-run"},
			} {
				status, stdout, stderr := run(arguments...)
				lines := strings.Split(strings.TrimSuffix(stderr, "\n"), "\n")
				last := lines[len(lines)-1]
				if status != exitFailed || stdout != "" || !strings.Contains(last, test.cause) || !strings.Contains(last, test.remedy) ||
					strings.Contains(stderr, "run as root or under the unit") || strings.Contains(stderr, "run it as root") {
					t.Errorf("%s: status %d, %q on stdout and on stderr\n%s", arguments, status, stdout, stderr)
				}
			}
			if _, err := os.Stat(p.list); err == nil {
				t.Error("setup has written a list of ports that nothing counts")
			}

			ledger, _, _, err := store.Open(p.state, store.Options{Holder: store.ClientHolder})
			if err != nil {
				t.Fatal(err)
			}
			if err := ledger.Close(); err != nil {
				t.Fatal(err)
			}
			status, stdout, stderr := run("client", "new", "--state", p.state, "20000", "dave")
			if status != exitFailed || stdout != "" || !strings.Contains(stderr, test.remedy) || strings.Contains(stderr, "run it as root") ||
				strings.Contains(stderr, "join the group") || strings.Contains(stderr, "even root") {
				t.Errorf("client new: status %d, %q on stdout and on stderr\n%s", status, stdout, stderr)
			}

			status, stdout, stderr = run(append(setup, "--dry-run")...)
			if status != exitDone || !strings.Contains(stdout, `counter tcp-20000-in`) || strings.Count(stderr, "\n") != 2 ||
				!strings.HasPrefix(stderr, "note: ") || !strings.Contains(stderr, test.cause) {
				t.Errorf("setup --dry-run: status %d\n%s%s", status, stdout, stderr)
			}

			testkit.WriteFile(t, p.list, "20000\n")
			status, stdout, stderr = run("check", "--no-search", "--list", p.list, "--state", filepath.Join(p.directory, "none"), "--socket", "", "--csv", "")
			wantParts(t, stdout, test.finding, test.cause)
			if status != exitFailed || stderr != "" || !strings.Contains(stdout, test.remedy) { // no agent runs
				t.Errorf("check: status %d\n%s%s", status, stdout, stderr)
			}
		})
	}
}
