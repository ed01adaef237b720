package shadowsocks_test

import (
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

// A panel's name that shows nothing costs no port.
func TestBlankNamesAreNoted(t *testing.T) {
	const note = "counted without a name, since nothing of it can be seen: "
	for _, test := range []struct{ content, note, name string }{
		{`{"server_port": 8388, "remarks": "\u3164"}`, "server_port (U+3164)", ""},
		{`{"server_port": 8388, "name": "alice", "remarks": "\u2800\u2800"}`, "", "alice"},
		{`{"servers": [{"server": "::", "server_port": 8388, "name": "\u115f"}]}`, "servers[0].server_port (U+115F)", ""},
		{`{"servers": [{"address": "::", "port": 8388, "users": [{"name": "\u200b"}]}]}`, "servers[0] (U+200B)", ""},
		{`{"accessKeys": [{"port": 8388, "name": "\uffa0 ", "id": "0"}]}`, "accessKeys[0] (U+FFA0)", ""},
		{`{"inbounds": [{"type": "shadowsocks", "listen_port": 8388, "tag": "\u200d"}]}`, "inbounds[0] (U+200D)", ""},
		{`{"server_port": 8388, "remarks": " "}`, "", ""},
		{`{"server_port": 8388, "remarks": "a\u3164"}`, "", "a\u3164"},
	} {
		config, err := parse(t, t.TempDir(), test.content, shadowsocks.Options{Host: testHost})
		if err != nil || len(config.Ports) != 1 || config.Ports[0].Name != test.name {
			t.Errorf("%s: got %+v, %v", test.content, config.Ports, err)
			continue
		}
		if notes := strings.Join(config.Notes, "\n"); (test.note == "") == strings.Contains(notes, note) || !strings.Contains(notes, test.note) {
			t.Errorf("%s: got the notes %q, want %q", test.content, notes, test.note)
		}
	}
}
