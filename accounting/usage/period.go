package usage

import "fmt"

// Period is the length of time that one line of a usage report stands for.
type Period string

// The periods that usage is kept by, and ByTotal, which stands for all of the
// time that a report covers.
const (
	ByHour  Period = "hour"
	ByDay   Period = "day"
	ByMonth Period = "month"
	ByTotal Period = "total"
)

// ParsePeriod returns the period with the name hour, day, month or total.
func ParsePeriod(name string) (Period, error) {
	switch period := Period(name); period {
	case ByHour, ByDay, ByMonth, ByTotal:
		return period, nil
	}
	return "", fmt.Errorf("period %q: want hour, day, month or total", name)
}
