package nft

import "ssmonitor/accounting"

// How much one transaction holds: a table of all ports is installed in several.
const (
	// maxAdditions bounds the keys that a transaction adds: the kernel takes several
	// times bytesPerKey of memory for each.
	maxAdditions = 40_000
	// maxRemovals bounds the items that a transaction removes: a refusal undoes all of
	// it, and the transactions before it stay done.
	maxRemovals = 4000
	// bytesPerKey is the most that a counter and its element take: 76 and little more
	// than 40 bytes. The buffer grows once for both, since it reaches megabytes.
	bytesPerKey = 120
	// structureLength is more than a transaction takes besides its keys: for the table,
	// its maps, chains and rules.
	structureLength = 16 << 10
	// elementsPerMessage keeps a list of elements within the 64 KiB that the length
	// of a nested attribute can express; one element takes at most 56 bytes.
	elementsPerMessage = 1000
)

// additionsThatFit returns how many keys a transaction can add, maxAdditions at most: as
// many as fit into the socket.
func (c *conn) additionsThatFit() (int, error) {
	const most = structureLength + maxAdditions*bytesPerKey
	if fits, err := c.makeRoom(most); err != nil || fits {
		return maxAdditions, err
	}
	return max((c.room-structureLength)/bytesPerKey, 1), nil
}

// additionsWithTargets returns how many keys a transaction can add together with the
// elements of their targets. Each of these takes no more than a key.
func (t *Table) additionsWithTargets() int {
	var targets accounting.KeyMap[int] // of a key
	most := 0
	for _, f := range t.layout.targets {
		count := targets.At(f.counter())
		*count++
		most = max(most, *count)
	}
	return max(t.additions/(1+most), 1)
}
