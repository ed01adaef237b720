package checkup

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"ssmonitor/accounting"
	"ssmonitor/internal/publishing"
	"ssmonitor/internal/sockdiag"
	"ssmonitor/internal/unit"
	"ssmonitor/nft"
)

// Machine is what a check looks at besides the table of counters and the agent.
type Machine struct {
	Root string // the directory that paths begin at, / outside of tests
	Now  time.Time
	UID  int // of the calling user
	// LookupUser and LookupGroup look up a name. For errors.As, their errors are
	// user.UnknownUserError and user.UnknownGroupError if there is no such name.
	LookupUser  func(name string) (User, error)
	LookupGroup func(name string) (*user.Group, error)
	// Listeners returns the sockets at which programs listen; nil: not checked.
	Listeners func(accounting.Protocols) ([]sockdiag.ListeningSocket, error)
	// Observe reads the rules of others.
	Observe func(nft.Hook, []accounting.Target) (*publishing.Scene, error)
	// Service asks systemd for the state of a service; nil: it is not asked.
	Service func(ctx context.Context, name string) (*unit.Service, error)
}

// User is a user by the numbers that the kernel knows, as package user writes them.
type User struct {
	ID     string
	Groups []string
}

// ThisMachine returns the machine that the program runs on.
func ThisMachine() *Machine {
	return &Machine{
		Root: "/", Now: time.Now(), UID: os.Geteuid(),
		LookupUser: lookupUser, LookupGroup: user.LookupGroup, Listeners: sockdiag.ListeningSockets, Observe: publishing.Observe,
		Service: unit.ReadService,
	}
}

func lookupUser(name string) (User, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return User{}, err
	}
	groups, err := found.GroupIds()
	return User{found.Uid, groups}, err
}

func (m *Machine) path(path string) string {
	if !filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(m.Root, path)
}

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
	case ok && fmt.Sprint(owner.Uid) == u.ID:
		execute = 0o100
	case ok && slices.Contains(u.Groups, fmt.Sprint(owner.Gid)):
		execute = 0o010
	}
	return directory.Mode()&execute != 0
}
