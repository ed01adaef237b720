package processes

import "testing"

func TestWhatAProcessSees(t *testing.T) {
	const own = "1 0 8:1 / / rw - ext4 a rw\n2 1 8:2 / /srv rw - ext4 b rw\n"
	for _, test := range []struct {
		name, its string
		want      map[string]bool
	}{
		{"the same", own, map[string]bool{"/srv/a.json": true, "/etc/a.json": true}},
		{"parts once more, as a unit of systemd has them", own + "3 2 8:2 /a /srv/a ro - ext4 b rw\n4 1 8:1 /etc /etc ro - ext4 a rw\n",
			map[string]bool{"/srv/a/a.json": true, "/etc/a.json": true, "/a": true}},
		{"another directory", own + "3 2 8:2 /b /srv/a rw - ext4 b rw\n", map[string]bool{"/srv/a/a.json": false, "/srv/a": false, "/srv/ab.json": true, "/srv/b/a.json": true}},
		{"another file", own + "3 2 8:2 /b.json /srv/a.json rw - ext4 b rw\n", map[string]bool{"/srv/a.json": false, "/srv/b.json": true}},
		{"another device", own + "3 2 0:50 / /srv rw - tmpfs c rw\n", map[string]bool{"/srv/a.json": false, "/etc/a.json": true}},
		{"a name with a blank", own + "3 2 0:50 / /srv/a\\040b rw - tmpfs c rw\n", map[string]bool{"/srv/a b/c": false, "/srv/a": true}},
		{"less", "1 0 8:1 / / rw - ext4 a rw\n", map[string]bool{"/srv/a.json": false, "/etc/a.json": true}},
		{"another root directory", "1 0 8:1 /a / rw - ext4 a rw\n", map[string]bool{"/srv/a.json": false, "/etc/a.json": false}},
		{"a root directory over it", own + "1 0 8:3 / / rw - ext4 a rw\n", map[string]bool{"/etc/a.json": false}},
		{"nothing", "", map[string]bool{"/etc/a.json": false}},
	} {
		seen := parseMounts(own).compare(parseMounts(test.its))
		for path, want := range test.want {
			if got := seen.has(path); got != want {
				t.Errorf("%s: %s: %t, want %t", test.name, path, got, want)
			}
		}
	}
	if parseMounts("").compare(parseMounts(own)).has("/etc/a.json") {
		t.Error("what this process sees itself is unknown, and a path counts")
	}
}
