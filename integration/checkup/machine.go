package checkup

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Machine is the file system and the users that are looked at.
type Machine struct {
	Root string // the directory that paths begin at, / outside of tests
	Now  time.Time
	// Account and Group look up a name; for errors.As their errors are
	// user.UnknownUserError and user.UnknownGroupError where there is none.
	Account func(name string) (Account, error)
	Group   func(name string) (uint32, error)
}

// Account is a user as the kernel knows one.
type Account struct {
	ID     uint32
	Groups []uint32
}

// ThisMachine is the machine that the program runs on.
func ThisMachine() *Machine {
	return &Machine{Root: "/", Now: time.Now(), Account: lookupAccount, Group: lookupGroup}
}

func lookupAccount(name string) (Account, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return Account{}, err
	}
	numbers, err := found.GroupIds()
	if err != nil {
		return Account{}, err
	}
	var account Account
	if account.ID, err = parseID(found.Uid); err != nil {
		return Account{}, err
	}
	for _, number := range numbers {
		group, err := parseID(number)
		if err != nil {
			return Account{}, err
		}
		account.Groups = append(account.Groups, group)
	}
	return account, nil
}

func lookupGroup(name string) (uint32, error) {
	found, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return parseID(found.Gid)
}

func parseID(text string) (uint32, error) {
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("user or group number %q: %w", text, err)
	}
	return uint32(id), nil
}

func (m *Machine) path(path string) string { return filepath.Join(m.Root, path) }

func (m *Machine) exists(path string) bool {
	_, err := os.Stat(m.path(path))
	return err == nil
}

// glob returns the paths that match, without the root. A directory that may not
// be listed matches nothing.
func (m *Machine) glob(pattern string) (paths []string) {
	names, err := fs.Glob(os.DirFS(m.Root), pattern[1:])
	if err != nil { // the pattern is malformed
		return nil
	}
	for _, name := range names {
		paths = append(paths, "/"+name)
	}
	return paths
}

// enters tells whether the account may pass through a directory, as path
// resolution of path_resolution(7) decides without capabilities.
func (a Account) enters(directory fs.FileInfo) bool {
	owner, ok := directory.Sys().(*syscall.Stat_t)
	execute := fs.FileMode(0o001)
	switch {
	case ok && owner.Uid == a.ID:
		execute = 0o100
	case ok && slices.Contains(a.Groups, owner.Gid):
		execute = 0o010
	}
	return directory.Mode()&execute != 0
}
