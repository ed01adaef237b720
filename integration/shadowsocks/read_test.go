package shadowsocks_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/configfile"
	"ssmonitor/internal/testkit"
)

func TestReadNamesTheFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "broken.json", "{")
	write(t, dir, "empty.json", "{}")
	write(t, dir, "huge.json", "")
	if err := os.Truncate(filepath.Join(dir, "huge.json"), 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "fifo.json"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{
		"missing.json": fs.ErrNotExist,
		"empty.json":   shadowsocks.ErrNoPorts,
		"huge.json":    configfile.ErrTooLarge,
		"fifo.json":    configfile.ErrNotRegular,
		".":            configfile.ErrNotRegular,
	} {
		path := filepath.Join(dir, name)
		if _, err := shadowsocks.Read(path, shadowsocks.Options{}); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Read(%s) = %v, want %v", path, err, want)
		}
	}
	if _, err := shadowsocks.Read(os.DevNull, shadowsocks.Options{}); !errors.Is(err, configfile.ErrNotRegular) {
		t.Errorf("a device: %v", err)
	}
	path := filepath.Join(dir, "broken.json")
	_, err := shadowsocks.Read(path, shadowsocks.Options{})
	if _, ok := errors.AsType[*shadowsocks.SyntaxError](err); !ok || !strings.Contains(err.Error(), path+": line 1") {
		t.Errorf("a broken file: %v", err)
	}
}

func TestListDirectory(t *testing.T) {
	const superseded = "config.json mudb.json user-config.json" // ShadowsocksR reads the last in place of the first, and its clients with it
	for files, want := range map[string]string{
		"": "",
		"b.json a.json5 c.jsonc d.yaml e.yml f.toml .shadowsocks_8394.conf x-ui.db s-ui.db":  ".shadowsocks_8394.conf a.json5 b.json c.jsonc d.yaml e.yml f.toml s-ui.db x-ui.db",
		".hidden.json README below.json/c.json config.bak.json geosite.db .shadowsocks.conf": "",
		superseded: "user-config.json",
	} {
		dir := t.TempDir()
		for name := range strings.FieldsSeq(files) {
			write(t, dir, name, "")
		}
		paths, err := shadowsocks.ListDirectory(dir, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.TrimPrefix(strings.ReplaceAll(strings.Join(paths, " "), dir+"/", ""), dir); got != want {
			t.Errorf("%s: got %s, want %s", files, got, want)
		}
	}
	if _, err := shadowsocks.ListDirectory(filepath.Join(t.TempDir(), "missing"), 100); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

// ss-manager leaves the files of a port that it has removed.
func TestStoppedServersAreNotRead(t *testing.T) {
	dir := t.TempDir()
	stopped := exec.Command("true")
	if err := stopped.Run(); err != nil {
		t.Fatal(err)
	}
	for pid, want := range map[string]bool{
		fmt.Sprint(os.Getpid()): true, fmt.Sprint(stopped.Process.Pid): false, "": true, "not a number": true, "-1": true, "0": true,
	} {
		path := write(t, dir, ".shadowsocks_1.conf", `{"server_port": 1}`)
		write(t, dir, ".shadowsocks_1.pid", pid+"\n")
		if _, read, err := (shadowsocks.Part{Path: path}).ReadListed(shadowsocks.Options{}); read != want || err != nil {
			t.Errorf("process %q: read %v, %v, want %v", pid, read, err, want)
		}
	}
	unstarted := shadowsocks.Part{Path: write(t, dir, ".shadowsocks_7.conf", `{"server_port": 7}`)}
	if _, read, err := unstarted.ReadListed(shadowsocks.Options{}); !read || err != nil {
		t.Errorf("no process: read %v, %v", read, err)
	}
}

// TestStoppedServerThatNobodyHasWaitedFor has a server that is a zombie.
func TestStoppedServerThatNobodyHasWaitedFor(t *testing.T) {
	ended := exec.Command("true")
	stdout, err := ended.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := ended.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ended.Wait() }()
	dir := t.TempDir()
	write(t, dir, ".shadowsocks_1.conf", `{"server_port": 1}`)
	write(t, dir, ".shadowsocks_1.pid", fmt.Sprint(ended.Process.Pid))
	_, _ = stdout.Read(make([]byte, 1)) // until it ends
	testkit.Until(t, "notice of the server that has ended", func() bool {
		return shadowsocks.Stopped(filepath.Join(dir, ".shadowsocks_1.conf"))
	})
}

// A directory with more files than it may have is not listed in part.
func TestListDirectoryIsBounded(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		write(t, dir, fmt.Sprintf("%d.json", i), "{}")
		write(t, dir, fmt.Sprintf("%d.txt", i), "")
	}
	if files, err := shadowsocks.ListDirectory(dir, 10); err != nil || len(files) != 10 {
		t.Errorf("got %v, %v, want 10 files", files, err)
	}
	files, err := shadowsocks.ListDirectory(dir, 9)
	if !errors.Is(err, shadowsocks.ErrTooMany) || files != nil || !strings.Contains(err.Error(), dir+": too many files: want at most 9") {
		t.Errorf("got %v, %v, want ErrTooMany", files, err)
	}
}

func TestSearchIsBounded(t *testing.T) {
	root := t.TempDir()
	for i := range 3 {
		write(t, root, fmt.Sprintf("etc/shadowsocks-libev/%d.json", i), "{}")
		write(t, root, fmt.Sprintf("etc/shadowsocks-rust/%d.json", i), "{}")
	}
	write(t, root, "etc/sing-box/config.json", "{}")
	files, unlisted := shadowsocks.Search(root, 5)
	if len(files) != 4 || len(unlisted) != 1 || unlisted[0].Path != filepath.Join(root, "etc/shadowsocks-rust") || !errors.Is(unlisted[0].Err, shadowsocks.ErrTooMany) {
		t.Errorf("got %v, and %v, want the files of two directories", files, unlisted)
	}
}

func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	testkit.WriteFile(t, path, content)
	return path
}

// A file takes a bounded amount of memory and time, whatever is in it.
func TestParseIsBounded(t *testing.T) {
	for name, content := range map[string]string{
		"many servers":        `{"servers": [` + strings.Repeat(`{},`, 300_000) + `]}`,
		"many ports":          `{"inbounds": [{"protocol": "shadowsocks", "port": "` + strings.Repeat("1-65535,", 1000) + `"}]}`,
		"deep JSON":           strings.Repeat("[", 1_000_000),
		"a long YAML":         "keys: [" + strings.Repeat("1,", 200_000) + "]\n",
		"a deep YAML":         "keys: " + strings.Repeat("[", 100_000) + "\n",
		"a deep YAML by line": strings.Repeat("[\n", 100_000) + "\n",
		"a deep list of YAML": "keys:\n" + strings.Repeat("- ", 100_000) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			if config, err := parse(t, t.TempDir(), content, shadowsocks.Options{}); err == nil {
				t.Errorf("got %d ports, want an error", len(config.Ports))
			}
		})
	}
	config, err := parse(t, t.TempDir(), `{"unknown": [`+strings.Repeat("1,", 1_000_000)+`], "server_port": 8388}`, shadowsocks.Options{})
	if err != nil || len(config.Ports) != 1 {
		t.Errorf("many unknown values: %v, %v, want one port", config.Ports, err)
	}
}

func TestAdditionalPortsAloneAreNoPorts(t *testing.T) {
	_, err := parse(t, t.TempDir(), `{"obfs": "plain", "additional_ports": {"443": {}}}`, shadowsocks.Options{})
	if !errors.Is(err, shadowsocks.ErrNoPorts) {
		t.Errorf("got %v, want ErrNoPorts", err)
	}
}
