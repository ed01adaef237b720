package shadowsocks_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks"
)

// addZoo adds the files of the zoo with the extensions as seeds.
func addZoo(f *testing.F, extensions ...string) {
	f.Helper()
	for _, paths := range zooFiles(f) {
		for _, path := range paths {
			content, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			for _, extension := range extensions {
				if filepath.Ext(path) == extension && len(content) < 64<<10 {
					f.Add(content)
				}
			}
		}
	}
}

// checkConfig checks what holds for every input: valid ports or else an error,
// and no password in either. Of the marker's letters, a mistaken port may show
// none.
func checkConfig(t *testing.T, config shadowsocks.Config, err error) {
	t.Helper()
	if err != nil {
		if strings.Contains(err.Error(), marker) {
			t.Fatalf("an error shows a password: %v", err)
		}
		return
	}
	if config.Form == nil || len(config.Ports) == 0 {
		t.Fatalf("neither ports nor an error: %+v", config)
	}
	for _, port := range config.Ports {
		if port.Number == 0 || port.Protocols == 0 || port.Protocols > accounting.TCPAndUDP || accounting.CleanName(port.Name) != port.Name {
			t.Fatalf("not a valid port: %+v", port)
		}
	}
}

func FuzzJSON5(f *testing.F) {
	addZoo(f, ".json", ".json5", ".conf")
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := parse(t, directory, string(data), shadowsocks.Options{Host: testHost})
		checkConfig(t, config, err)
	})
}

func FuzzYAML(f *testing.F) {
	addZoo(f, ".yml", ".yaml")
	directory := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := parse(t, directory, "---\n"+string(data), shadowsocks.Options{Host: testHost, AnyProtocol: true})
		checkConfig(t, config, err)
	})
}

func FuzzDatabase(f *testing.F) {
	addZoo(f, ".db")
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "x-ui.db")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		config, err := shadowsocks.Read(path, shadowsocks.Options{Host: testHost})
		checkConfig(t, config, err)
	})
}
