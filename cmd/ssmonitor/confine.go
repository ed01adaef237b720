package main

import (
	"context"

	"ssmonitor/internal/confine"
)

// confinementKey is the key of a context's function that confines this process.
type confinementKey struct{}

// confined returns a context in which the agent confines its process, for good. A
// test that runs the agent in its own process has none.
func confined(ctx context.Context) context.Context { return confinedBy(ctx, confine.Enter) }

func confinedBy(ctx context.Context, enter func() error) context.Context {
	return context.WithValue(ctx, confinementKey{}, enter)
}

// confinement returns the function that confines this process, or nil.
func confinement(ctx context.Context) func() error {
	enter, _ := ctx.Value(confinementKey{}).(func() error)
	return enter
}
