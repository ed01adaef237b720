package checkup

import (
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"
)

// Machine is the file system and the users to check.
type Machine struct {
	Root string // the directory that paths begin at, / outside of tests
	Now  time.Time
	UID  int // of the calling user
	// User and Group look up a name. For errors.As, their errors are
	// user.UnknownUserError and user.UnknownGroupError if there is no such name.
	User  func(name string) (User, error)
	Group func(name string) (gid uint32, err error)
}

// User is a user as the kernel knows one.
type User struct {
	ID     uint32
	Groups []uint32
}

// ThisMachine returns the machine that the program runs on.
func ThisMachine() *Machine {
	return &Machine{Root: "/", Now: time.Now(), UID: os.Geteuid(), User: lookupUser, Group: lookupGroup}
}

func lookupUser(name string) (User, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, err
	}
	gids, err := found.GroupIds()
	if err != nil {
		return User{}, err
	}
	var account User
	if account.ID, err = parseID(found.Uid); err != nil {
		return User{}, err
	}
	for _, gid := range gids {
		group, err := parseID(gid)
		if err != nil {
			return User{}, err
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
		return 0, errors.New("the id of a user or group is not a number")
	}
	return uint32(id), nil
}

func (m *Machine) path(path string) string { return filepath.Join(m.Root, path) }

func (m *Machine) exists(path string) bool {
	_, err := os.Stat(m.path(path))
	return err == nil
}

// glob returns the matching paths, without the root. A directory that the user
// may not list matches nothing.
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

// enters reports whether the user may pass through a directory: the rule of
// path_resolution(7), without capabilities.
func (u User) enters(directory fs.FileInfo) bool {
	owner, ok := directory.Sys().(*syscall.Stat_t)
	execute := fs.FileMode(0o001)
	switch {
	case ok && owner.Uid == u.ID:
		execute = 0o100
	case ok && slices.Contains(u.Groups, owner.Gid):
		execute = 0o010
	}
	return directory.Mode()&execute != 0
}
