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
	"time"

	"github.com/google/go-cmp/cmp"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/internal/configfile"
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

func TestReadDirectory(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "b.json", `{"server_port": 2}`)
	write(t, dir, "a.json5", `{server_port: 1}`)
	write(t, dir, "client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, dir, "other.json", `{"log": true}`)
	write(t, dir, ".shadowsocks_8394.conf", `{"server_port": 8394, "mode": "tcp_only"}`)
	write(t, dir, ".shadowsocks_8394.pid", fmt.Sprint(os.Getpid()))
	write(t, dir, ".hidden.json", `not JSON`)
	write(t, dir, "README", `not JSON`)
	write(t, dir, "below.json/c.json", `{"server_port": 3}`)

	configs, skipped, err := readDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := paths(dir, configs), ".shadowsocks_8394.conf a.json5 b.json"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	if len(skipped) != 2 || !errors.Is(skipped[0].Err, shadowsocks.ErrClient) || !errors.Is(skipped[1].Err, shadowsocks.ErrNoPorts) {
		t.Errorf("skipped: %v", skipped)
	}

	write(t, dir, "d.json", `{"server_port": "80a"}`)
	_, skipped, err = readDirectory(dir)
	broken := skipped[1].Err
	if _, ok := errors.AsType[*shadowsocks.ValueError](broken); !ok || err != nil || !strings.Contains(broken.Error(), "d.json") {
		t.Errorf("a broken file in the directory: %v, %v", skipped, err)
	}
}

func TestReadDirectoryWithoutServers(t *testing.T) {
	dir := t.TempDir()
	if configs, skipped, err := readDirectory(dir); len(configs)+len(skipped) > 0 || err != nil {
		t.Errorf("an empty directory: %v, %v, %v", configs, skipped, err)
	}
	if _, _, err := readDirectory(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}

// ShadowsocksR reads user-config.json in place of config.json, and its clients
// with it.
func TestReadDirectoryLeavesOutWhatIsSuperseded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.json", `{"server_port": 1, "obfs": "plain"}`)
	write(t, dir, "user-config.json", `{"server_port": 2, "obfs": "plain"}`)
	write(t, dir, "mudb.json", `[{"port": 3, "user": "alice"}]`)
	configs, skipped, err := readDirectory(dir)
	if err != nil || len(configs) != 1 || len(skipped) > 0 {
		t.Fatalf("got %v, %v, %v", configs, skipped, err)
	}
	if diff := cmp.Diff([]accounting.Port{{Number: 3, Protocols: accounting.TCPAndUDP, Name: "alice"}}, configs[0].Ports); diff != "" {
		t.Error(diff)
	}
}

func TestSearch(t *testing.T) {
	root := t.TempDir()
	for i, name := range []string{
		"etc/shadowsocks.json",
		"etc/shadowsocks/config.json",
		"etc/shadowsocks-libev/config.json",
		"etc/shadowsocks-libev/second.json",
		"etc/shadowsocks-rust/config.json5",
		"usr/local/shadowsocksr/user-config.json",
		"var/snap/shadowsocks-libev/common/etc/shadowsocks-libev/config.json",
		"root/.shadowsocks/.shadowsocks_8394.conf",
	} {
		write(t, root, name, `{"server_port": `+string(rune('1'+i))+`}`)
	}
	write(t, root, "etc/shadowsocks/client.json", `{"server": "203.0.113.7", "server_port": 9, "local_port": 1080}`)
	write(t, root, "etc/shadowsocks/locals.json", `{"locals": [{"local_port": 1080}]}`)
	write(t, root, "etc/shadowsocks-rust/broken.json", `{`)
	write(t, root, "etc/other/config.json", `{"server_port": 9}`)
	write(t, root, "tmp/.shadowsocks/.shadowsocks_9.conf", `{"server_port": 9}`)
	if err := syscall.Mkfifo(filepath.Join(root, "etc/shadowsocks/fifo.json"), 0o600); err != nil {
		t.Fatal(err)
	}

	files, unlisted := shadowsocks.Search(root, 100)
	configs, skipped := readListed(files)
	if len(unlisted) > 0 {
		t.Errorf("not listed: %v", unlisted)
	}
	var lists [][]accounting.Port
	for _, config := range configs {
		lists = append(lists, config.Ports)
	}
	var numbers []uint16
	ports, _ := accounting.Union(lists...)
	for _, port := range ports {
		numbers = append(numbers, port.Number)
	}
	if diff := cmp.Diff([]uint16{1, 2, 3, 4, 5, 6, 7, 8}, numbers); diff != "" {
		t.Error(diff)
	}
	var names []string
	for _, file := range skipped {
		names = append(names, fmt.Sprint(filepath.Base(file.Path), " ", shadowsocks.Harmless(file.Err)))
	}
	if diff := cmp.Diff([]string{"client.json false", "fifo.json false", "locals.json true", "broken.json false"}, names); diff != "" {
		t.Error(diff)
	}

	if files, unlisted := shadowsocks.Search(t.TempDir(), 100); files != nil || unlisted != nil {
		t.Errorf("an empty root: %v, %v", files, unlisted)
	}
}

// ss-manager leaves the files of a port that it has removed.
func TestReadDirectoryLeavesOutStoppedServers(t *testing.T) {
	dir := t.TempDir()
	stopped := exec.Command("true")
	if err := stopped.Run(); err != nil {
		t.Fatal(err)
	}
	for port, pid := range map[int]string{
		1: fmt.Sprint(os.Getpid()), 2: fmt.Sprint(stopped.Process.Pid), 3: "", 4: "not a number", 5: "-1", 6: "0",
	} {
		write(t, dir, fmt.Sprintf(".shadowsocks_%d.conf", port), fmt.Sprintf(`{"server_port": %d}`, port))
		write(t, dir, fmt.Sprintf(".shadowsocks_%d.pid", port), pid+"\n")
	}
	write(t, dir, ".shadowsocks_7.conf", `{"server_port": 7}`)
	configs, _, err := readDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	const want = ".shadowsocks_1.conf .shadowsocks_3.conf .shadowsocks_4.conf .shadowsocks_5.conf .shadowsocks_6.conf .shadowsocks_7.conf"
	if got := paths(dir, configs); got != want {
		t.Errorf("read %s, want %s", got, want)
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
	for deadline := time.Now().Add(10 * time.Second); !shadowsocks.Stopped(filepath.Join(dir, ".shadowsocks_1.conf")); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a server that has ended is taken for one that runs")
		}
	}
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

// readDirectory reads what ListDirectory lists.
func readDirectory(dir string) ([]shadowsocks.Config, []shadowsocks.Skipped, error) {
	files, err := shadowsocks.ListDirectory(dir, 100)
	configs, skipped := readListed(files)
	return configs, skipped, err
}

func readListed(files []string) (configs []shadowsocks.Config, skipped []shadowsocks.Skipped) {
	for _, file := range files {
		config, read, err := shadowsocks.ReadListed(file, shadowsocks.Options{})
		switch {
		case err != nil:
			skipped = append(skipped, shadowsocks.Skipped{Path: file, Err: err})
		case read:
			configs = append(configs, config)
		}
	}
	return configs, skipped
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func paths(dir string, configs []shadowsocks.Config) string {
	var names []string
	for _, config := range configs {
		names = append(names, strings.TrimPrefix(config.Path, dir+"/"))
	}
	return strings.Join(names, " ")
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
