package shadowsocks_test

import (
	"fmt"
	"strings"
	"testing"

	"ssmonitor/integration/shadowsocks"
)

// A part is read once, and each reading shows that the program is alive.
func TestAPartIsReadOnce(t *testing.T) {
	directory := t.TempDir()
	var paths []string
	for _, name := range []string{"a.json", "b.json", "c.json"} {
		paths = append(paths, write(t, directory, name, `{"inbounds": [{"type": "shadowsocks", "listen_port": 8388}]}`))
	}
	progress := 0
	read := func(part shadowsocks.Part) (shadowsocks.Config, bool, error) {
		if progress != len(paths) {
			t.Errorf("%d signs of progress, want %d", progress, len(paths))
		}
		write(t, directory, "a.json", "")
		config, err := part.Read(shadowsocks.Options{})
		if err != nil || len(config.Ports) != 1 {
			t.Errorf("got %v, %v, want the port that was read before", config, err)
		}
		return config, true, err
	}
	shadowsocks.Group{Paths: paths, Read: read}.Load(func() { progress++ })
}

// Only Xray and V2Ray keep the last inbound of a tag, and only that of another file.
func TestWhatAPartReplaces(t *testing.T) {
	const (
		ofXray    = `{"tag": "%s", "protocol": "shadowsocks", "port": %d}`
		ofSingBox = `{"tag": "%s", "type": "shadowsocks", "listen_port": %d}`
	)
	for _, test := range []struct {
		name, directory, format string
		first, second           []string // tags
		want                    int      // ports of the first
	}{
		{"another tag", "confs", ofXray, []string{"a", "b"}, []string{"c"}, 2},
		{"the same tag", "confs", ofXray, []string{"a", "b"}, []string{"b"}, 1},
		{"no tags", "confs", ofXray, []string{"", ""}, []string{""}, 2},
		{"twice in one file", "confs", ofXray, []string{"a", "a"}, []string{"b"}, 2},
		{"not a directory of parts", "xray", ofXray, []string{"a"}, []string{"a"}, 1},
		{"sing-box", "conf", ofSingBox, []string{"a"}, []string{"a"}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, port := t.TempDir(), 8000
			var paths []string
			for i, tags := range [][]string{test.first, test.second} {
				var inbounds []string
				for _, tag := range tags {
					port++
					inbounds = append(inbounds, fmt.Sprintf(test.format, tag, port))
				}
				name := fmt.Sprintf("%s/%d.json", test.directory, i)
				paths = append(paths, write(t, root, name, `{"inbounds": [`+strings.Join(inbounds, ",")+`]}`))
			}
			read := func(part shadowsocks.Part) (shadowsocks.Config, bool, error) {
				config, err := part.Read(shadowsocks.Options{})
				if part.Path == paths[0] && (err != nil || len(config.Ports) != test.want) {
					t.Errorf("got %v, %v, want %d ports", config.Ports, err, test.want)
				}
				return config, true, err
			}
			shadowsocks.Group{Paths: paths, Read: read}.Load(nil)
		})
	}
}
