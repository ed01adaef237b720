package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/nft"
)

// history is the recorded usage as the commands need it.
type history interface {
	usage.Source
	// NewClient gives a port to another client from now on. What was counted so far
	// belongs to the previous client.
	NewClient(ctx context.Context, t transfer) (later bool, err error)
}

// openHistory opens the recorded usage in a state directory.
type openHistory func(directory string) history

// savedHistory is the recorded usage in a state directory. Each call opens and
// closes the database, so that an idle reader delays no save.
type savedHistory struct{ directory string }

func openSavedHistory(directory string) history { return savedHistory{directory} }

func (h savedHistory) Usage(_ context.Context, query usage.Query) (*usage.Records, error) {
	return store.Usage(h.directory, query)
}

func (h savedHistory) Clients(context.Context) ([]usage.Client, error) {
	return store.Clients(h.directory)
}

// The processes that hold a state directory, as others see them.
const (
	runHolder    = "run"
	clientHolder = "client"
)

// commandStore returns the options for a command that has the state for a moment: it
// leaves it to the agent, which knows the settings, to delete old usage.
func commandStore(holder string) store.Options {
	const forEver = 100 * 366 * 24 * time.Hour
	return store.Options{Holder: holder, KeepHours: forEver, KeepDays: forEver}
}

// historyError adds the remedy to an error from reading or changing the usage in a
// state directory.
func historyError(err error, directory string) error {
	switch {
	case errors.As(err, new(*usage.RequestError)), errors.As(err, new(*store.UnknownClientError)):
		return wrongUsage(err)
	case errors.As(err, new(*nft.OpError)), errors.As(err, new(*ownRemedy)), os.Geteuid() == 0:
		return err
	case errors.Is(err, fs.ErrPermission):
		return &ownRemedy{fmt.Errorf("%w: run it as root%s", err, readerRemedy(directory, user.LookupGroup, os.Getgroups))}
	}
	return err
}

// readerRemedy returns what else than to be root lets the user read the usage: to join the
// group, and to open a directory to it that an agent without the unit has made.
func readerRemedy(directory string, lookup func(string) (*user.Group, error), memberOf func() ([]int, error)) string {
	join := "join the group " + socketGroup + " (usermod --append --groups " + socketGroup + " USER)"
	group, err := lookup(socketGroup)
	if err != nil {
		return ", or, to read, " + join
	}
	var steps []string
	groups, _ := memberOf()
	if !slices.ContainsFunc(groups, func(id int) bool { return strconv.Itoa(id) == group.Gid }) {
		steps = append(steps, join)
	}
	if info, err := os.Stat(directory); err == nil {
		stat, known := info.Sys().(*syscall.Stat_t)
		others := known && strconv.FormatUint(uint64(stat.Gid), 10) != group.Gid
		if mode := info.Mode().Perm(); others || mode&0o050 != 0o050 {
			owned := ""
			if others {
				owned = fmt.Sprintf(" and the group %d", stat.Gid)
			}
			steps = append(steps, fmt.Sprintf("open %s to the group %s: it has the mode %04o%s (chgrp -R %s %s; chmod g+rx %s)",
				directory, socketGroup, mode, owned, socketGroup, directory, directory))
		}
	}
	if len(steps) == 0 {
		return ""
	}
	return ", or, to read, " + strings.Join(steps, " and ")
}
