package main

import (
	"context"

	"ssmonitor/internal/confine"
)

// confinement is the key of a context's function that confines this process.
type confinement struct{}

// confined returns a context in which the agent confines its process, for good. A
// test that runs the agent in its own process has none.
func confined(ctx context.Context) context.Context { return confinedBy(ctx, confine.Enter) }

func confinedBy(ctx context.Context, enter func() error) context.Context {
	return context.WithValue(ctx, confinement{}, enter)
}

// confine leaves to this process only what the agent does from now on. On a kernel
// that can't do this, counting goes on all the same.
func (a *agent) confine(ctx context.Context) {
	enter, ok := ctx.Value(confinement{}).(func() error)
	if !ok {
		return
	}
	if err := enter(); err != nil {
		a.log.Warn("the agent keeps the power over routes and interfaces, which it doesn't need", "error", err)
	}
}
