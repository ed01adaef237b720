package agent

// confine leaves to this process only what the agent does from now on. On a kernel
// that can't do this, counting goes on all the same.
func (a *agent) confine() {
	if a.Confine == nil {
		return
	}
	if err := a.Confine(); err != nil {
		a.Log.Warn("the agent keeps the power over routes and interfaces, which it doesn't need", "error", err)
	}
}
