package packaging

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"ssmonitor/internal/testkit"
)

// The directories of three ways to install Netdata, and the links into them.
const (
	debianPlugins   = "usr/lib/netdata/plugins.d"
	upstreamPlugins = "usr/libexec/netdata/plugins.d"
	staticPlugins   = "opt/netdata/usr/libexec/netdata/plugins.d"
	commonHealth    = "usr/lib/netdata/conf.d/health.d"
	staticHealth    = "opt/netdata/usr/lib/netdata/conf.d/health.d"

	program = "/usr/bin/ssmonitor"
	alerts  = "/usr/share/ssmonitor/netdata/health.d/ssmonitor.conf"
)

// links returns the targets of all links below the directory. A file that is no
// link has the target "file".
func links(t *testing.T, root string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, path)
		found[relative] = "file"
		if target, readErr := os.Readlink(path); readErr == nil {
			found[relative] = target
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// makeNetdata makes the directories, given relative to a root.
func makeNetdata(t *testing.T, directories ...string) (root string) {
	t.Helper()
	root = t.TempDir()
	for _, directory := range directories {
		testkit.MakeDirectory(t, filepath.Join(root, directory))
	}
	return root
}

func TestLinkScript(t *testing.T) {
	link := func(path string, target string) func(*testing.T, string) {
		return func(t *testing.T, root string) {
			t.Helper()
			if err := os.Symlink(target, filepath.Join(root, path)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name        string
		directories []string
		prepare     func(t *testing.T, root string)
		want        map[string]string // linked
		left        map[string]string // after unlink
	}{
		{name: "no Netdata", directories: []string{"usr/lib"}, want: map[string]string{}},
		{name: "Debian's", directories: []string{debianPlugins, commonHealth}, want: map[string]string{
			debianPlugins + "/ssmonitor.plugin": program, commonHealth + "/ssmonitor.conf": alerts,
		}},
		{name: "upstream's packages", directories: []string{upstreamPlugins, commonHealth}, want: map[string]string{
			upstreamPlugins + "/ssmonitor.plugin": program, commonHealth + "/ssmonitor.conf": alerts,
		}},
		{name: "upstream's static build", directories: []string{staticPlugins, staticHealth}, want: map[string]string{
			staticPlugins + "/ssmonitor.plugin": program, staticHealth + "/ssmonitor.conf": alerts,
		}},
		{name: "without alerts", directories: []string{staticPlugins}, want: map[string]string{staticPlugins + "/ssmonitor.plugin": program}},
		{name: "alerts without plugins", directories: []string{staticHealth, commonHealth}, want: map[string]string{}},
		{
			name: "what the package has put there", directories: []string{debianPlugins},
			prepare: func(t *testing.T, root string) {
				t.Helper()
				testkit.MakeDirectory(t, filepath.Join(root, "usr/bin"))
				if err := os.WriteFile(filepath.Join(root, program), nil, 0o755); err != nil {
					t.Fatal(err)
				}
				link(debianPlugins+"/ssmonitor.plugin", "../../../bin/ssmonitor")(t, root)
			},
			want: map[string]string{debianPlugins + "/ssmonitor.plugin": "../../../bin/ssmonitor", "usr/bin/ssmonitor": "file"},
			left: map[string]string{debianPlugins + "/ssmonitor.plugin": "../../../bin/ssmonitor", "usr/bin/ssmonitor": "file"},
		},
		{
			name: "a link to nothing", directories: []string{upstreamPlugins}, prepare: link(upstreamPlugins+"/ssmonitor.plugin", "/nowhere"),
			want: map[string]string{upstreamPlugins + "/ssmonitor.plugin": program},
		},
		{
			name: "an administrator's own file", directories: []string{upstreamPlugins},
			prepare: func(t *testing.T, root string) {
				t.Helper()
				if err := os.WriteFile(filepath.Join(root, upstreamPlugins, "ssmonitor.plugin"), nil, 0o755); err != nil {
					t.Fatal(err)
				}
			},
			want: map[string]string{upstreamPlugins + "/ssmonitor.plugin": "file"},
			left: map[string]string{upstreamPlugins + "/ssmonitor.plugin": "file"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := makeNetdata(t, test.directories...)
			if test.prepare != nil {
				test.prepare(t, root)
			}
			environment := []string{"DESTDIR=" + root}
			for range 2 { // it can be run again
				run(t, "../netdata", environment, "sh", "link.sh", "link")
				if got := links(t, root); !maps.Equal(got, test.want) {
					t.Errorf("linked: got %q, want %q", got, test.want)
				}
			}
			for range 2 {
				run(t, "../netdata", environment, "sh", "link.sh", "unlink")
				if got := links(t, root); !maps.Equal(got, test.left) {
					t.Errorf("unlinked: got %q, want %q", got, test.left)
				}
			}
		})
	}
}

// TestInstallLinksIntoEveryNetdata installs below a directory that has three
// Netdatas, and into one that the packager names, and removes ssmonitor again.
func TestInstallLinksIntoEveryNetdata(t *testing.T) {
	root := makeNetdata(t, debianPlugins, commonHealth, upstreamPlugins, staticPlugins, staticHealth)
	arguments := []string{"make", "DESTDIR=" + root, "PREFIX=/usr", "BUILD=" + t.TempDir()}
	run(t, "../..", nil, append(arguments, "install")...)
	got := links(t, root)
	for _, plugin := range []string{debianPlugins, upstreamPlugins, staticPlugins} {
		if target := got[plugin+"/ssmonitor.plugin"]; target != program {
			t.Errorf("the plugin in %s links to %q", plugin, target)
		}
	}
	for _, health := range []string{commonHealth, staticHealth} {
		if target := got[health+"/ssmonitor.conf"]; target != alerts {
			t.Errorf("the alerts in %s link to %q", health, target)
		}
	}
	if got[alerts[1:]] != "file" || got["usr/lib/systemd/system/ssmonitor.service"] != "file" {
		t.Errorf("make install made %q", got)
	}
	expectUninstalled := func() {
		t.Helper()
		run(t, "../..", nil, append(arguments, "uninstall")...)
		if left := links(t, root); len(left) > 0 {
			t.Errorf("make uninstall leaves %q", left)
		}
	}
	expectUninstalled()

	arguments = append(arguments, "NETDATADIR=/usr/local/netdata")
	run(t, "../..", nil, append(arguments, "install")...)
	if plugin := links(t, root)["usr/local/netdata/plugins.d/ssmonitor.plugin"]; plugin != "../../../bin/ssmonitor" {
		t.Errorf("the plugin links to %q", plugin)
	}
	expectUninstalled()
}
