package sources_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/integration/portlist"
	"ssmonitor/integration/sources"
	"ssmonitor/internal/testkit"
)

const largest = 4 << 20 // of a configuration

// repeated returns a text of parts, as long as a configuration may be and no longer.
func repeated(begin, end string, most int, part func(i int) string) string {
	text := []byte(begin)
	for i := range most {
		next := part(i)
		if len(text)+len(next)+len(end) > largest {
			break
		}
		text = append(text, next...)
	}
	return string(bytes.TrimSuffix(text, []byte(","))) + end
}

// TestManyLargeFilesTakeLittleMemory has copies of the densest files there are, more
// than are read.
// A program of its own sets up by them and measures itself.
func TestManyLargeFilesTakeLittleMemory(t *testing.T) {
	program := filepath.Join(t.TempDir(), "setup")
	build := exec.Command("go", "build", "-o", program, "./testdata/setup")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the program: %v\n%s", err, output)
	}
	port := func(i int) int { return i%65535 + 1 }
	name := strings.Repeat("n", 110)
	for _, test := range []struct {
		name, file string
		count      int
		content    string
	}{
		{"servers", "etc/shadowsocks-rust/config%d.json", 10, repeated(`{"servers":[`, "]}", 100000, func(i int) string {
			return fmt.Sprintf(`{"port":%d,"name":"%s%d"},`, port(i), name[:10], i)
		})},
		{"port_password", "etc/shadowsocks-python/config%d.json", 10, repeated(`{"port_password":{`, "}}", 65535, func(i int) string {
			return fmt.Sprintf(`"%d":"%s",`, port(i), name[:50])
		})},
		{"ss-manager", "var/lib/shadowsocks-libev/.shadowsocks_%d.conf", 10, repeated(`{"server_port":[`, "]}", 131070, func(i int) string {
			return fmt.Sprintf(`%d,`, port(i))
		})},
		{"ranges", "etc/xray/config%d.json", 50, `{"inbounds":[{"protocol":"shadowsocks","port":"1-65535,1-65535","tag":"a"}]}`},
		{"clients", "usr/local/etc/v2ray/config%d.json", 10, repeated(`[`, "]", 37000, func(i int) string {
			return fmt.Sprintf(`{"user":"%s%d","port":%d,"transfer_enable":1},`, name[:40], i, port(i))
		})},
		{"a note for each server", "etc/shadowsocks-go/config%d.json", 10, repeated(`{"servers":[`, "]}", 29000, func(i int) string {
			return fmt.Sprintf(`{"protocol":"none","listen":":%d","enableTCP":true,"uPSKs":1},`, port(i))
		})},
		{"YAML", "etc/shadowsocks/config%d.json", 10, "keys: [" + strings.Repeat("a,", 32000) + "]\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := t.TempDir()
			for i := range test.count {
				write(t, root, fmt.Sprintf(test.file, i), test.content)
			}
			output, err := exec.Command(program, root).Output()
			var kilobytes int
			if _, scanErr := fmt.Sscan(string(output), &kilobytes); err != nil || scanErr != nil {
				t.Fatalf("%v, %v: %.2000s", err, scanErr, output)
			}
			t.Logf("%d MB", kilobytes>>10)
			if limit := 200; kilobytes>>10 > limit {
				t.Errorf("got %d MB, want at most %d", kilobytes>>10, limit)
			}
		})
	}
}

// TestFilesBeyondTheSumKeepTheirPorts has files that are set up once, and grow.
func TestFilesBeyondTheSumKeepTheirPorts(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	file := func(i int) string { return fmt.Sprintf("etc/shadowsocks/%02d.json", i) }
	for i := range 10 {
		write(t, root, file(i), fmt.Sprintf(`{"server_port": %d}`, 100+i))
	}
	const all = "1 100 101 102 103 104 105 106 107 108 109"
	if ports, notes := setup(t, from); ports != all || notes != "[]" {
		t.Fatalf("got %s, %s", ports, notes)
	}
	padding := strings.Repeat(" ", largest-len(`{"server_port": 200}`))
	for i := range 8 {
		write(t, root, file(i), fmt.Sprintf(`{"server_port": %d}`, 200+i)+padding)
	}
	ports, notes := setup(t, from)
	if want := "1 108 109 200 201 202 203 204 205 206 207"; ports != want {
		t.Errorf("got %s, want %s", ports, want)
	}
	for _, i := range []int{8, 9} {
		if want := file(i) + ": too much in all configurations together: want at most 33554432 bytes; the files before have 33554432, and this one 20; " +
			"the ports that it had stay counted: 1"; !strings.Contains(notes, want) {
			t.Errorf("got the notes %s, want %s", notes, want)
		}
	}
	from.Shadowsocks = []string{filepath.Join(root, "etc/shadowsocks")}
	if result, err := sources.Follow(from).Load(); !errors.Is(err, sources.ErrTooMuch) || result.Ports != nil || !strings.Contains(err.Error(), file(8)) {
		t.Errorf("a directory that is named: got %v, %v, want ErrTooMuch", result.Ports, err)
	}
	from.Shadowsocks = nil
	for i := range 9 {
		from.Shadowsocks = append(from.Shadowsocks, filepath.Join(root, file(i)))
	}
	if _, err := sources.Follow(from).Load(); !errors.Is(err, sources.ErrTooMuch) || !strings.Contains(err.Error(), file(8)) {
		t.Errorf("files that are named: got %v, want ErrTooMuch", err)
	}
}

// TestPortsBeyondTheSum has small files, each with every port.
func TestPortsBeyondTheSum(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	write(t, root, "etc/xray/9.json", `{"inbounds": [{"protocol": "shadowsocks", "port": 9, "tag": "nine"}]}`)
	setup(t, from)
	for i := range 5 {
		write(t, root, fmt.Sprintf("etc/xray/%d.json", i), `{"inbounds": [{"protocol": "shadowsocks", "port": "1-65535"}]}`)
	}
	result, err := sources.Follow(from).Load()
	notes := fmt.Sprint(result.Notes)
	if err != nil || len(result.Ports) != 65535 || len(result.Configs) != 4 {
		t.Fatalf("got %d ports of %d files, %v", len(result.Ports), len(result.Configs), err)
	}
	for _, want := range []string{
		"4.json: too much in all configurations together: want at most 262140 ports; the files before have 262140, and this one 65535",
		"9.json: too much in all configurations together: want at most 262140 ports; the files before have 262140, and this one 1; the ports that it had stay counted: 1",
	} {
		if !strings.Contains(notes, want) {
			t.Errorf("got the notes %s, want %s", notes, want)
		}
	}
	if nine, _ := result.Ports.Find(9); nine.Name != "nine" {
		t.Errorf("got %+v for port 9", nine)
	}
}

// TestNamesBeyondTheSum has names that would make the metrics too large.
func TestNamesBeyondTheSum(t *testing.T) {
	root := t.TempDir()
	for i := range 3 {
		servers := repeated(`{"servers":[`, "]}", 8000, func(j int) string {
			return fmt.Sprintf(`{"port":%d,"name":"%0120d"},`, i*8000+j+2, j)
		})
		write(t, root, fmt.Sprintf("etc/shadowsocks-rust/%d.json", i), servers)
	}
	result, err := sources.Follow(searchIn(root)).Load()
	const want = "2.json: too much in all configurations together: want names of at most 2097152 bytes; the files before have 1920000, and this one 960000"
	if err != nil || len(result.Configs) != 2 || !strings.Contains(fmt.Sprint(result.Notes), want) {
		t.Errorf("got %d files, %v, the notes %s", len(result.Configs), err, result.Notes)
	}
}

// TestDirectoryWithTooManyFilesKeepsItsPorts has one more than are looked at.
func TestDirectoryWithTooManyFilesKeepsItsPorts(t *testing.T) {
	root := t.TempDir()
	from := searchIn(root)
	first := write(t, root, "etc/shadowsocks/a.json", `{"server_port": 10}`)
	write(t, root, "etc/shadowsocks-rust/a.json", `{"server_port": 11}`)
	if ports, _ := setup(t, from); ports != "1 10 11" {
		t.Fatalf("got %s", ports)
	}
	fill(t, first, 1<<16)
	ports, notes := setup(t, from)
	if ports != "1 10 11" || !strings.Contains(notes, "etc/shadowsocks: too many files: want at most 65536") ||
		!strings.Contains(notes, "a.json: too many files beside it; the ports that it had stay counted: 1") {
		t.Errorf("got %s with the notes %s", ports, notes)
	}
}

// fill adds files to the directory of the first, with its content.
func fill(t *testing.T, first string, count int) {
	t.Helper()
	content, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	for i := range count {
		write(t, filepath.Dir(first), fmt.Sprintf("f%d.json", i), string(content))
	}
}

func TestNotesAreBounded(t *testing.T) {
	root := t.TempDir()
	fill(t, write(t, root, "etc/shadowsocks/a.json", `{`), 999)
	result, err := sources.Follow(searchIn(root)).Load()
	if err != nil || len(result.Notes) != 201 || result.Notes[200].Error() != "800 more notes are not shown" {
		t.Errorf("got %d notes, %v, the last one %v", len(result.Notes), err, result.Notes[len(result.Notes)-1])
	}
}

// TestIdleFollowerTakesLittleTime has thousands of files. A look per second may take
// a hundredth of a processor's time.
func TestIdleFollowerTakesLittleTime(t *testing.T) {
	const looks, files = 20, 20000
	root := t.TempDir()
	fill(t, write(t, root, "etc/shadowsocks/a.json", `{"server_port": 10}`), files)
	time.Sleep(200 * time.Millisecond) // the files are no news then
	follower := sources.Follow(searchIn(root))
	if _, err := follower.Load(); err != nil {
		t.Fatal(err)
	}
	before := testkit.ProcessorTime(t, os.Getpid())
	for range looks {
		if follower.Changed() {
			t.Fatal("something has changed")
		}
	}
	if each := (testkit.ProcessorTime(t, os.Getpid()) - before) / looks; each > 10*time.Millisecond*raceFactor {
		t.Errorf("a look takes %s, want at most 10ms", each)
	} else {
		t.Logf("a look takes %s", each)
	}
}

// TestFollowSeesEachOfManyFiles changes one of thousands of files in place. It is
// seen in turn, and remains a change until the next Load.
func TestFollowSeesEachOfManyFiles(t *testing.T) {
	const files = 5000
	root := t.TempDir()
	first := write(t, root, "etc/shadowsocks/a.json", `{"server_port": 10}`)
	fill(t, first, files)
	for _, name := range []string{"f0.json", "f2500.json", "f999.json"} {
		path := filepath.Join(filepath.Dir(first), name)
		remove(t, path)
		write(t, filepath.Dir(path), name, `{"server_port": 10}`)
		time.Sleep(200 * time.Millisecond)
		follower := sources.Follow(searchIn(root))
		if _, err := follower.Load(); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Dir(path), name, `{"server_port": 11}`)
		if !slices.ContainsFunc([]int{1, 2, 3}, func(int) bool { return follower.Changed() }) {
			t.Fatalf("%s: the change is not seen in three looks", name)
		}
		for range 3 {
			if !follower.Changed() {
				t.Fatalf("%s: the change is forgotten", name)
			}
		}
		result, err := follower.Load()
		if _, found := accounting.Ports(portlist.Ports(result.Entries)).Find(11); err != nil || !found || follower.Changed() {
			t.Errorf("%s: got %v, %v", name, result.Ports, err)
		}
	}
}
