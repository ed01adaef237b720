package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/serving"
)

// usageTimeout bounds how long a request for usage may take.
const usageTimeout = 10 * time.Second

const (
	// maxUsageReports is how many reports of usage are made and sent at the same time. A
	// client holds its report while it reads.
	maxUsageReports = 2
	// maxUsageRequests is how many clients have a report or wait for one.
	maxUsageRequests = 16
)

const usageBusy = "too many clients read usage: try again"

// NewUsageHandler answers GET /v1/usage with the JSON of [WriteUsage]. It
// answers an invalid request with 400 and one line that names the mistake. Further
// requests wait while two are being answered; a client has 3 seconds to read its report.
// More than 16 clients get 503.
func NewUsageHandler(source usage.History, limits func() usage.Limits, now func() time.Time, log *slog.Logger) http.Handler {
	requests, reports := semaphore.NewWeighted(maxUsageRequests), semaphore.NewWeighted(maxUsageReports)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		ctx, cancel := context.WithTimeout(request.Context(), usageTimeout)
		defer cancel()
		usageRequest, err := parseUsageParameters(request.URL.RawQuery)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if !requests.TryAcquire(1) {
			http.Error(w, usageBusy, http.StatusServiceUnavailable)
			return
		}
		defer requests.Release(1)
		if reports.Acquire(ctx, 1) != nil {
			http.Error(w, usageBusy, http.StatusServiceUnavailable)
			return
		}
		defer reports.Release(1)
		report, err := usage.NewReport(ctx, source, usageRequest, limits(), now())
		switch {
		case errors.As(err, new(*usage.RequestError)):
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(serving.HeldAtMost)) // a response of a test has none
		setJSONHeader(w.Header())
		if err := WriteUsage(w, report); err != nil {
			log.Debug("writing a response failed", "path", request.URL.Path, "error", err)
		}
	})
}

func parseUsageParameters(query string) (usage.Request, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return usage.Request{}, err
	}
	var known []string
	request := usage.ReadRequest(func(name string) string {
		known = append(known, name)
		if len(values[name]) > 1 {
			err = fmt.Errorf("parameter %q: want it once", name)
		}
		return values.Get(name)
	}, func(name string) []string {
		known = append(known, name)
		return values[name]
	})
	for name := range values {
		if !slices.Contains(known, name) {
			err = fmt.Errorf("parameter %q: want one of %s", name, strings.Join(known, ", "))
		}
	}
	return request, err
}
