package systemd_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func TestUnitsAreSoundAndHardened(t *testing.T) {
	b := newServer(t)
	const directory = "/usr/lib/systemd/system/"
	b.run(t, "systemd-analyze", "verify", "--man=no", directory+"ssmonitor.service", directory+"ssmonitor-setup.service",
		directory+"ssmonitor-metrics.socket", directory+"ssmonitor-metrics.service")
	for unit, exposure := range map[string]string{"ssmonitor.service": "11", "ssmonitor-setup.service": "15", "ssmonitor-metrics.service": "2"} {
		// The threshold is in tenths; a unit above it is a failure.
		b.run(t, "systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold="+exposure, directory+unit)
	}
	b.run(t, "systemd-analyze", "security", "--no-pager", "--threshold=11", "ssmonitor.service")
}

func TestPurgeLeavesNothing(t *testing.T) {
	b := newBox(t, map[string]string{configurationFile: serverConfiguration(8388)})
	before := b.inventory(t)
	b.install(t, olderVersion)
	b.waitForAgent(t, "active")
	b.run(t, "systemctl", "enable", "--now", "ssmonitor-metrics.socket")
	b.expectMetrics(t, metricsURL)
	b.waitForPorts(t, 8388)
	// Removal does not depend on a file that users edit.
	b.write(t, "/etc/ssmonitor/config.yaml", "intervall: {\n")

	b.run(t, "dpkg", "--remove", "ssmonitor")
	if handle := b.tableHandle(); handle != "" {
		t.Errorf("removed, the package leaves %s", handle)
	}
	for _, kept := range []string{"/etc/ssmonitor/ports", "/var/lib/ssmonitor"} {
		if _, err := os.Stat(b.path(kept)); err != nil {
			t.Errorf("removed, but not purged, the package has taken %s: %v", kept, err)
		}
	}

	b.run(t, "dpkg", "--purge", "ssmonitor")
	after := b.inventory(t)
	for _, path := range slices.Sorted(maps.Keys(merge(before, after))) {
		// A file that is in only one inventory was unchanged in the other.
		was, known := before[path]
		if !known {
			was = describe("/" + path)
		}
		is, known := after[path]
		if !known {
			is = describe(b.path("/" + path))
		}
		if was != is {
			t.Errorf("%s was %s\nand is %s", path, was, is)
		}
	}
}

// TestPackageLinksIntoEveryNetdata installs the package beside Debian's Netdata
// and two of upstream's. The last one comes later.
func TestPackageLinksIntoEveryNetdata(t *testing.T) {
	require(t, "netdata")
	const upstream, static = "/usr/libexec/netdata/plugins.d", "/opt/netdata/usr/libexec/netdata/plugins.d"
	const staticAlerts = "/opt/netdata/usr/lib/netdata/conf.d/health.d"
	b := newBox(t, map[string]string{static + "/apps.plugin": "", staticAlerts + "/cpu.conf": ""})
	b.install(t, olderVersion)
	b.write(t, upstream+"/apps.plugin", "")
	b.run(t, "dpkg-trigger", "--by-package=netdata-core", upstream)
	b.run(t, "dpkg", "--triggers-only", "ssmonitor")
	links := []string{static + "/ssmonitor.plugin", upstream + "/ssmonitor.plugin", staticAlerts + "/ssmonitor.conf"}
	for _, path := range append(links, "/usr/lib/netdata/plugins.d/ssmonitor.plugin") {
		if target := b.run(t, "readlink", "-e", path); target != "/usr/bin/ssmonitor\n" && target != "/usr/share/ssmonitor/netdata/health.d/ssmonitor.conf\n" {
			t.Errorf("%s links to %s", path, target)
		}
	}
	check, _ := b.attempt("ssmonitor", "check")
	for _, directory := range []string{"/usr/lib/netdata/plugins.d", upstream, static} {
		if want := "ok      Netdata has the plugin " + directory + "/ssmonitor.plugin\n"; !strings.Contains(check, want) {
			t.Errorf("check does not print %q:\n%s", want, check)
		}
	}
	b.run(t, "dpkg", "--remove", "ssmonitor")
	for _, path := range links {
		if target, err := os.Readlink(b.path(path)); err == nil {
			t.Errorf("removed, the package leaves %s, a link to %s", path, target)
		}
	}
}

func merge(left, right map[string]string) map[string]string {
	all := maps.Clone(left)
	maps.Copy(all, right)
	return all
}

// records are files that record what was done and not what is installed: logs,
// caches, and the copies that programs make of a file before they change it.
var records = []string{
	"var/log/*",
	"var/cache/*",
	"var/lib/dpkg/*-old",
	"etc/*-", // of passwd, group and their shadows
	"root/*", // the packages
}

func isRecord(path string) bool {
	return slices.ContainsFunc(records, func(pattern string) bool {
		matched, _ := filepath.Match(pattern, path) // the patterns are well formed
		return matched
	})
}

// inventory describes all files that differ from the host's, by their paths.
func (b *box) inventory(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(b.changed, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(b.changed, path)
		if err != nil {
			return err
		}
		if isRecord(relative) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		files[relative] = describe(b.path("/" + relative))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// describe returns everything that matters about a file, except its times.
func describe(path string) string {
	info, err := os.Lstat(path)
	if err != nil {
		return "absent"
	}
	owner := info.Sys().(*syscall.Stat_t)
	description := fmt.Sprintf("%s of %d:%d", info.Mode(), owner.Uid, owner.Gid)
	switch {
	case info.Mode().IsRegular():
		content, err := os.ReadFile(path)
		description += fmt.Sprintf(", %d bytes %x, %v", len(content), sha256.Sum256(content), err)
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		description += fmt.Sprintf(" to %s, %v", target, err)
	}
	return description
}

func TestPolicyKeepsTheServiceFromStarting(t *testing.T) {
	b := newBox(t, map[string]string{configurationFile: serverConfiguration(8388)})
	b.write(t, "/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")
	b.run(t, "chmod", "755", "/usr/sbin/policy-rc.d")
	b.install(t, olderVersion)
	b.waitForAgent(t, "inactive")
	if enabled := b.run(t, "systemctl", "is-enabled", "ssmonitor.service"); enabled != "enabled\n" {
		t.Errorf("the service is %s", enabled)
	}
	t.Run("and an upgrade from enabling what was disabled", func(t *testing.T) {
		b.run(t, "systemctl", "disable", "ssmonitor-setup.service")
		b.install(t, newerVersion)
		for unit, want := range map[string]string{"ssmonitor.service": "enabled\n", "ssmonitor-setup.service": "disabled\n"} {
			if enabled, _ := b.attempt("systemctl", "is-enabled", unit); enabled != want {
				t.Errorf("%s is %s", unit, enabled)
			}
		}
	})
}
