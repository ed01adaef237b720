// Command setup loads the sources in the usual places below a directory, as ssmonitor
// setup does, writes the list of ports beside them, and prints the most memory that
// the process has had, in kB. It is built without the race detector, which would
// multiply that.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"ssmonitor/integration/portlist"
	"ssmonitor/integration/shadowsocks"
	"ssmonitor/integration/sources"
)

func main() {
	root := os.Args[1]
	result, err := sources.Follow(sources.Sources{
		SearchRoot: root,
		Host:       func() (shadowsocks.LocalHost, error) { return shadowsocks.LocalHost{}, nil },
	}).Load()
	if err != nil {
		log.Fatal(err)
	}
	if err := portlist.Write(filepath.Join(root, "ports"), result.Entries); err != nil {
		log.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		log.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "kB")
	fmt.Println(strings.TrimSpace(peak))
}
