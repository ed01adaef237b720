package shadowsocks

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxEntries is the most entries of a directory that are looked at, whatever they
// are.
const maxEntries = 1 << 18

// ErrTooMany means that a directory has too many files to be listed.
var ErrTooMany = errors.New("too many files")

// ListDirectory returns the paths of the configurations in a directory, sorted by
// name: *.json, *.json5, *.jsonc, *.yaml, *.yml, *.toml, the databases of panels by
// their usual names, and the .shadowsocks_PORT.conf that ss-manager writes for each of
// its ports. It omits subdirectories, other hidden files, and copies such as
// config.bak.json. With more than limit of them, it fails with ErrTooMany.
func ListDirectory(directory string, limit int) ([]string, error) {
	paths, err := list(directory, limit, isConfigName)
	if err != nil {
		return nil, fmt.Errorf("reading Shadowsocks configurations: %w", err)
	}
	return withoutSuperseded(paths), nil
}

// list returns the paths of the files whose names match, sorted. It reads the
// directory in parts, since anybody may have filled it who may write there.
func list(directory string, limit int, matches func(name string) bool) (paths []string, err error) {
	const part = 1024
	open, err := os.OpenFile(directory, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer open.Close() //nolint:errcheck // nothing was written
	for seen := 0; ; {
		entries, err := open.ReadDir(part)
		for _, entry := range entries {
			if !entry.IsDir() && matches(entry.Name()) {
				paths = append(paths, filepath.Join(directory, entry.Name()))
			}
		}
		seen += len(entries)
		switch {
		case seen > maxEntries:
			return nil, fmt.Errorf("%s: %w: want a directory of at most %d entries", directory, ErrTooMany, maxEntries)
		case len(paths) > limit:
			return nil, fmt.Errorf("%s: %w: want at most %d, with those of the directories before", directory, ErrTooMany, limit)
		case errors.Is(err, io.EOF):
			slices.Sort(paths)
			return paths, nil
		case err != nil:
			return nil, err
		}
	}
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

func isConfigName(name string) bool {
	if strings.HasPrefix(name, ".") {
		return Managed(name)
	}
	return slices.Contains(inAny, filepath.Ext(name)) && !isCopy(name) || slices.ContainsFunc(usualPlaces[:], func(place usualPlace) bool {
		return IsDatabase(name) && filepath.Base(place.path) == name
	})
}

// isCopy reports whether a file is a backup or an example by the last word of its name,
// as config.bak.json, config_old2.json or config-backup-20260501.json are. A name that is
// nothing but that word may be a client's.
func isCopy(name string) bool {
	const separators = "._- ()"
	stem := strings.TrimRight(strings.TrimSuffix(name, filepath.Ext(name)), separators+"0123456789~")
	at := strings.LastIndexAny(stem, separators)
	return at > 0 && slices.Contains(copyWords, strings.ToLower(stem[at+1:]))
}

var copyWords = []string{"bak", "backup", "old", "orig", "original", "save", "saved", "rpmsave", "rpmnew", "dist", "copy", "sample", "example"}
