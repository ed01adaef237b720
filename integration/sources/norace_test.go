//go:build !race

package sources_test

const raceFactor = 1
