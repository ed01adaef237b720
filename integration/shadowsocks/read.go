package shadowsocks

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"ssmonitor/integration/configfile"
)

// maxSize is far above any configuration: libev stops at 128 KiB.
const maxSize = 4 << 20

// Read reads the configuration in the file at path. On top of the errors of
// [Parse] it has those of the operating system, such as fs.ErrNotExist, and
// those of package configfile for anything but a regular file of bounded size.
// All name the file.
func Read(path string, hostAddresses []netip.Addr) (Config, error) {
	data, err := configfile.Read(path, maxSize)
	if err != nil {
		return Config{}, fmt.Errorf("reading a Shadowsocks configuration: %w", err)
	}
	config, err := Parse(data, hostAddresses)
	if err != nil {
		return Config{}, fmt.Errorf("reading a Shadowsocks configuration: %s: %w", path, err)
	}
	config.Path = path
	return config, nil
}

// ListDirectory returns the paths of the files that [ReadDirectory] reads, in
// the order of their names: *.json, *.json5, and the .shadowsocks_PORT.conf
// that ss-manager writes for each of its ports. Directories below are left out.
func ListDirectory(directory string) ([]string, error) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return nil, fmt.Errorf("reading Shadowsocks configurations: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if !entry.IsDir() && isConfigName(entry.Name()) {
			paths = append(paths, filepath.Join(directory, entry.Name()))
		}
	}
	return paths, nil
}

// ReadDirectory reads the configurations in a directory, those that
// [ListDirectory] finds. Those of clients and those without ports are skipped,
// each with a note that says so. Any other file that can't be read is an error,
// and so is a directory without any server's configuration, with ErrNoPorts.
func ReadDirectory(directory string, hostAddresses []netip.Addr) (configs []Config, notes []error, err error) {
	paths, err := ListDirectory(directory)
	if err != nil {
		return nil, nil, err
	}
	for _, path := range paths {
		config, err := Read(path, hostAddresses)
		switch {
		case err == nil:
			configs = append(configs, config)
		case harmless(err):
			notes = append(notes, err)
		default:
			return nil, notes, err
		}
	}
	if len(configs) == 0 {
		err = fmt.Errorf("reading Shadowsocks configurations: %s holds none of a server, in *.json, *.json5 or .shadowsocks_PORT.conf: %w",
			directory, ErrNoPorts)
	}
	return configs, notes, err
}

func isConfigName(name string) bool {
	if strings.HasPrefix(name, ".") {
		return strings.HasPrefix(name, ".shadowsocks_") && strings.HasSuffix(name, ".conf")
	}
	extension := filepath.Ext(name)
	return extension == ".json" || extension == ".json5"
}

// usualPlaces is where packages and the scripts in circulation put the
// configurations of servers. The directory /tmp/.shadowsocks, the last resort
// of ss-manager, is not among them: anybody can write there.
var usualPlaces = [...]string{
	"etc/shadowsocks.json",
	"etc/shadowsocks/*.json",
	"etc/shadowsocks/*.json5",
	"etc/shadowsocks-libev/*.json",
	"etc/shadowsocks-rust/*.json",
	"etc/shadowsocks-rust/*.json5",
	"etc/shadowsocks-python/*.json",
	"etc/shadowsocks-go/*.json",
	"etc/shadowsocks-r/*.json",
	"etc/shadowsocksr/*.json",
	"usr/local/shadowsocksr/user-config.json",
	"var/snap/shadowsocks-libev/common/etc/shadowsocks-libev/*.json",
	"var/snap/shadowsocks-rust/common/etc/shadowsocks-rust/*.json",
	"var/snap/shadowsocks-rust/common/*.json",
	"root/.shadowsocks/.shadowsocks_*.conf",
	"var/lib/shadowsocks-libev/.shadowsocks_*.conf",
}

// UsualPlaces returns the patterns, as of package filepath, of the files that
// [Search] reads.
func UsualPlaces() []string {
	places := make([]string, len(usualPlaces))
	for i, pattern := range usualPlaces {
		places[i] = "/" + pattern
	}
	return places
}

// Search reads the configurations in the usual places below root, which is /
// outside of tests. Those of clients and those without ports are skipped, each
// with a note that says so. Any other file that can't be read is an error,
// since the ports in it would be taken for gone; what could be read is returned
// all the same.
func Search(root string, hostAddresses []netip.Addr) (configs []Config, notes []error, err error) {
	var failures []error
	tree := os.DirFS(root)
	for _, pattern := range usualPlaces {
		// The only error of Glob is a malformed pattern.
		names, err := fs.Glob(tree, pattern)
		if err != nil {
			failures = append(failures, fmt.Errorf("searching %s: %w", pattern, err))
		}
		for _, name := range names {
			config, err := Read(filepath.Join(root, name), hostAddresses)
			switch {
			case err == nil:
				configs = append(configs, config)
			case harmless(err):
				notes = append(notes, err)
			default:
				failures = append(failures, err)
			}
		}
	}
	return configs, notes, errors.Join(failures...)
}

// harmless tells whether a file among several that was not read names no port
// of a server. A file can go after it was listed: ss-manager removes those of
// ports that it removes.
func harmless(err error) bool {
	return errors.Is(err, ErrClient) || errors.Is(err, ErrNoPorts) || errors.Is(err, fs.ErrNotExist)
}
