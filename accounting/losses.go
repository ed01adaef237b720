package accounting

import "time"

// losses bounds the time whose traffic may be missing, because others have reset
// counters, or have deleted, replaced or changed the table.
type losses struct {
	sound     time.Time // the last reading of an interval that has ended
	occurred  bool      // since then
	installed bool      // the next new table is our own
}

// observe looks for traces of others in what a sample revealed.
func (l *losses) observe(posting Posting) {
	foreign := posting.NewTable && !l.installed
	if posting.NewTable {
		l.installed = false
	}
	l.occurred = l.occurred || foreign || len(posting.Resets) > 0 || len(posting.Loaded) > 0
}

// end ends an interval in which the table counts, if only since a repair that ends
// now. It returns the longest time whose traffic may be missing.
func (l *losses) end(reading, now time.Time) (lost time.Duration) {
	if l.occurred && !l.sound.IsZero() {
		lost = now.Sub(l.sound)
	}
	l.sound, l.occurred = reading, false
	return lost
}
