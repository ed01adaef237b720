package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"ssmonitor/accounting/usage"
	"ssmonitor/internal/units"
)

// Colours of the chart: the clients with the most usage have one each.
const (
	colorCount  = 7
	othersClass = "c7"
)

// Sizes in the units of the SVG's view box, which the page scales.
const (
	slotWidth   = 10
	slotMargin  = 1 // on both sides of a bar
	chartHeight = 1000
	scaleSteps  = 4
	maxLabels   = 8 // along the time: as many as fit into 390 pixels
)

type (
	htmlChart struct {
		By     usage.Period
		Width  int
		Few    bool  // few bars, so that each has room for its label
		Lines  []int // of the scale
		Scale  []string
		Bars   []htmlBar
		Legend []htmlSeries
	}
	htmlBar struct {
		Label, Title string
		Left, Slot   int
		Gap          bool
		Parts        []htmlPart
	}
	htmlPart struct {
		Class     string
		X, Width  int
		Y, Height float64
		name      string
		bytes     uint64
	}
	htmlSeries struct{ Class, Name string }
)

// clientColors returns the class of each client that has a colour.
func clientColors(report *usage.Report) map[usage.ClientID]string {
	clients := slices.DeleteFunc(slices.Clone(report.Whole.Clients), func(c usage.ClientUsage) bool { return c.Others > 0 })
	slices.SortStableFunc(clients, func(a, b usage.ClientUsage) int { return cmp.Compare(b.Bytes(), a.Bytes()) })
	colors := make(map[usage.ClientID]string)
	for i, client := range clients[:min(len(clients), colorCount)] {
		colors[client.ID()] = fmt.Sprintf("c%d", i)
	}
	return colors
}

// newHTMLChart returns a chart with one stacked bar per period of the report's
// course. It returns nil if the report has no course.
func newHTMLChart(report *usage.Report, colors map[usage.ClientID]string) *htmlChart {
	if len(report.Course) == 0 {
		return nil
	}
	chart := &htmlChart{By: report.CourseBy, Width: slotWidth * len(report.Course), Few: len(report.Course) <= maxLabels}
	var largest uint64
	for i := range report.Course {
		largest = max(largest, report.Course[i].Bytes())
	}
	top := scaleTop(largest)
	for i := range scaleSteps + 1 {
		chart.Lines = append(chart.Lines, i*chartHeight/scaleSteps)
		chart.Scale = append(chart.Scale, units.RoundBytes(top*float64(scaleSteps-i)/scaleSteps))
	}
	chart.Legend = legend(report, colors)
	every := (len(report.Course) + maxLabels - 1) / maxLabels
	if chart.By == usage.ByDay && len(report.Course) > maxLabels {
		every = (every + 6) / 7 * 7 // weeks
	}
	for i := range report.Course {
		period := &report.Course[i]
		bar := htmlBar{Left: i * slotWidth, Slot: slotWidth, Parts: stack(period, chart.Legend, colors, i, top)}
		if i%every == 0 {
			bar.Label = barLabel(chart.By, period.Start)
		}
		bar.Gap = slices.ContainsFunc(report.Gaps, func(gap usage.Gap) bool {
			since := gap.Since
			if since.IsZero() {
				since = gap.Until.Add(-1) // only its end is known
			}
			return since.Before(period.End) && gap.Until.After(period.Start)
		})
		bar.Title = barTitle(period, bar)
		chart.Bars = append(chart.Bars, bar)
	}
	return chart
}

// legend returns the series from the bottom of the stack up. The last one sums the
// clients without a colour, if there are any.
func legend(report *usage.Report, colors map[usage.ClientID]string) (series []htmlSeries) {
	for client, class := range colors {
		series = append(series, htmlSeries{class, client.Label()})
	}
	slices.SortFunc(series, func(a, b htmlSeries) int { return strings.Compare(a.Class, b.Class) })
	for i := range report.Course {
		for _, client := range report.Course[i].Clients {
			if colors[client.ID()] == "" {
				return append(series, htmlSeries{othersClass, "others"})
			}
		}
	}
	return series
}

// stack draws the parts of a bar, each on top of the one before.
func stack(period *usage.PeriodUsage, series []htmlSeries, colors map[usage.ClientID]string, slot int, top float64) (parts []htmlPart) {
	bytes := make(map[string]uint64) // by class
	for _, client := range period.Clients {
		bytes[cmp.Or(colors[client.ID()], othersClass)] += client.Bytes()
	}
	var below uint64
	for _, s := range series {
		own := bytes[s.Class]
		if own == 0 {
			continue
		}
		lower, upper := height(below, top), height(below+own, top)
		parts = append(parts, htmlPart{
			Class: s.Class, X: slot*slotWidth + slotMargin, Width: slotWidth - 2*slotMargin,
			Y: round(chartHeight - upper), Height: round(upper - lower),
			name: s.Name, bytes: own,
		})
		below += own
	}
	return parts
}

func height(bytes uint64, top float64) float64 { return round(float64(bytes) / top * chartHeight) }

func round(x float64) float64 { return math.Round(x*100) / 100 }

func barTitle(period *usage.PeriodUsage, bar htmlBar) string {
	var b strings.Builder
	b.WriteString(spanText(period.Start, period.End))
	if len(period.Clients) == 0 {
		b.WriteString("\nno usage recorded")
	} else {
		b.WriteString(": " + units.Bytes(period.Bytes()))
	}
	for _, part := range slices.Backward(bar.Parts) {
		fmt.Fprintf(&b, "\n%s %s", part.name, units.Bytes(part.bytes))
	}
	if bar.Gap {
		b.WriteString("\nhistory was lost here")
	}
	return b.String()
}

func barLabel(by usage.Period, start time.Time) string {
	switch by {
	case usage.ByHour:
		return start.Format("15:04")
	case usage.ByDay:
		return start.Format("Jan 2")
	}
	return start.Format("Jan 2006")
}

// scaleTop returns the smallest round number that is not below largest.
func scaleTop(largest uint64) float64 {
	if largest == 0 {
		return scaleSteps
	}
	value := float64(largest)
	power := math.Pow(10, math.Floor(math.Log10(value)))
	for _, factor := range [...]float64{1, 1.2, 1.6, 2, 3, 4, 6, 8} {
		if factor*power >= value {
			return factor * power
		}
	}
	return 10 * power
}
