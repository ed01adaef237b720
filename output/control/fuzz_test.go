package control

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"ssmonitor/accounting"
)

// FuzzRequest sends a request to an agent.
func FuzzRequest(f *testing.F) {
	f.Add(http.MethodPost, newClientPath, "", []byte(`{"port": 20000, "name": "dave"}`))
	f.Add(http.MethodPost, newClientPath, "this-state", []byte(`{"port": 0, "name": " dave "}{}`))
	f.Add(http.MethodPost, newClientPath, "", []byte(`{"port": 1e3, "name": "\u202e\ud800"}`))
	f.Add(http.MethodPost, newClientPath, "", []byte(`{"PORT": 65535, "Name": "a", "name": "b"}`))
	f.Add(http.MethodGet, "/v1/../v1/clients/new", "other", []byte(`[`))
	f.Fuzz(func(t *testing.T, method, path, state string, body []byte) {
		agent := new(fakeAgent)
		request := httptest.NewRequest(http.MethodPost, newClientPath, strings.NewReader(string(body)))
		request.Method, request.URL.Path = method, path
		request.Header.Set(stateHeader, state)
		answer := httptest.NewRecorder()
		NewHandler(agent).ServeHTTP(answer, request)
		if changed := len(agent.changes) > 0; changed != (answer.Code == http.StatusNoContent) {
			t.Fatalf("%d, and changed %q", answer.Code, agent.changes)
		}
		for _, change := range agent.changes {
			_, name, _ := strings.Cut(change, " ")
			if want := accounting.NameFault(name); want != "" {
				t.Fatalf("changed %q, want %s", change, want)
			}
		}
		var refused refusal
		switch answer.Code {
		case http.StatusNoContent, http.StatusMovedPermanently, http.StatusTemporaryRedirect:
			return
		}
		if err := json.Unmarshal(answer.Body.Bytes(), &refused); err != nil || refused.Error == "" {
			t.Fatalf("%d %q: %v", answer.Code, answer.Body, err)
		}
	})
}

// FuzzAnswer reads an answer of whatever listens on the agent's socket.
func FuzzAnswer(f *testing.F) {
	f.Add(503, []byte(`{"error": "the agent is ending"}`))
	f.Add(400, []byte("{\"error\": \"\\u001b[2J\\n\"}"))
	f.Add(200, []byte("<html>"))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := httptest.NewRecorder()
		answer.Code = status
		_, _ = answer.Body.Write(body)
		err := readError(answer.Result())
		if text := err.Error(); text == "" || strings.ContainsAny(text, "\x1b\r\n") {
			t.Fatalf("got %q", text)
		}
	})
}
