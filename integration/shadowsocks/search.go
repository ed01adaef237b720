package shadowsocks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

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
	"etc/default/x-ui", // where 3x-ui says that it has its database elsewhere
	"etc/conf.d/x-ui",
	"etc/sysconfig/x-ui",
	"usr/local/s-ui/db/s-ui.db",
	"var/lib/marzban/xray_config.json",
	"etc/gost/gost.yml",
	"etc/gost/gost.json",
	"etc/mihomo/config.yaml",
}

// UsualPlaces returns the patterns, as of package filepath, of the files that
// [Search] finds.
func UsualPlaces() []string {
	places := make([]string, len(usualPlaces))
	for i, pattern := range usualPlaces {
		places[i] = "/" + pattern
	}
	return places
}

// Search returns the files in the usual places below root, which is / outside of
// tests. It does not list a directory with more files than are left of most, and
// returns it with the reason, as it does with any other that can't be looked into.
func Search(root string, most int) (paths []string, unlisted []Skipped) {
	for _, place := range usualPlaces {
		path := filepath.Join(root, place)
		if !hasWildcard(place) {
			if _, err := os.Stat(path); err == nil {
				paths = append(paths, path)
			} else if !errors.Is(err, fs.ErrNotExist) {
				unlisted = append(unlisted, Skipped{filepath.Dir(path), err})
			}
			continue
		}
		directory, pattern := filepath.Split(path)
		found, err := list(filepath.Clean(directory), most-len(paths), func(name string) bool {
			matched, _ := filepath.Match(pattern, name) // fails only for a malformed pattern
			return matched
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			unlisted = append(unlisted, Skipped{filepath.Clean(directory), err})
		}
		paths = append(paths, found...)
	}
	return withoutSuperseded(paths), unlisted
}

// SearchPlaces returns the paths on which the result of [Search] depends: the
// directories, and the files that have a fixed name.
func SearchPlaces(root string) []string {
	paths := make([]string, len(usualPlaces))
	for i, place := range usualPlaces {
		if hasWildcard(place) {
			place = filepath.Dir(place)
		}
		paths[i] = filepath.Join(root, place)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func hasWildcard(place string) bool { return strings.Contains(filepath.Base(place), "*") }
