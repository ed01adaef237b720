package shadowsocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ssmonitor/internal/configfile"
)

// maxSize is far above any configuration: libev stops at 128 KiB.
const maxSize = 4 << 20

// Read reads the configuration in the file at path, in any form. It fails with ErrClient,
// ErrNoPorts, ErrFormat, a *SyntaxError or a *ValueError, with errors of the operating
// system, such as fs.ErrNotExist, and with those of package configfile for anything but a
// regular file of bounded size. All of them name the file.
func Read(path string, options Options) (Config, error) { return Part{Path: path}.Read(options) }

// Read is [Read] for a part.
func (p Part) Read(options Options) (Config, error) {
	config, err := p.read(options)
	if err == nil && config.Form == formShadowsocksR && filepath.Base(p.Path) == userConfig {
		config, err = readClients(p.Path, config, options)
	}
	if err != nil {
		return Config{}, fmt.Errorf("reading a Shadowsocks configuration: %w", err)
	}
	config.Path, config.additional = p.Path, nil
	return config, nil
}

// Size returns how many bytes [Read] takes into memory at most, with those of the
// companions. Of a database, which may be very large, that is little.
func Size(path string) (size int64) {
	if IsDatabase(path) {
		return 0
	}
	for _, part := range append(Companions(path), path) {
		if info, err := os.Stat(part); err == nil && info.Mode().IsRegular() && info.Size() <= maxSize {
			size += info.Size()
		}
	}
	return size
}

// IsDatabase reports whether the file at path is read as a database, by its name.
func IsDatabase(path string) bool { return filepath.Ext(path) == databaseSuffix }

func (p Part) read(options Options) (Config, error) {
	path := p.Path
	if options.Progress != nil {
		options.Progress()
	}
	if IsDatabase(path) {
		return readDatabase(path, options)
	}
	if filepath.Ext(path) == ".toml" {
		return Config{}, fmt.Errorf("%s: %w", path, ErrTOML)
	}
	if root, is := isPanelEnvironment(path); is {
		return readEnvironment(root, path)
	}
	contents := p.decoded
	if contents == nil {
		var err error
		if contents, err = decodeFile(path); err != nil {
			return Config{}, err
		}
	}
	config, err := contents.config(p, options)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", path, err)
	}
	return config, nil
}

func decodeFile(path string) (*decoded, error) {
	data, err := configfile.Read(path, maxSize)
	if err != nil {
		return nil, err
	}
	root, isYAML, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &decoded{root, isYAML}, nil
}

// readClients adds what mudb.json beside the configuration says, if it is there.
func readClients(path string, config Config, options Options) (Config, error) {
	clients, err := Part{Path: filepath.Join(filepath.Dir(path), multiUser)}.read(options)
	if errors.Is(err, fs.ErrNotExist) && len(config.additional) > 0 {
		return config.withPanel(), nil
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNoClients) && len(config.additional) == 0 {
		return config, nil // as it is installed, with an empty list: nobody has added a client
	}
	if len(config.additional) > 0 && errors.Is(err, ErrNoPorts) {
		err = nil
	}
	if err != nil {
		return Config{}, err
	}
	return config.withClients(clients), nil
}

// ReadListed is Read for a file of a list that was made before. It reports false for
// one that is [Stopped], and for one that was removed since, as ss-manager does.
func (p Part) ReadListed(options Options) (config Config, found bool, err error) {
	if Stopped(p.Path) {
		return Config{}, false, nil
	}
	config, err = p.Read(options)
	if errors.Is(err, errSilent) || errors.Is(err, fs.ErrNotExist) && !isLink(p.Path) {
		return Config{}, false, nil
	}
	return config, true, err
}

func isLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// Harmless reports whether a file with that error certainly names no port of a server. A
// file that can't be read may name some, and one with the address of another
// host may be a server's before the network is up.
func Harmless(err error) bool {
	if client, ok := errors.AsType[*ClientError](err); ok {
		return !client.ByAddress
	}
	return errors.Is(err, ErrNoPorts)
}
