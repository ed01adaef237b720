package spelling_test

import (
	"testing"

	"ssmonitor/internal/spelling"
)

func TestClosest(t *testing.T) {
	known := []string{"interval", "save-interval", "warn", "charts", "x"}
	for _, test := range []struct{ word, want string }{
		{"intervall", "interval"}, {"INTERVAL", "interval"}, {"warm", "warn"}, {"chart", "charts"},
		{"password", ""}, {"", ""}, {"x", ""},
	} {
		if got := spelling.Closest(test.word, known); got != test.want {
			t.Errorf("%q: got %q, want %q", test.word, got, test.want)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	if got := spelling.DidYouMean("warn") + spelling.DidYouMean(""); got != " (did you mean warn?)" {
		t.Errorf("got %q", got)
	}
}
