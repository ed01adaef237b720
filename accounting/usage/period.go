package usage

import "fmt"

// Period is the length of time that one line of a usage report stands for.
type Period string

// The periods that usage is kept by; ByWeek, which is the sum of its days, from Monday
// on; and ByTotal, which stands for all of the time that a report covers.
const (
	ByHour  Period = "hour"
	ByDay   Period = "day"
	ByWeek  Period = "week"
	ByMonth Period = "month"
	ByTotal Period = "total"
)

// ParsePeriod returns the period with the name hour, day, week, month or total.
func ParsePeriod(name string) (Period, error) {
	switch period := Period(name); period {
	case ByHour, ByDay, ByWeek, ByMonth, ByTotal:
		return period, nil
	}
	return "", fmt.Errorf("period %q: want hour, day, week, month or total", name)
}
