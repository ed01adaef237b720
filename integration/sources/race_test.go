//go:build race

package sources_test

// raceFactor is how much more time the race detector takes.
const raceFactor = 10
