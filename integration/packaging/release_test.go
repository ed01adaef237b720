package packaging

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// run runs a program and returns what it writes.
func run(t *testing.T, directory string, environment []string, words ...string) string {
	t.Helper()
	testkit.Require(t, words[0])
	command := exec.Command(words[0], words[1:]...)
	command.Dir = directory
	command.Env = append(testkit.WithoutMake(), environment...)
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, output)
	}
	return string(output)
}

// release clones the last commit of a checkout to the directory and builds a
// release there. It returns the directory of the release.
func release(t *testing.T, from, directory, umask string, environment ...string) string {
	t.Helper()
	run(t, ".", nil, "git", "clone", "--quiet", "--no-tags", from, directory)
	run(t, directory, environment, "sh", "-c", "umask "+umask+" && exec make release")
	return filepath.Join(directory, "build", "release")
}

// TestReleaseIsReproducible builds the same commit at two paths and times, as
// two people with different settings.
func TestReleaseIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds for three architectures, twice")
	}
	top := strings.TrimSpace(run(t, ".", nil, "git", "rev-parse", "--show-toplevel"))
	one := filepath.Join(t.TempDir(), "one")
	first := release(t, top, one, "022")
	second := release(t, one, filepath.Join(t.TempDir(), "another", "place"), "077", "TZ=Pacific/Auckland", "LC_ALL=C", "GOFLAGS=-p=1")
	sums := make([]string, 2)
	for i, directory := range []string{first, second} {
		content := testkit.ReadFile(t, filepath.Join(directory, "SHA256SUMS"))
		sums[i] = content
		run(t, directory, nil, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	}
	if sums[0] != sums[1] {
		t.Errorf("the same commit gives\n%sand\n%s", sums[0], sums[1])
	}
	if lines := strings.Count(sums[0], "\n"); lines != 7 {
		t.Errorf("%d files, want the source and two for each of three architectures:\n%s", lines, sums[0])
	}
	for _, machine := range []struct{ name, elf string }{{"amd64", "x86-64"}, {"arm64", "ARM aarch64"}, {"armhf", "ARM, EABI5"}} {
		t.Run(machine.name, func(t *testing.T) { testArtifacts(t, first, machine.name, machine.elf) })
	}
}

// testArtifacts looks at the tarball and the Debian package of an architecture.
func testArtifacts(t *testing.T, directory, machine, elf string) {
	tarballs, _ := filepath.Glob(filepath.Join(directory, "ssmonitor-*-linux-"+machine+".tar.gz"))
	packages, _ := filepath.Glob(filepath.Join(directory, "ssmonitor_*_"+machine+".deb"))
	if len(tarballs) != 1 || len(packages) != 1 {
		t.Fatalf("found %q and %q, want one each", tarballs, packages)
	}
	unpacked := t.TempDir()
	run(t, unpacked, nil, "tar", "--extract", "--strip-components=1", "--file", tarballs[0])
	if kind := run(t, unpacked, nil, "file", "bin/ssmonitor"); !strings.Contains(kind, elf) || !strings.Contains(kind, "statically linked") {
		t.Errorf("the binary is %s", kind)
	}
	if _, err := os.Stat(filepath.Join(unpacked, "nft/README.md")); err != nil {
		t.Errorf("a page that README.md links: %v", err)
	}
	testInstallScript(t, unpacked)
	if complaints := run(t, unpacked, nil, "lintian", "--fail-on", "error,warning", "--tag-display-limit", "0", "--allow-root", packages[0]); complaints != "" {
		t.Errorf("lintian says\n%s", complaints)
	}
}

// testInstallScript installs an unpacked tarball below a directory and removes
// it again.
func testInstallScript(t *testing.T, unpacked string) {
	root := makeNetdata(t, upstreamPlugins, commonHealth, staticPlugins, staticHealth)
	environment := []string{"DESTDIR=" + root}
	units := filepath.Join(root, "opt/ssmonitor/lib/systemd/system")
	testkit.MakeDirectory(t, units)
	testkit.WriteFile(t, filepath.Join(units, "ssmonitor-setup.path"), "of version 0.2.0")
	run(t, unpacked, environment, filepath.Join(unpacked, "install.sh"), "--prefix", "/opt/ssmonitor")
	unit, err := os.ReadFile(filepath.Join(units, "ssmonitor.service"))
	if err != nil || !strings.Contains(string(unit), "ExecStart=/opt/ssmonitor/bin/ssmonitor run") {
		t.Errorf("the installed unit: %v\n%s", err, unit)
	}
	for path, want := range map[string]string{
		upstreamPlugins + "/ssmonitor.plugin": "bin/ssmonitor", staticPlugins + "/ssmonitor.plugin": "bin/ssmonitor",
		commonHealth + "/ssmonitor.conf": "share/ssmonitor/netdata/health.d/ssmonitor.conf", staticHealth + "/ssmonitor.conf": "share/ssmonitor/netdata/health.d/ssmonitor.conf",
	} {
		// The target is without the directory in which the test installs.
		if target, err := os.Readlink(filepath.Join(root, path)); target != "/opt/ssmonitor/"+want {
			t.Errorf("%s links to %q, %v", path, target, err)
		} else if _, err := os.Stat(filepath.Join(root, target)); err != nil {
			t.Errorf("%s links to nothing: %v", path, err)
		}
	}
	run(t, unpacked, environment, filepath.Join(unpacked, "install.sh"), "--prefix=/opt/ssmonitor", "--uninstall")
	if left := run(t, root, nil, "find", ".", "!", "-type", "d"); left != "" {
		t.Errorf("left after --uninstall:\n%s", left)
	}
}

// TestRPM builds the package of the last commit and installs it below a
// directory.
func TestRPM(t *testing.T) {
	top := t.TempDir()
	build := filepath.Join(top, "build")
	run(t, "../..", nil, "make", "source", "BUILD="+build, "VERSION=0.2.0")
	root := filepath.Join(top, "root")
	run(t, "../rpm", nil, "rpmbuild", "-bb", "--nodeps", "--define", "_topdir "+top,
		"--define", "_sourcedir "+filepath.Join(build, "release"), "ssmonitor.spec")
	packages, err := filepath.Glob(filepath.Join(top, "RPMS/*/ssmonitor-*.rpm"))
	if err != nil || len(packages) != 1 {
		t.Fatalf("built %q, %v", packages, err)
	}
	// Debian's rpm knows no Go and no systemd, and scripts would act on the host.
	run(t, top, nil, "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--install", "--nodeps", "--noscripts", packages[0])
	for _, path := range []string{"usr/bin/ssmonitor", "usr/lib/systemd/system/ssmonitor.service", "etc/ssmonitor/config.yaml",
		"usr/libexec/netdata/plugins.d/ssmonitor.plugin", "usr/share/ssmonitor/netdata/link.sh", "usr/share/ssmonitor/netdata/health.d/ssmonitor.conf",
		"usr/share/ssmonitor/prometheus/ssmonitor.rules.yml", "usr/share/ssmonitor/grafana/ssmonitor.json",
		"usr/share/doc/ssmonitor/README.md", "usr/share/doc/ssmonitor/nft/README.md"} {
		if _, err := os.Lstat(filepath.Join(root, path)); err != nil {
			t.Error(err)
		}
	}
	if got := run(t, top, nil, filepath.Join(root, "usr/bin/ssmonitor"), "--version"); !strings.HasPrefix(got, "ssmonitor 0.2.0 ") {
		t.Errorf("the installed binary prints %q", got)
	}
}

// TestPKGBUILD checks the recipe for Arch: Debian has no pacman to build with.
func TestPKGBUILD(t *testing.T) {
	for _, file := range []string{"PKGBUILD", "ssmonitor.install"} {
		// makepkg sets and reads the variables, and stops at a failed cd.
		run(t, "../arch", nil, "shellcheck", "--shell=bash", "--exclude=SC2034,SC2154,SC2164", file)
	}
	got := run(t, "../arch", nil, "bash", "-c", ". ./PKGBUILD && echo $pkgver && declare -F build package")
	if want := "0.2.0\nbuild\npackage\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestPKGBUILDBuilds runs the recipe's functions as makepkg does, on the source of
// the last commit.
func TestPKGBUILDBuilds(t *testing.T) {
	top := t.TempDir()
	build, source, root := filepath.Join(top, "build"), filepath.Join(top, "src"), filepath.Join(top, "pkg")
	testkit.MakeDirectory(t, source)
	testkit.MakeDirectory(t, root)
	run(t, "../..", nil, "make", "source", "BUILD="+build, "VERSION=0.2.0")
	run(t, source, nil, "tar", "--extract", "--file", filepath.Join(build, "release", "ssmonitor-0.2.0.tar.gz"))
	recipe, err := filepath.Abs("../arch/PKGBUILD")
	if err != nil {
		t.Fatal(err)
	}
	for _, function := range []string{"build", "package"} {
		run(t, source, []string{"pkgdir=" + root, "SOURCE_DATE_EPOCH=1700000000"}, "bash", "-e", "-c", ". "+recipe+"; "+function)
	}
	for path, target := range map[string]string{
		"usr/bin/ssmonitor": "file", "usr/lib/systemd/system/ssmonitor.service": "file", "etc/ssmonitor/config.yaml": "file",
		"usr/share/licenses/ssmonitor/LICENSE": "file", "usr/share/ssmonitor/netdata/link.sh": "file",
		"usr/lib/netdata/plugins.d/ssmonitor.plugin": "../../../bin/ssmonitor",
	} {
		if got := links(t, root)[path]; got != target {
			t.Errorf("%s is %q, want %q", path, got, target)
		}
	}
	if got := run(t, top, nil, filepath.Join(root, "usr/bin/ssmonitor"), "--version"); !strings.HasPrefix(got, "ssmonitor 0.2.0 ") {
		t.Errorf("the packaged binary prints %q", got)
	}
}
