package shadowsocks_test

import (
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

func TestWhereAPanelHasItsDatabase(t *testing.T) {
	const usual = "its usual database"
	for content, want := range map[string]string{
		"XUI_DB_FOLDER=/srv/x-ui\n":                                            "name that with --shadowsocks /srv/x-ui/x-ui.db",
		"XUI_DB_FOLDER='/srv/my panel'\n":                                      `--shadowsocks "/srv/my panel/x-ui.db"`,
		`XUI_DB_FOLDER="/srv/my panel" # moved` + "\n":                         `--shadowsocks "/srv/my panel/x-ui.db"`,
		"[Service]\nEnvironment=\"XUI_DB_FOLDER=/srv/my panel\" XUI_DEBUG=1\n": `--shadowsocks "/srv/my panel/x-ui.db"`,
		"# XUI_DB_FOLDER=/srv/x-ui\nXUI_DEBUG=true\n":                          usual,
		"; XUI_DB_FOLDER=/srv/x-ui\n":                                          usual,
		"# a comment ends one line only\nXUI_DB_TYPE=postgres\n":               "PostgreSQL",
		"XUI_DEBUG=1 # XUI_DB_TYPE=postgres\nXUI_DB_FOLDER=/srv/x-ui\n":        "--shadowsocks /srv/x-ui/x-ui.db",
		"XUI_DB_FOLDER='/srv/not closed\n":                                     usual,
		"export XUI_DB_TYPE=\"postgres\"":                                      "PostgreSQL",
	} {
		path := write(t, t.TempDir(), "etc/default/x-ui", content)
		_, err := shadowsocks.Read(path, shadowsocks.Options{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ": as the environment of 3x-ui: ") {
			t.Errorf("%q: got %v, want %q", content, err, want)
		}
	}
}
