package shadowsocks_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/testkit"
)

// zoo holds one directory per family of servers, made from the documentation of
// each project. Its file expect.golden says what is read of every other file.
// Every secret in the zoo contains the marker, and nothing else does.
const (
	zoo         = "testdata/zoo"
	expectation = "expect.golden"
	marker      = "QZQZQ"
	leastFiles  = 200
)

// testHost is the host that the zoo's files were written for.
var testHost = shadowsocks.LocalHost{
	Addresses: []netip.Addr{
		netip.MustParseAddr("192.0.2.10"),
		netip.MustParseAddr("2001:db8::10"),
		netip.MustParseAddr("fe80::1%eth0"),
	},
	Names: []string{"server", "server.example.org", "alias.example.net"},
}

// optionsFor reads the options off a file's name.
func optionsFor(path string) shadowsocks.Options {
	return shadowsocks.Options{
		Host:        testHost,
		ForceServer: strings.Contains(path, ".server."),
		AnyProtocol: strings.Contains(path, ".any-protocol."),
	}
}

// parse reads a file in a directory with that content.
func parse(t *testing.T, directory, content string, options shadowsocks.Options) (shadowsocks.Config, error) {
	t.Helper()
	path := filepath.Join(directory, "config")
	testkit.WriteFile(t, path, content)
	return shadowsocks.Read(path, options)
}

// zooFiles returns the files by family. Databases are copied, since SQLite may
// create files beside them.
func zooFiles(t testing.TB) map[string][]string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "zoo")
	if err := os.CopyFS(root, os.DirFS(zoo)); err != nil {
		t.Fatal(err)
	}
	families := make(map[string][]string)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && entry.Name() != expectation {
			name, _ := filepath.Rel(root, path)
			family, _, _ := strings.Cut(name, "/")
			families[family] = append(families[family], path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return families
}

func TestZoo(t *testing.T) {
	count := 0
	for family, paths := range zooFiles(t) {
		count += len(paths)
		t.Run(family, func(t *testing.T) {
			var got strings.Builder
			for _, path := range paths {
				_, name, _ := strings.Cut(path, "/zoo/"+family+"/")
				config, err := shadowsocks.Read(path, optionsFor(path))
				got.WriteString(describe(name, path, config, err))
			}
			if strings.ContainsAny(got.String(), marker) {
				t.Error("a part of a secret is shown")
			}
			testkit.Golden(t, filepath.Join(strings.TrimPrefix(zoo, "testdata/"), family, expectation), got.String())
		})
	}
	if count < leastFiles {
		t.Errorf("the zoo has %d files, want %d at least", count, leastFiles)
	}
}

// describe writes what was read of a file: its program, then its ports, notes and
// error, one per line.
func describe(name, path string, config shadowsocks.Config, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", name, config.Form)
	ports, _ := accounting.Union(config.Ports)
	for begin := 0; begin < len(ports); {
		end := begin + 1
		for end < len(ports) && ports[end].Number == ports[end-1].Number+1 && len(ports) > 20 {
			end++
		}
		line := portlist.FormatSpec(ports[begin])
		if end > begin+1 {
			line += " to " + portlist.FormatSpec(ports[end-1])
		}
		fmt.Fprintf(&b, "\t%s\n", line)
		begin = end
	}
	for _, note := range config.Notes {
		fmt.Fprintf(&b, "\tnote: %s\n", note)
	}
	if err != nil {
		text := strings.TrimPrefix(err.Error(), "reading a Shadowsocks configuration: ")
		text = strings.ReplaceAll(text, filepath.Dir(path)+"/", "")
		fmt.Fprintf(&b, "\terror: %s\n", text)
	}
	return b.String()
}

// Each error is one that a caller can tell from others.
func TestZooErrorsAreTyped(t *testing.T) {
	for family, paths := range zooFiles(t) {
		if family == "3x-ui" {
			continue // SQLite's own errors
		}
		for _, path := range paths {
			config, err := shadowsocks.Read(path, optionsFor(path))
			switch {
			case err == nil:
				if len(config.Ports) == 0 || config.Path != path {
					t.Errorf("%s: neither ports nor an error: %+v", path, config)
				}
			case !strings.Contains(err.Error(), filepath.Base(path)) && !strings.Contains(err.Error(), "mudb.json"):
				t.Errorf("the error does not name %s: %v", path, err)
			case !isTyped(err):
				t.Errorf("%s: %v", path, err)
			}
		}
	}
}

func isTyped(err error) bool {
	for _, target := range []error{shadowsocks.ErrClient, shadowsocks.ErrNoPorts, shadowsocks.ErrFormat} {
		if errors.Is(err, target) {
			return true
		}
	}
	return errors.As(err, new(*shadowsocks.SyntaxError)) || errors.As(err, new(*shadowsocks.ValueError))
}

// Breaking a file at any byte must not show a secret, not even a character of
// it.
func TestBrokenFilesShowNoSecret(t *testing.T) {
	const longest = 400
	directory := t.TempDir()
	for family, paths := range zooFiles(t) {
		if family == "3x-ui" {
			continue
		}
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(content) > longest {
				continue
			}
			step := 1
			if ext := filepath.Ext(path); ext == ".yml" || ext == ".yaml" {
				step = 9 // the library is slow
			}
			for i := 0; i < len(content); i += step {
				for _, broken := range [][]byte{
					content[:i],
					slices.Concat(content[:i], content[i+1:]),
					slices.Concat(content[:i], []byte{'"'}, content[i:]),
				} {
					_, err := parse(t, directory, string(broken), optionsFor(path))
					if err != nil && strings.ContainsAny(err.Error(), marker) {
						t.Fatalf("%s broken at byte %d: %v", path, i, err)
					}
				}
			}
		}
	}
}
