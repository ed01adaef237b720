package kernels_test

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/internal/testkit"
)

//go:embed init.sh
var initScript []byte

// newInitramfs begins the file system of a machine: init, the directories that it needs,
// busybox, ssmonitor and the kernel's modules.
func newInitramfs(ctx context.Context, t *testing.T, init []byte, kernel, product string) *initramfs {
	t.Helper()
	archive := &initramfs{names: make(map[string]bool)}
	archive.add("init", executable, init)
	for _, name := range []string{"proc", "sys", "dev", "tmp", "run", "etc"} {
		archive.add(name, folder, nil)
	}
	archive.addProgram(ctx, t, "busybox")
	archive.addFile(t, "bin/ssmonitor", product)
	for _, name := range moduleFiles(t, kernel) {
		archive.addFile(t, name, filepath.Join(kernel, name))
	}
	return archive
}

// packInitramfs returns the file system in which the test binaries run.
func packInitramfs(ctx context.Context, t *testing.T, kernel, product string, binaries []string) []byte {
	t.Helper()
	archive := newInitramfs(ctx, t, initScript, kernel, product)
	for _, program := range neighbours {
		archive.addProgram(ctx, t, program)
	}
	for _, binary := range binaries {
		archive.addFile(t, "nft/"+filepath.Base(binary), binary)
	}
	archive.addFiles(t, "nft/testdata", "../../nft/testdata/*.*")
	archive.addLibraries(ctx, t, archive.addFiles(t, "xtables", "/usr/lib/*/xtables/*.so")...)
	return archive.finish()
}

// initramfs is an archive from which a kernel unpacks its first file system:
// format newc of Documentation/driver-api/early-userspace/buffer-format.rst.
type initramfs struct {
	content bytes.Buffer
	names   map[string]bool // of all entries so far
}

const (
	executable = syscall.S_IFREG | 0o755
	folder     = syscall.S_IFDIR | 0o755
)

// add appends a file or directory, after the directories that it lies in, which
// have to come first. One that is there already stays.
func (i *initramfs) add(name string, mode uint32, content []byte) {
	if name == "." || i.names[name] {
		return
	}
	i.names[name] = true
	i.add(path.Dir(name), folder, nil)
	i.entry(name, mode, content)
}

// entry appends a header of 13 fields behind the magic number, the name and the
// content, the last two padded to four bytes.
func (i *initramfs) entry(name string, mode uint32, content []byte) {
	const modeField, linksField, sizeField, nameSizeField = 1, 4, 6, 11
	fields := [13]int{modeField: int(mode), linksField: 1, sizeField: len(content), nameSizeField: len(name) + 1}
	i.content.WriteString("070701")
	for _, field := range fields {
		fmt.Fprintf(&i.content, "%08X", field)
	}
	i.content.WriteString(name + "\x00")
	i.pad()
	i.content.Write(content)
	i.pad()
}

func (i *initramfs) pad() {
	i.content.Write(make([]byte, -i.content.Len()&3))
}

func (i *initramfs) finish() []byte {
	i.entry("TRAILER!!!", 0, nil)
	return i.content.Bytes()
}

// addFile appends a file of the host.
func (i *initramfs) addFile(t *testing.T, name, source string) {
	t.Helper()
	content := testkit.ReadFile(t, source)
	i.add(strings.TrimPrefix(name, "/"), executable, []byte(content))
}

// addFiles appends the files of the host that match a pattern, and returns them.
func (i *initramfs) addFiles(t *testing.T, target, pattern string) (files []string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: found nothing, %v", pattern, err)
	}
	for _, file := range files {
		i.addFile(t, path.Join(target, filepath.Base(file)), file)
	}
	return files
}

// addProgram appends a program of the host and the libraries that it loads, at
// their own paths.
func (i *initramfs) addProgram(ctx context.Context, t *testing.T, program string) {
	t.Helper()
	source, err := exec.LookPath(program)
	if err != nil {
		t.Fatal(err)
	}
	i.addFile(t, "bin/"+program, source)
	i.addLibraries(ctx, t, source)
}

// addLibraries appends the libraries that files load, at their own paths.
func (i *initramfs) addLibraries(ctx context.Context, t *testing.T, files ...string) {
	t.Helper()
	// ldd fails for a static program, which loads none. Given several files, it
	// prints each with a colon.
	libraries, _ := exec.CommandContext(ctx, "ldd", files...).Output()
	for word := range strings.FieldsSeq(string(libraries)) {
		if filepath.IsAbs(word) && !strings.HasSuffix(word, ":") {
			i.addFile(t, word, word)
		}
	}
}
