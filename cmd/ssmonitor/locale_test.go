package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTextsFollowTheLocale has a client whose name is not ASCII. Text for people has only
// what their locale can show; data has the name.
func TestTextsFollowTheLocale(t *testing.T) {
	const name, escaped = "李雷", `\u674e\u96f7`
	p := newPlace(t)
	p.setup("--port", "30000="+name)
	t.Setenv("SSMONITOR_STATE", ledger(t, name))
	run := func(arguments ...string) func() (int, string, string) {
		return func() (int, string, string) { return call(t, arguments...) }
	}
	missing := filepath.Join(p.directory, name)
	expectText(t, name, escaped, localizedText{"teardown", run("teardown", "--dry-run", "--config", "none", "--state", missing), false, "", ""})
	p.agent(p.socket)
	for _, test := range []localizedText{
		{"usage", run("usage", "--config", "none"), false, "\u2588", "##########"},
		{"usage by day", run("usage", "--by", "month", "--config", "none"), false, "\u2588", "##########"},
		{"usage as CSV", run("usage", "--format", "csv", "--config", "none"), true, "", ""},
		{"usage as JSON", run("usage", "--json", "--config", "none"), true, "", ""},
		{"usage as HTML", run("usage", "--format", "html", "--config", "none"), true, "", ""},
		{"clients", run("client", "list", "--config", "none"), false, "", ""},
		{"clients as JSON", run("client", "list", "--json", "--config", "none"), true, "", ""},
		{"another client", run("client", "new", "--config", "none", "20000", name), false, "", ""},
		{"top", run("top", "--once", "--config", "none", "--socket", p.socket), false, "", ""},
		{"top as JSON", run("top", "--once", "--json", "--config", "none", "--socket", p.socket), true, "", ""},
		{"setup", run("setup", "--no-search", "--port", "30000="+name, "--list", filepath.Join(p.directory, "other")), false, "", ""},
		{"setup without effect", run("setup", "--dry-run", "--no-search", "--port", "30000="+name, "--list", p.list), false, "", ""},
		{"setup as JSON", run("setup", "--dry-run", "--json", "--no-search", "--port", "30000="+name, "--list", p.list), true, "", ""},
		{"check", run(append(p.checkArguments(p.socket), "--shadowsocks", missing)...), false, "", ""},
		{"check for Nagios", run(append(p.checkArguments(p.socket), "--nagios", "--shadowsocks", missing)...), false, "", ""},
		{"check as JSON", run(append(p.checkArguments(p.socket), "--json", "--shadowsocks", missing)...), true, "", ""},
		{"an error", run("usage", "--config", missing), false, "", ""},
		{"a wrong command", run(name), false, "", ""},
	} {
		expectText(t, name, escaped, test)
	}
}

// localizedText is printed for people, unless it is data.
type localizedText struct {
	name    string
	run     func() (status int, stdout, stderr string)
	data    bool
	unicode string // more that is printed with UTF-8,
	ascii   string // and what without
}

// expectText runs a command in several locales. They are no subtests, which would run
// outside of the network namespace.
func expectText(t *testing.T, name, escaped string, test localizedText) {
	t.Helper()
	t.Setenv("LC_ALL", "")
	for _, locale := range []string{"C.UTF-8", "en_US.UTF-8", "C", "POSIX", "en_US.ISO-8859-1", ""} {
		t.Setenv("LANG", locale)
		want, more := name, test.unicode
		if !strings.Contains(locale, "UTF-8") && !test.data {
			want, more = escaped, test.ascii
		}
		_, stdout, stderr := test.run()
		printed := stdout + stderr
		if !strings.Contains(printed, want) || !strings.Contains(printed, more) {
			t.Errorf("%s, LANG=%s: %q or %q is missing in\n%s", test.name, locale, want, more, printed)
		}
		if want == escaped && strings.ContainsFunc(printed, func(r rune) bool { return r > '~' }) {
			t.Errorf("%s, LANG=%s: not ASCII:\n%s", test.name, locale, printed)
		}
	}
}
