package checkup

import (
	"os"
	"syscall"
	"time"
)

// settlingTime is how long the agent may take for what it does once per interval: one
// interval until it begins, and what it does then.
func (c *checker) settlingTime() time.Duration { return 2 * c.interval() }

// settling reports whether a file was changed so recently that the agent may not have
// applied it yet. An editor may put an old file there, which shows in the time of the
// change of its inode only.
func (c *checker) settling(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	return ok && c.Machine.Now.Sub(time.Unix(status.Ctim.Unix())) < c.settlingTime()
}

// portsAreSettling reports whether the agent may not have applied the sources of ports yet.
func (c *checker) portsAreSettling() bool {
	return c.settling(c.Settings.List) || c.settling(c.Settings.Clients)
}

// agentIsNew reports whether the agent has been started so recently that it may not have
// written all of its outputs yet.
func (c *checker) agentIsNew() bool {
	if report := c.agent.Report; report != nil && report.Interval == 0 {
		return true
	}
	return c.agent.Holder != nil && c.Machine.Now.Sub(c.agent.Holder.Since) < c.settlingTime()
}
