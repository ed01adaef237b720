package accounting

import "time"

// losses bounds the time whose traffic may be missing, because others have reset
// counters, or have deleted, replaced or changed the table.
type losses struct {
	lastSound time.Time // the last reading of an interval that has ended
	disturbed bool      // since then, by others
	expected  bool      // the next new table is one of ours
}

// observe looks for traces of others in what a sample revealed.
func (l *losses) observe(posting Posting) {
	foreign := posting.NewTable && !l.expected
	if posting.NewTable {
		l.expected = false
	}
	l.disturbed = l.disturbed || foreign || len(posting.Resets) > 0 || len(posting.Loaded) > 0
}

// end ends an interval in which the table counts, if only since a repair that ends
// now. It returns the longest time whose traffic may be missing.
func (l *losses) end(reading, now time.Time) (lost time.Duration) {
	if l.disturbed && !l.lastSound.IsZero() {
		lost = now.Sub(l.lastSound)
	}
	l.lastSound, l.disturbed = reading, false
	return lost
}
