package shadowsocks_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ssmonitor/accounting"
	"ssmonitor/integration/shadowsocks"
)

// marker is the password in the seeds, of letters that no error has in its own
// words, so that not even a piece of it can be in one unnoticed.
const marker = "QZQZQ"

// shown counts the marker's letters in an error.
func shown(err error) int {
	return strings.Count(err.Error(), "Q") + strings.Count(err.Error(), "Z")
}

// fuzzParse checks what holds for every input of Parse: no panic, valid ports
// or else an error, and no password in it.
func fuzzParse(f *testing.F, files, broken string, more ...string) {
	paths, err := filepath.Glob(filepath.Join("testdata", "configs", files))
	if err != nil || len(paths) == 0 {
		f.Fatalf("no seeds in %s: %v", files, err)
	}
	seeds := append(more, broken)
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, string(content))
	}
	for _, seed := range seeds {
		f.Add([]byte(strings.ReplaceAll(seed, "SECRET", marker)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		config, err := shadowsocks.Parse(data, hostAddresses)
		if err != nil {
			// One is allowed: a mistaken port such as 80Z is shown.
			if shown(err) > 1 {
				t.Fatalf("an error shows a password: %v", err)
			}
			return
		}
		if config.Form == "" || len(config.Ports) == 0 {
			t.Fatalf("neither ports nor an error: %+v", config)
		}
		for _, port := range config.Ports {
			if port.Number == 0 || port.Protocols == 0 || port.Protocols > accounting.TCPAndUDP {
				t.Fatalf("no valid port: %+v", port)
			}
		}
		ports, _ := accounting.Union(config.Ports)
		for i, port := range ports[1:] {
			if port.Number <= ports[i].Number {
				t.Fatalf("port %d follows port %d", port.Number, ports[i].Number)
			}
		}
	})
}

func FuzzLibev(f *testing.F) {
	fuzzParse(f, "*libev-*", `{"server": ["[::]:SECRET"], "server_port": "SECRET"}`)
}

func FuzzManager(f *testing.F) {
	fuzzParse(f, "manager*", `{"port_password": {"SECRET": "8391", 8391: SECRET}}`)
}

func FuzzPython(f *testing.F) {
	fuzzParse(f, "python-*", `{"server_port": ["1SECRET", null, [2]]}`, `{"port_password": "SECRET"}`)
}

func FuzzShadowsocksR(f *testing.F) {
	fuzzParse(f, "shadowsocksr*", `{"obfs": "plain", "port_password": {"1": ["SECRET"}}`)
}

func FuzzRust(f *testing.F) {
	fuzzParse(f, "*rust-*", `{servers: [{port: 'SECRET', disabled: "SECRET"}, SECRET]} // SECRET`)
}
