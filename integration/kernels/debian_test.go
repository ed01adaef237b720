package kernels_test

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ssmonitor/internal/testkit"
)

// fetchKernel returns the directory with Debian's newest kernel of a series,
// such as 6.1. A kernel that was unpacked earlier is used again; an update of
// the package has another name.
func fetchKernel(ctx context.Context, t *testing.T, series string) string {
	t.Helper()
	name := newestPackage(ctx, t, series)
	cache, err := filepath.Abs(cacheDirectory)
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(cache, name)
	if _, err := os.Stat(directory); err == nil {
		return directory
	}
	testkit.MakeDirectory(t, cache)
	// The directory gets its name when it is complete, so that an interrupted
	// download is not taken for a kernel.
	temporary, err := os.MkdirTemp(cache, "incomplete-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	download := exec.CommandContext(ctx, "apt-get", "-q", "download", name)
	download.Dir = temporary
	output(t, download)
	unpacked := filepath.Join(temporary, "unpacked")
	output(t, exec.CommandContext(ctx, "dpkg", "-x", only(t, temporary, "*.deb"), unpacked))
	output(t, exec.CommandContext(ctx, "busybox", "depmod", "-b", unpacked, filepath.Base(only(t, unpacked, "lib/modules/*"))))
	if err := os.Rename(unpacked, directory); err != nil && !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	return directory
}

// newestPackage asks the metapackages for the name of the package, which
// changes with each update: old ones leave the archive.
func newestPackage(ctx context.Context, t *testing.T, series string) string {
	t.Helper()
	metapackages := []string{"linux-image-" + series + "-cloud-amd64", "linux-image-cloud-amd64"}
	dependency := regexp.MustCompile(`Depends: (linux-image-` + regexp.QuoteMeta(series) + `\.\S+)`)
	for _, metapackage := range metapackages {
		// apt-cache fails for a package that this release does not have.
		depends, _ := exec.CommandContext(ctx, "apt-cache", "depends", metapackage).Output()
		if match := dependency.FindSubmatch(depends); match != nil {
			return string(match[1])
		}
	}
	testkit.Missing(t, "apt knows no kernel %s by %s: run apt-get update, on Debian 12", series, strings.Join(metapackages, " or "))
	return ""
}

// wantedModule matches the modules of netfilter and of the devices that the tests
// create.
var wantedModule = regexp.MustCompile(`/netfilter/|/drivers/net/(dummy|veth|vrf)\.ko`)

// moduleFiles returns the paths, relative to the kernel's directory, of what
// modprobe reads, of all wanted modules and of those that they need.
func moduleFiles(t *testing.T, kernel string) []string {
	t.Helper()
	dependencies := only(t, kernel, "lib/modules/*/modules.dep")
	content := testkit.ReadFile(t, dependencies)
	needed := make(map[string]bool)
	for line := range strings.Lines(content) {
		// PATH: PATH PATH ..., all that the first needs.
		if module, others, _ := strings.Cut(line, ":"); wantedModule.MatchString(module) {
			needed[module] = true
			for other := range strings.FieldsSeq(others) {
				needed[other] = true
			}
		}
	}
	directory, err := filepath.Rel(kernel, filepath.Dir(dependencies))
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, name := range append(slices.Sorted(maps.Keys(needed)), "modules.dep", "modules.alias") {
		files = append(files, filepath.Join(directory, name))
	}
	return files
}

// only returns the one file below a directory that matches a pattern.
func only(t *testing.T, directory, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(directory, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s of %s: found %q, %v, want one file", pattern, directory, found, err)
	}
	return found[0]
}
