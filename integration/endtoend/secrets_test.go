package endtoend_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ssmonitor/integration/portlist"
	"ssmonitor/internal/testkit"
)

// secretOfTheZoo is in every secret of the zoo's files, and nowhere else.
const secretOfTheZoo = "QZQZQ"

// TestSecretsStayInTheirFiles has setup read the whole zoo in the usual places,
// and the agent serve what it found. No output, list or log may show a secret, nor
// may the memory of the agent or a core dump of either.
func TestSecretsStayInTheirFiles(t *testing.T) {
	require(t, "chroot", "prlimit")
	t.Parallel()
	server := newNamespace(t)
	root := sharedDirectory(t)
	server.run(t, "cp", builtProgram("ssmonitor"), root)
	if files := settle(t, root); files < 200 {
		t.Fatalf("the zoo has only %d files", files)
	}
	in := func(path string) string { return filepath.Join(root, path) }
	run := func(arguments ...string) *program {
		command := server.command("prlimit", append([]string{"--core=unlimited", "chroot", root, "/ssmonitor"}, arguments...)...)
		command.Env = append(os.Environ(), "GOTRACEBACK=crash") // dump core at a fatal signal
		return begin(t, command)
	}

	setup := run("setup", "--follow")
	list := in("etc/ssmonitor/ports")
	var named string
	eventually(t, func() error {
		ports, err := portlist.Read(list)
		for _, port := range ports {
			if len(port.Name) > len(named) {
				named = port.Name
			}
		}
		if err == nil && (len(ports) < 20 || len(named) < 8) {
			err = fmt.Errorf("the list has %d ports, and none with a long name: %v", len(ports), ports)
		}
		return err
	})
	agent := run("run", "--interval", "100ms")
	testkit.ReplaceFile(t, in("etc/shadowsocks/late.json"), `{"server_port": 64999, "password": "QZQZQ", "remarks": "a name to look for"}`)
	eventually(t, func() error {
		published, err := os.ReadFile(in("run/ssmonitor/ssmonitor.csv"))
		if err == nil && !bytes.Contains(published, []byte("\n64999,")) {
			err = fmt.Errorf("the agent does not serve the new port:\n%s", published)
		}
		return err
	})
	check := run("check", "--json")
	check.wait(t)

	memory := memoryOf(t, agent.command.Process.Pid)
	if !bytes.Contains(memory, []byte("a name to look for")) {
		t.Error("the agent's memory lacks the name of a port that it serves: the search is wrong")
	}
	if bytes.Contains(memory, []byte(secretOfTheZoo)) {
		t.Error("a secret is in the agent's memory")
	}
	for _, p := range []*program{setup, agent} {
		p.signal(syscall.SIGABRT)
		p.wait(t)
	}
	if status := setup.command.ProcessState.Sys().(syscall.WaitStatus); status.CoreDump() {
		t.Error("setup has dumped core, with the secrets that it has read")
	}
	// The agent may, so that the above is not due to the machine.
	if status := agent.command.ProcessState.Sys().(syscall.WaitStatus); !status.CoreDump() {
		t.Error("the agent has not dumped core")
	}
	for name, text := range map[string]string{
		"setup": setup.stdout.String() + setup.stderr.String(), "the agent": agent.stdout.String() + agent.stderr.String(),
		"check": check.stdout.String() + check.stderr.String(),
	} {
		if strings.Contains(text, secretOfTheZoo) {
			t.Errorf("%s shows a secret:\n%s", name, text)
		}
	}
	expectNoSecretBelow(t, root)
}

// settle copies the zoo to the usual places below root and returns how many files
// it has.
func settle(t *testing.T, root string) (files int) {
	t.Helper()
	fixed := map[string]string{
		"outline/services.yml": "etc/outline-ss-server/config.yml", "outline/shadowbox_config.json": "opt/outline/persisted-state/shadowbox_config.json",
	}
	err := filepath.WalkDir(zoo, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "expect.golden" {
			return err
		}
		name, _ := filepath.Rel(zoo, path)
		place := fixed[name]
		switch extension := filepath.Ext(name); {
		case place != "":
		case extension == ".json" || extension == ".json5":
			place = "etc/shadowsocks/" + strings.ReplaceAll(name, "/", "-")
		case extension == ".db":
			place = "etc/x-ui/x-ui.db"
		case extension == ".conf":
			place = "root/.shadowsocks/.shadowsocks_" + entry.Name()
		default: // as the settings name files
			place = "etc/shadowsocks/" + strings.ReplaceAll(name, "/", "-") + ".json"
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(place)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(root, place), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// memoryOf returns the memory of a process that it can write to: what it has read
// is nowhere else.
func memoryOf(t *testing.T, pid int) []byte {
	t.Helper()
	maps := testkit.ReadFile(t, fmt.Sprintf("/proc/%d/maps", pid))
	file, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var memory bytes.Buffer
	for line := range strings.Lines(maps) {
		var first, last uint64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &first, &last, &mode); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.HasPrefix(mode, "rw") {
			_, _ = io.Copy(&memory, io.NewSectionReader(file, int64(first), int64(last-first))) //nolint:gosec // some is not backed
		}
	}
	return memory.Bytes()
}

// expectNoSecretBelow checks every file below root but the configurations, core
// dumps included.
func expectNoSecretBelow(t *testing.T, root string) {
	t.Helper()
	var cores int
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(root, path)
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (name == "etc/ssmonitor" || name == "etc"):
			return nil
		case entry.IsDir() && (strings.HasPrefix(name, "etc/") || name == "opt" || name == "root"):
			return fs.SkipDir
		case !entry.Type().IsRegular() || name == "ssmonitor":
			return nil
		}
		if strings.HasPrefix(name, "core") {
			cores++
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer func() { _ = file.Close() }()
		return expectNoSecretIn(t, name, file)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d core dumps were looked into", cores)
}

func expectNoSecretIn(t *testing.T, name string, content io.Reader) error {
	t.Helper()
	reader := bufio.NewReaderSize(content, 1<<20)
	for {
		block, err := reader.Peek(1 << 20)
		if bytes.Contains(block, []byte(secretOfTheZoo)) {
			t.Errorf("a secret is in %s", name)
			return nil
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the file
		}
		if _, err := reader.Discard(len(block) - len(secretOfTheZoo)); err != nil {
			return err
		}
	}
}
