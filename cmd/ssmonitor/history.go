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

	"ssmonitor/accounting"
	"ssmonitor/accounting/store"
	"ssmonitor/accounting/usage"
	"ssmonitor/internal/failure"
	"ssmonitor/internal/settings"
	"ssmonitor/nft"
	"ssmonitor/output/api"
)

// latestUsage asks the agent on a socket for what it has read and not saved yet.
type latestUsage struct {
	socket, state string
	err           error // why that is missing, although an agent runs
}

// agentPatience is how long the agent may need to read the counters.
const agentPatience = 5 * time.Second

// unsaved returns nothing if no agent runs, if it is of an older version, and if it keeps
// its totals in another directory.
func (l *latestUsage) unsaved(ctx context.Context) accounting.Unsaved {
	if l.socket == "" {
		return accounting.Unsaved{}
	}
	ctx, cancel := context.WithTimeout(ctx, agentPatience)
	defer cancel()
	answer, err := api.NewClient(l.socket).Unsaved(ctx)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, context.DeadlineExceeded):
		l.err = err
	case err == nil && answer.Ledger != "" && answer.Ledger == store.Identity(l.state):
		return answer.Unsaved
	}
	return accounting.Unsaved{}
}

// historyError adds the remedy to an error from reading or changing the usage in a
// state directory.
func historyError(err error, directory string) error {
	switch {
	case errors.As(err, new(*usage.RequestError)), errors.As(err, new(*store.UnknownClientError)), errors.Is(err, store.ErrNothingToForget):
		return failure.Wrong(err)
	case errors.As(err, new(*nft.OpError)), errors.As(err, new(*failure.RemediedError)), os.Geteuid() == 0:
		return err
	case errors.Is(err, fs.ErrPermission):
		return failure.Remedied(fmt.Errorf("%w: run it as root%s", err, readerRemedy(directory, user.LookupGroup, os.Getgroups)))
	}
	return err
}

// readerRemedy returns what else than to be root lets the user read the usage: to join the
// group, and to open a directory to it that an agent without the unit has made.
func readerRemedy(directory string, lookup func(string) (*user.Group, error), memberOf func() ([]int, error)) string {
	join := "join the group " + settings.Group + " (usermod --append --groups " + settings.Group + " USER)"
	group, err := lookup(settings.Group)
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
				directory, settings.Group, mode, owned, settings.Group, directory, directory))
		}
	}
	if len(steps) == 0 {
		return ""
	}
	return ", or, to read, " + strings.Join(steps, " and ")
}
