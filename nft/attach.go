package nft

import (
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"ssmonitor/accounting"
)

// keysPerAttachment bounds the transaction that adds counters, which takes
// keyLength bytes of memory per key: a table of all ports is installed in several.
const keysPerAttachment = 40_000

// structureLength is more than a batch takes besides its keys: for the table, its
// maps, chains and rules.
const structureLength = 16 << 10

// keysPerTransaction returns how many keys a transaction can add, keysPerAttachment
// at most: as many as fit into the socket.
func (c *conn) keysPerTransaction() (int, error) {
	const most = structureLength + keysPerAttachment*keyLength
	if fits, err := c.makeRoom(most); err != nil || fits {
		return keysPerAttachment, err
	}
	return max((c.room-structureLength)/keyLength, 1), nil
}

// partLength returns how many keys a transaction can add together with the elements
// of their targets. Each of these takes no more than a key.
func (t *Table) partLength() int {
	if !t.forwards() {
		return t.keysPerPart
	}
	var targets accounting.KeyMap[int] // of a port, by its key for In
	most := 0
	for _, target := range t.forwarding.Targets {
		count := targets.At(forwardElement{target, accounting.In}.counter())
		*count++
		most = max(most, *count)
	}
	return max(t.keysPerPart/(1+most), 1)
}

// verified is what the table is known to be: what Verify or Install left, and our
// own changes since. Each commit, ours or of others, advances the ruleset's
// generation by one. Here only ours do, so that the generation stays behind the
// ruleset's for ever once others have changed anything.
type verified struct {
	known      bool
	generation uint32
	counted    [1 << 16]accounting.Protocols // of each port
}

// set records that the table is as it should be for the ports at the generation.
func (v *verified) set(generation uint32, ports accounting.Ports) {
	v.known, v.generation = true, generation
	clear(v.counted[:])
	v.add(ports)
}

// advance follows a commit of ours. The kernel skips generation 0.
func (v *verified) advance() { v.generation = max(v.generation+1, 1) }

func (v *verified) add(ports accounting.Ports) {
	for _, port := range ports {
		v.counted[port.Number] |= port.Protocols
	}
}

func (v *verified) remove(keys []accounting.Key) {
	for _, key := range keys {
		protocol := accounting.OnlyTCP
		if key.Protocol == accounting.UDP {
			protocol = accounting.OnlyUDP
		}
		v.counted[key.Port] &^= protocol
	}
}

// has reports whether all the ports are known to be counted.
func (v *verified) has(ports accounting.Ports) bool {
	for _, port := range ports {
		if port.Protocols&^v.counted[port.Number] != 0 {
			return false
		}
	}
	return true
}

// missing returns the keys of the ports that are not known to be counted.
func (v *verified) missing(ports accounting.Ports) (keys []accounting.Key) {
	for _, port := range ports {
		port.Protocols &^= v.counted[port.Number]
		keys = port.Keys(keys)
	}
	return keys
}

// Attach begins to count more ports, without looking at the table: it only adds
// their counters and elements. It fails with accounting.ErrChanged if somebody
// else has changed the ruleset, ours or another table, since the last Verify that
// found nothing or the last Install, or if a port is counted already. Then nothing is changed, except that of more
// than 10,000 ports the first ones may have been added.
func (t *Table) Attach(ports accounting.Ports) error {
	v := &t.verified
	if !v.known {
		return accounting.ErrChanged
	}
	for part := range slices.Chunk(v.missing(ports), t.keysPerPart) {
		if err := t.attach(part); err != nil {
			return fmt.Errorf("adding %s: %w", describeKeys(part), err)
		}
	}
	v.add(ports)
	return nil
}

func (t *Table) attach(keys []accounting.Key) error {
	v := &t.verified
	b := newAttachment(keys)
	b.onlyAt(v.generation)
	switch err := t.commit(b); {
	case errors.Is(err, unix.ERESTART), errors.Is(err, unix.EEXIST):
		return accounting.ErrChanged
	case err != nil:
		return t.ownership(err)
	}
	t.reader.expect(keys)
	return nil
}

func newAttachment(keys []accounting.Key) *batch {
	b := newBatch()
	b.createCounters(keys)
	b.createElements(keys)
	return b
}

// commit commits a batch.
func (t *Table) commit(b *batch) error {
	err := t.conn.commit(b)
	if err == nil {
		t.verified.advance()
	}
	return err
}
