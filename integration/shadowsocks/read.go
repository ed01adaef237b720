package shadowsocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ssmonitor/integration/configfile"
)

// maxSize is far above any configuration: libev stops at 128 KiB.
const maxSize = 4 << 20

// Read reads the configuration in the file at path. In addition to the errors
// of [Parse] it returns those of the operating system, such as fs.ErrNotExist,
// and those of package configfile for anything but a regular file of bounded
// size. All of them name the file.
func Read(path string, options Options) (Config, error) {
	config, err := readFile(path, options)
	if err == nil && config.Form == FormShadowsocksR && filepath.Base(path) == userConfig {
		config, err = readClients(path, config, options)
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading a Shadowsocks configuration: %w", err)
	}
	config.Path = path
	return config, nil
}

func readFile(path string, options Options) (Config, error) {
	if options.Progress != nil {
		options.Progress()
	}
	if IsDatabase(path) {
		return readDatabase(path, options)
	}
	data, err := configfile.Read(path, maxSize)
	if err != nil {
		return Config{}, err
	}
	config, err := Parse(data, options)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

// readClients adds what mudb.json beside the configuration says, if it is there.
func readClients(path string, config Config, options Options) (Config, error) {
	clients, err := readFile(filepath.Join(filepath.Dir(path), multiUser), options)
	if errors.Is(err, fs.ErrNotExist) {
		return config, nil
	}
	if len(config.additional) > 0 && errors.Is(err, ErrNoPorts) {
		err = nil
	}
	if err != nil {
		return Config{}, err
	}
	return config.withClients(clients), nil
}

// ListDirectory returns the paths of the files that [ReadDirectory] reads,
// sorted by name: *.json, *.json5, *.yaml, *.yml, x-ui.db, and the
// .shadowsocks_PORT.conf that ss-manager writes for each of its ports. It omits
// subdirectories and other hidden files.
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
	return withoutSuperseded(paths), nil
}

// withoutSuperseded omits the files that ShadowsocksR's user-config.json replaces,
// and those that are read together with it.
func withoutSuperseded(paths []string) []string {
	return slices.DeleteFunc(paths, func(path string) bool {
		name := filepath.Base(path)
		return (name == multiUser || name == "config.json") &&
			slices.Contains(paths, filepath.Join(filepath.Dir(path), userConfig))
	})
}

// Skipped is a file among several that gave no ports, and why.
type Skipped struct {
	Path string
	Err  error
}

// ReadDirectory reads the configurations in a directory, those that
// [ListDirectory] finds and that are not [Stopped]. It skips those of clients and
// those without ports. Any other file that can't be read is an error.
func ReadDirectory(directory string, options Options) (configs []Config, skipped []Skipped, err error) {
	paths, err := ListDirectory(directory)
	if err != nil {
		return nil, nil, err
	}
	configs, skipped = readAll(paths, options)
	for _, file := range skipped {
		if !errors.Is(file.Err, ErrClient) && !errors.Is(file.Err, ErrNoPorts) && !errors.Is(file.Err, fs.ErrNotExist) {
			return nil, skipped, file.Err
		}
	}
	return configs, skipped, nil
}

func readAll(paths []string, options Options) (configs []Config, skipped []Skipped) {
	for _, path := range paths {
		if Stopped(path) {
			continue
		}
		config, err := Read(path, options)
		switch {
		case err == nil:
			configs = append(configs, config)
		case errors.Is(err, fs.ErrNotExist) && !isLink(path):
			// It was removed after it was listed, as ss-manager does.
		default:
			skipped = append(skipped, Skipped{path, err})
		}
	}
	return configs, skipped
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// Harmless reports whether the file certainly names no port of a server. A
// file that can't be read may name some, and one with the address of another
// host may be a server's before the network is up.
func (s Skipped) Harmless() bool {
	if client, ok := errors.AsType[*ClientError](s.Err); ok {
		return !client.ByAddress
	}
	return errors.Is(s.Err, ErrNoPorts)
}

func isConfigName(name string) bool {
	if strings.HasPrefix(name, ".") {
		return isManaged(name)
	}
	switch filepath.Ext(name) {
	case ".json", ".json5", ".yaml", ".yml":
		return true
	}
	return name == "x-ui.db"
}

// IsDatabase reports whether the file at path is read as a database, by its name.
func IsDatabase(path string) bool { return filepath.Ext(path) == databaseSuffix }

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
	"opt/outline/persisted-state/shadowbox_config.json",
	"etc/outline-ss-server/config.yml",
	"etc/sing-box/*.json",
	"etc/xray/*.json",
	"usr/local/etc/xray/*.json",
	"etc/v2ray/*.json",
	"usr/local/etc/v2ray/*.json",
	"etc/x-ui/x-ui.db",
	"var/lib/marzban/xray_config.json",
	"etc/gost/gost.yml",
	"etc/gost/gost.json",
	"etc/mihomo/config.yaml",
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
// outside of tests. It skips every file that gives no ports, for whatever
// reason: what lies in these places need not be meant for ssmonitor.
func Search(root string, options Options) (configs []Config, skipped []Skipped) {
	return readAll(withoutSuperseded(searchFiles(root)), options)
}

// SearchPaths returns the paths on which the result of [Search] depends: the
// files that it finds now, those that are read with them, and the files and
// directories that may be created.
func SearchPaths(root string) []string {
	paths := searchFiles(root)
	for _, path := range paths {
		paths = append(paths, Companions(path)...)
	}
	for _, pattern := range usualPlaces {
		if strings.Contains(filepath.Base(pattern), "*") {
			pattern = filepath.Dir(pattern)
		}
		paths = append(paths, filepath.Join(root, pattern))
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// searchFiles returns the files in the usual places below root.
func searchFiles(root string) []string {
	var paths []string
	tree := os.DirFS(root)
	for _, pattern := range usualPlaces {
		names, _ := fs.Glob(tree, pattern) // fails only for a malformed pattern
		for _, name := range names {
			paths = append(paths, filepath.Join(root, name))
		}
	}
	return paths
}
