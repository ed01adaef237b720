package finding_test

import (
	"bytes"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"ssmonitor/internal/finding"
)

// TestNews logs findings of each level and an error when they are new, also when they come
// back.
func TestNews(t *testing.T) {
	remarks := slices.Concat(finding.Remarks([]finding.Finding{
		{Level: finding.OK, Message: "published"}, {Level: finding.Note, Message: "shared"},
		{Level: finding.Unknown, Message: "unread", Remedy: "name it\nor wait"}, {Level: finding.Wrong, Message: "redirected"},
	}), finding.Warnings(errors.New("a file")))
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	var news finding.News
	for _, step := range []struct {
		remarks []finding.Remark
		want    string
	}{
		{remarks[:2], "level=INFO msg=published\nlevel=INFO msg=shared\n"},
		{remarks, "level=WARN msg=\"unread: name it; or wait\"\nlevel=WARN msg=redirected\nlevel=WARN msg=\"a file\"\n"},
		{remarks[3:], ""},
		{slices.Repeat(remarks[1:4], 2), "level=INFO msg=shared\nlevel=WARN msg=\"unread: name it; or wait\"\n"},
		{nil, ""},
		{remarks[3:4], "level=WARN msg=redirected\n"},
	} {
		log.Reset()
		if news.Log(logger, step.remarks); log.String() != step.want {
			t.Errorf("got\n%s\nwant\n%s", &log, step.want)
		}
	}
}
