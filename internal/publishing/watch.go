package publishing

import (
	"slices"

	"ssmonitor/accounting"
	"ssmonitor/internal/interfaces"
	"ssmonitor/nft"
	"ssmonitor/nft/survey"
)

// hostWatch observes again and again, and notices when the addresses of this host or its
// default routes have changed. What a rule is for depends on them, and no rule
// changes with them.
//
// The agent's seccomp filter refuses rtnetlink, which would report each change, from
// its start on. It is used once, for the uplinks that /proc does not show: those
// of other routing tables, and those of the later hops of a route. They are kept.
type hostWatch struct {
	host   survey.Host // at the last observation
	hidden []string    // uplinks that only rtnetlink shows
	begun  bool
}

// observe is [Observe] for repeated calls.
func (w *hostWatch) observe(hook nft.Hook, installed []accounting.Target) (*Scene, error) {
	host, err := w.thisHost()
	if err != nil {
		return nil, err
	}
	if !w.begun {
		all, _ := interfaces.UplinksOfAllTables() // where it is refused, /proc has to be enough
		w.hidden = slices.DeleteFunc(all, func(name string) bool { return slices.Contains(host.Uplinks, name) })
		host.Uplinks = append(host.Uplinks, w.hidden...)
		w.begun = true
	}
	w.host = host
	return newScene(hook, host, installed)
}

// changed reports whether addresses or default routes differ from those at the last
// observation. It takes a fraction of a millisecond, unless the host has thousands of
// routes. Before the first observation it reports false.
func (w *hostWatch) changed() bool {
	if !w.begun {
		return false
	}
	host, err := w.thisHost()
	return err != nil || !slices.Equal(host.Addresses, w.host.Addresses) || !slices.Equal(host.Uplinks, w.host.Uplinks)
}

// thisHost returns the addresses of this host and the interfaces by which it
// reaches the rest of the world.
func (w *hostWatch) thisHost() (survey.Host, error) {
	addresses, err := interfaces.Addresses()
	if err != nil {
		return survey.Host{}, err
	}
	uplinks, err := interfaces.Uplinks()
	if err != nil {
		return survey.Host{}, err
	}
	return survey.Host{Addresses: addresses, Uplinks: slices.Concat(uplinks, w.hidden)}, nil
}
