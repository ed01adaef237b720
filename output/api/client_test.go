package api

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/testkit"
	"ssmonitor/internal/testkit/sample"
	"ssmonitor/internal/testkit/servingtest"
)

func TestClientReadsWhatTheAgentServes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	feed := &agent{}
	feed.AnswersWith(sample.Report(), nil)
	stop := start(t, path, feed, servingtest.Generous)
	report, err := NewClient(path).Report(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if toText(t, report) != toText(t, sample.Report()) {
		t.Errorf("read %+v", report)
	}
	stop()
	testkit.WantFiles(t, filepath.Dir(path))
}

func TestClientSaysWhatToDo(t *testing.T) {
	directory := t.TempDir()
	path := filepath.Join(directory, "socket")
	ask := func(ctx context.Context, t *testing.T, target error, words string) {
		t.Helper()
		_, err := NewClient(path).Report(ctx)
		if err == nil || target != nil && !errors.Is(err, target) || !strings.Contains(err.Error(), words) {
			t.Errorf("the error is %v, want %v and %q", err, target, words)
		}
	}
	expect := func(t *testing.T, target error, words string) {
		t.Helper()
		ask(t.Context(), t, target, words)
	}
	t.Run("no socket", func(t *testing.T) { expect(t, ErrAgentNotRunning, "start it") })
	t.Run("a socket that nobody serves", func(t *testing.T) {
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		expect(t, ErrAgentNotRunning, "start it")
	})
	t.Run("an agent that ends while it answers", func(t *testing.T) {
		listener := servingtest.Listen(t, path)
		go func() {
			if connection, err := listener.Accept(); err == nil {
				_ = connection.Close()
			}
		}()
		expect(t, ErrAgentNotRunning, "start it")
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("an agent that cannot read", func(t *testing.T) {
		feed := &agent{}
		feed.AnswersWith(nil, accounting.ErrNoTable)
		defer start(t, path, feed, servingtest.Generous)()
		expect(t, nil, "503 Service Unavailable: the table ssmonitor does not exist")
	})
	t.Run("an agent that hangs", func(t *testing.T) {
		release := make(chan struct{})
		feed := &agent{}
		feed.Answers(func(context.Context) (*accounting.Report, error) {
			<-release
			return nil, errors.New("released")
		})
		defer start(t, path, feed, servingtest.Generous)()
		defer close(release)
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		ask(ctx, t, context.DeadlineExceeded, "its log")
	})
	for words, answer := range map[string]http.HandlerFunc{
		"want a list of ports, got 7": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"ports":7}`) },
		"invalid character":           func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "foreign") },
		"404 Not Found":               http.NotFound,
	} {
		t.Run("another program: "+words, func(t *testing.T) {
			servingtest.Start(t, path, answer, servingtest.Generous)
			expect(t, nil, words)
			expect(t, nil, "agent on "+path+": what answers there is not ssmonitor's agent")
			expect(t, nil, "): end that process and restart the agent")
		})
	}
}

// TestClientOutsideTheGroupSaysHowToJoin asks from a second process, as a user
// whom permissions bind.
func TestClientOutsideTheGroupSaysHowToJoin(t *testing.T) {
	const variable = "SSMONITOR_TEST_SOCKET"
	if path := os.Getenv(variable); path != "" {
		_, err := NewClient(path).Report(t.Context())
		t.Logf("permission: %t: %v", errors.Is(err, fs.ErrPermission), err)
		return
	}
	if os.Geteuid() != 0 {
		testkit.Missing(t, "asking as another user needs root")
	}
	path := filepath.Join(testkit.OpenDirectory(t), "socket")
	servingtest.Listen(t, path)
	command := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
	command.Dir = "/"
	command.Env = append(os.Environ(), variable+"="+path)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "permission: true") || !strings.Contains(string(out), "usermod") {
		t.Errorf("%v: %s", err, out)
	}
}
