package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"ssmonitor/internal/health"
	"ssmonitor/internal/terminal"
)

// ErrOldAgent means that the agent is of a version before the request was invented.
var ErrOldAgent = errors.New("the agent is older than this program: restart it (systemctl restart ssmonitor)")

// jsonProblem is one of the response to GET /v1/problems, which is a list.
type jsonProblem struct {
	ID      health.ID    `json:"id"`
	Level   health.Level `json:"level"`
	Since   time.Time    `json:"since"`
	Message string       `json:"message"`
	Remedy  string       `json:"remedy"`
}

// Problems requests GET /v1/problems, the oldest problem first. Its errors are those of
// Report, and ErrOldAgent.
func (c *Client) Problems(ctx context.Context) ([]health.Problem, error) {
	problems, err := fetch(ctx, c, "/v1/problems", nil, bodyBy(readProblems))
	if errors.As(err, new(notFoundError)) {
		return nil, ErrOldAgent
	}
	if err != nil {
		return nil, err
	}
	return *problems, nil
}

func writeProblems(w http.ResponseWriter, problems []health.Problem) {
	list := make([]jsonProblem, 0, len(problems))
	for _, problem := range problems {
		problem.Since = problem.Since.UTC()
		list = append(list, jsonProblem(problem))
	}
	setJSONHeader(w.Header())
	_ = terminal.NewJSONEncoder(w).Encode(list) // a client that has disconnected needs no response
}

func readProblems(r io.Reader) (*[]health.Problem, error) {
	var list []jsonProblem
	err := json.NewDecoder(r).Decode(&list)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("reading the problems: %w", err)
	}
	problems := make([]health.Problem, 0, len(list))
	for _, problem := range list {
		problems = append(problems, health.Problem(problem))
	}
	return &problems, nil
}
