package control

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/testkit/servingtest"
)

func newClient(header, body string) string {
	return fmt.Sprintf("POST /v1/clients/new HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
}

func TestRequests(t *testing.T) {
	const dave = `{"port": 20000, "name": "dave"}`
	for _, test := range []struct {
		name, request string
		status        int
		says          string
	}{
		{"a new client", newClient("", dave), 204, ""},
		{"of this state", newClient("Ssmonitor-State: this-state\r\n", dave), 204, ""},
		{"of another state", newClient("Ssmonitor-State: another\r\n", dave), 412, "another directory"},
		{"a GET", "GET /v1/clients/new HTTP/1.1\r\nHost: x\r\n\r\n", 405, "want POST"},
		{"another path", strings.Replace(newClient("", dave), "clients/new", "clients/%1bold", 1), 404, "knows no such request"},
		{"no body", newClient("", ""), 400, "JSON"},
		{"half a body", newClient("", dave[:10]), 400, "JSON"},
		{"a list", newClient("", "[20000]"), 400, "JSON"},
		{"two values", newClient("", dave+dave), 400, "more than one value"},
		{"an unknown member", newClient("", `{"port": 20000, "client": "dave"}`), 400, "client"},
		{"port as a text", newClient("", `{"port": "20000", "name": "dave"}`), 400, "port"},
		{"port 0", newClient("", `{"name": "dave"}`), 400, "port 0: want a number from 1 to 65535"},
		{"port 65536", newClient("", `{"port": 65536, "name": "dave"}`), 400, "port 65536: want"},
		{"no name", newClient("", `{"port": 20000, "name": " "}`), 400, "name"},
		{"a forged name", newClient("", `{"port": 20000, "name": "a\nb"}`), 400, "a name without control"},
		{"a large body", newClient("", `{"name": "`+strings.Repeat("x", 5000)+`"}`), 413, "more than 4096 bytes"},
		{"what is not HTTP", "give dave the port\r\n\r\n", 400, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			agent := new(fakeAgent)
			path, _ := serve(t, agent)
			answer := servingtest.Request(t, path, test.request)
			if answer.Code != test.status || !strings.Contains(answer.Body, test.says) {
				t.Errorf("answered %d %s, want %d and %q", answer.Code, answer.Body, test.status, test.says)
			}
			if test.says != "" && (answer.Type != "application/json" || !strings.HasPrefix(answer.Body, `{"error":"`)) {
				t.Errorf("the answer is no JSON: %s: %s", answer.Type, answer.Body)
			}
			if answer.Code == 405 && answer.Allow != "POST" {
				t.Errorf("Allow is %q", answer.Allow)
			}
			if answer.Code == 204 {
				agent.expectChanges(t, "20000 dave")
			} else {
				agent.expectChanges(t)
			}
		})
	}
}

func TestForgetRequests(t *testing.T) {
	for _, test := range []struct {
		past usage.Past
		says string
	}{
		{usage.Past{Name: "alice", First: 1, Last: 65535}, ""},
		{usage.Past{First: 20000, Last: 20000}, ""},
		{usage.Past{Name: "alice"}, "ports 0 to 0: want numbers from 1 to 65535"},
		{usage.Past{First: 2, Last: 1}, "ports 2 to 1"},
	} {
		agent := new(fakeAgent)
		path, _ := serve(t, agent)
		err := NewClient(path, Directory{}).Forget(t.Context(), test.past)
		if test.says == "" {
			agent.expectChanges(t, fmt.Sprintf("forget %+v", test.past))
		}
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%+v: got %v, want %q", test.past, err, test.says)
		}
	}
}

// TestSlowRequest never ends its body. Others are served meanwhile.
func TestSlowRequest(t *testing.T) {
	agent := new(fakeAgent)
	path, _ := serve(t, agent)
	slow := servingtest.Dial(t, path)
	servingtest.Send(t, slow, "POST /v1/clients/new HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
	if answer := servingtest.Request(t, path, newClient("", `{"port": 20000, "name": "dave"}`)); answer.Code != 204 {
		t.Errorf("another request is answered %+v", answer)
	}
	resp, err := http.ReadResponse(bufio.NewReader(slow), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestTimeout {
		t.Errorf("the slow request is answered %s, want 408", resp.Status)
	}
	agent.expectChanges(t, "20000 dave")
}

// TestWaitingIsBounded looks at how long the agent may take to begin with a change.
func TestWaitingIsBounded(t *testing.T) {
	left := make(chan time.Duration, 1)
	path, _ := serve(t, &fakeAgent{run: func(ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return nil
	}})
	servingtest.Request(t, path, newClient("", `{"port": 20000, "name": "dave"}`))
	if got := <-left; got <= 0 || got > 5*time.Second {
		t.Errorf("a change may wait for %s, want at most 5s", got)
	}
}
