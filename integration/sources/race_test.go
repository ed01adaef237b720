//go:build race

package sources_test

// raceFactor is how much more memory and time the race detector takes.
const raceFactor = 10
