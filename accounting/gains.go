package accounting

import (
	"slices"
	"time"
)

// Gain is the traffic that one counter gained up to a reading.
type Gain struct {
	Time  time.Time // of the last reading that it includes
	Key   Key
	Count Count
}

const (
	// gainsWidth is the longest time that one gain stands for. In every zone
	// hours begin at a quarter of an hour, so that no gain belongs to two hours.
	gainsWidth = 15 * time.Minute
	// maxGains bounds the list while nothing can be saved.
	maxGains = 1 << 16
)

// gains lists what the accounts have gained since the last save, in the order of
// the readings.
type gains struct {
	list  []Gain
	width time.Duration // 0 stands for gainsWidth
}

// add records a gain. at is the index of the account's newest gain plus one, or 0
// if it has none. add returns the new value of at.
func (g *gains) add(at int32, gain Gain) int32 {
	if at > 0 && g.together(g.list[at-1].Time, gain.Time) {
		newest := &g.list[at-1]
		newest.Count, newest.Time = newest.Count.Plus(gain.Count), gain.Time
		return at
	}
	g.list = append(g.list, gain)
	return int32(len(g.list))
}

// together reports whether gains at a and b are recorded as one.
func (g *gains) together(a, b time.Time) bool {
	width := int64(max(g.width, gainsWidth) / time.Second)
	return a.Unix()/width == b.Unix()/width
}

// full reports whether the list has to be merged.
func (g *gains) full(accounts int) bool { return len(g.list) >= max(maxGains, 2*accounts) }

// merge makes each gain stand for four times as much time as before. at returns
// the index of a key's newest gain, as in add. After weeks in which nothing could
// be saved, usage is less precise in time, but never in amount.
func (g *gains) merge(at func(Key) *int32) {
	old := g.list
	g.list, g.width = old[:0], 4*max(g.width, gainsWidth)
	for i := range old {
		*at(old[i].Key) = 0
	}
	for _, gain := range old {
		newest := at(gain.Key)
		*newest = g.add(*newest, gain)
	}
}

// sorted returns the gains by key, those of one key in the order of the readings.
func (g *gains) sorted() []Gain {
	list := slices.Clone(g.list)
	slices.SortStableFunc(list, func(a, b Gain) int { return a.Key.Compare(b.Key) })
	return list
}

func (g *gains) reset() { g.list, g.width = g.list[:0], 0 }
