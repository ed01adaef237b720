package top

import (
	"math"
	"strings"
	"time"
)

// The sparklines show the rates of the last ten minutes at most.
const (
	historyBins = 60
	minBin      = 10 * time.Second
)

// history has the mean rates of each client in bins of time.
type history struct {
	width   time.Duration // of a bin
	current int64         // number of the latest bin, counted from the epoch
	clients map[string]*[historyBins]bin
}

// bin sums the rates in some seconds. A bin without a rate is a gap.
type bin struct {
	sum   float64
	count int
}

// newHistory makes bins that have a rate each if rates come once per interval.
func newHistory(interval time.Duration) *history {
	return &history{width: max(minBin, interval), clients: make(map[string]*[historyBins]bin)}
}

// add records the rates of the clients at that time.
func (h *history) add(now time.Time, clients []client) {
	h.advance(now)
	for i := range clients {
		c := &clients[i]
		if !c.ratesKnown {
			continue
		}
		bins := h.clients[c.label]
		if bins == nil {
			bins = new([historyBins]bin)
			h.clients[c.label] = bins
		}
		latest := &bins[h.current%historyBins]
		latest.sum += c.in.Bytes + c.out.Bytes
		latest.count++
	}
}

// advance clears the bins between the latest one and the time. If the clock was
// set back by more than a bin, it begins again.
func (h *history) advance(now time.Time) {
	next := now.UnixNano() / int64(h.width)
	if next < h.current {
		clear(h.clients)
		h.current = next
		return
	}
	for ; h.current < next; h.current = max(h.current+1, next-historyBins+1) {
		for label, bins := range h.clients {
			bins[(h.current+1)%historyBins] = bin{}
			if *bins == ([historyBins]bin{}) {
				delete(h.clients, label) // it has had no port for all of the time
			}
		}
	}
}

// The levels of a sparkline from 0 to the largest value, for terminals with and
// without the characters of Unicode.
const (
	blocks = "▁▂▃▄▅▆▇█"
	ascii  = "_.-=+*%#"
)

// sparkline draws the last cells bins, as high as their share of the largest. A
// gap is a blank.
func (h *history) sparkline(label string, now time.Time, cells int, levels string) string {
	bins := h.clients[label]
	if bins == nil {
		return ""
	}
	cells = min(cells, historyBins)
	last := now.UnixNano() / int64(h.width)
	values := make([]float64, cells) // negative: a gap
	largest := 0.0
	for i := range values {
		number := last - int64(cells-1-i)
		values[i] = -1
		if number > h.current-historyBins && number <= h.current {
			if b := bins[number%historyBins]; b.count > 0 {
				values[i] = b.sum / float64(b.count)
				largest = max(largest, values[i])
			}
		}
	}
	scale := []rune(levels)
	var line strings.Builder
	for _, value := range values {
		switch {
		case value < 0:
			line.WriteByte(' ')
		case largest == 0:
			line.WriteRune(scale[0])
		default:
			line.WriteRune(scale[int(math.Ceil(value/largest*float64(len(scale)-1)))])
		}
	}
	return line.String()
}
