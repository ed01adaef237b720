package lookalike_test

import (
	"testing"

	"ssmonitor/internal/lookalike"
)

func TestSkeleton(t *testing.T) {
	for _, test := range []struct {
		a, b  string
		alike bool
	}{
		{"alice", "alice", true},
		{"alice", "\u0430lice", true},                 // Cyrillic
		{"OHO", "\u039f\u041d\u0555", true},           // Greek, Cyrillic, Armenian
		{"paypal", "\u0440\u0430ypal", true},          // several
		{"alice", "\uff41lice", true},                 // wide
		{"alice", "\U0001d41alice", true},             // mathematical
		{"alice", "al\u200dice", true},                // joiner
		{"alice", "alice\u3164", true},                // filler
		{"alice", "alice\ufe0f", true},                // selector
		{"alice", "ali\u00adce", true},                // soft hyphen
		{"a b", "a\u00a0b", true},                     // space
		{"a b", "a  b", true},                         // spaces
		{"\u00e9t\u00e9", "e\u0301te\u0301", true},    // accents
		{"\u00e9", "\u0435\u0301", true},              // accent on a Cyrillic letter
		{"\u03f2", "c", true},                         // a Greek letter that normalisation replaces
		{"alice", "Alice", false},                     // case
		{"user1", "userl", false},                     // ASCII
		{"o0O", "oOO", false},                         // ASCII
		{"\u00e9", "e", false},                        // an accent is seen
		{"\u5f20\u4f1f", "\u5f20\u7ef4", false},       // other letters
		{"\u0645\u06cc", "\u0645\u06cc\u200c", true},  // a joiner at the end
		{"a\u200cb", "a b", false},                    // a joiner is no space
		{"\U0001f469\u200d\U0001f680", "a", false},    // emoji
		{"\u0430\u043b\u0438\u0441\u0430", "", false}, // Cyrillic letters without likes
	} {
		if got := lookalike.Skeleton(test.a) == lookalike.Skeleton(test.b); got != test.alike {
			t.Errorf("%+q and %+q: got %t, want %t", test.a, test.b, got, test.alike)
		}
	}
}

func FuzzSkeleton(f *testing.F) {
	f.Add("\u0430l\u200dice\u3164 \uff41")
	f.Fuzz(func(t *testing.T, name string) {
		if skeleton := lookalike.Skeleton(name); lookalike.Skeleton(skeleton) != skeleton {
			t.Errorf("%+q becomes %+q, and that %+q", name, skeleton, lookalike.Skeleton(skeleton))
		}
	})
}
