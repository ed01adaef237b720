package compare_test

import (
	"image/color"
	"io"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is a plot of one measure against the number of ports, with logarithmic
// axes.
type figure struct {
	file, title, measure string
}

var plots = []figure{
	{"packets.svg", "What the rules add to a packet", perPacket},
	{"readings.svg", "Processor time of one reading", reading},
}

// colours are those of Okabe and Ito, which the colour-blind can distinguish.
var colours = map[string]color.RGBA{
	ssmonitor:     {213, 94, 0, 255},
	plainCounter:  {120, 120, 120, 255},
	bareDump:      {120, 120, 120, 255},
	legacyScript:  {0, 114, 178, 255},
	nftScript:     {86, 180, 233, 255},
	counterScript: {0, 158, 115, 255},
	library:       {204, 121, 167, 255},
}

const (
	width, height = 800, 400
	legendWidth   = 225
)

func (f figure) draw(r *results, w io.Writer) error {
	p := plot.New()
	p.Title.Text = f.title
	p.X.Label.Text = "counted ports"
	p.X.Scale, p.Y.Scale = plot.LogScale{}, plot.LogScale{}
	for _, number := range r.ports() {
		p.X.Tick.Marker = append(portTicks(p), plot.Tick{Value: float64(number), Label: thousands(number)})
	}
	p.Y.Tick.Marker = timeTicks()
	legend := plot.NewLegend()
	legend.Top, legend.Left = true, true
	legend.ThumbnailWidth = 24
	legend.Padding = 6
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.Gray{225}, color.Gray{225}
	p.Add(grid)
	for _, g := range groups {
		if g.measure != f.measure {
			continue
		}
		for _, alternative := range g.alternatives {
			var points plotter.XYs
			for _, number := range r.ports() {
				if value, found := r.median(f.measure, alternative, number); found && value > 0 {
					points = append(points, plotter.XY{X: float64(number), Y: value})
				}
			}
			if len(points) == 0 {
				continue
			}
			line, dots, err := plotter.NewLinePoints(points)
			if err != nil {
				return err
			}
			line.Color, line.Width = colours[alternative], 2
			dots.Color, dots.Shape, dots.Radius = colours[alternative], draw.CircleGlyph{}, 3.5
			p.Add(line, dots)
			legend.Add(alternative, line, dots)
		}
	}
	p.Y.Min, p.Y.Max = decades(p.Y.Min, p.Y.Max)
	for _, style := range []*font.Font{
		&p.Title.TextStyle.Font, &p.X.Label.TextStyle.Font, &p.Y.Label.TextStyle.Font,
		&p.X.Tick.Label.Font, &p.Y.Tick.Label.Font, &legend.TextStyle.Font,
	} {
		style.Variant, style.Size = "Sans", 13
	}
	p.Title.TextStyle.Font.Size, p.Title.Padding = 16, 10

	svg := vgsvg.New(width, height)
	canvas := draw.Crop(draw.New(svg), 10, -10, 12, -10)
	page := vg.Rectangle{Max: vg.Point{X: width, Y: height}}
	svg.SetColor(color.White)
	svg.Fill(page.Path())
	p.BackgroundColor = nil
	p.Draw(draw.Crop(canvas, 0, -legendWidth-20, 0, 0))
	legend.Draw(draw.Crop(canvas, canvas.Max.X-canvas.Min.X-legendWidth, 0, 0, -40))
	var text strings.Builder
	if _, err := svg.WriteTo(&text); err != nil {
		return err
	}
	// The browser has fonts of its own, and few have Liberation.
	_, err := io.WriteString(w, strings.ReplaceAll(text.String(), "font-family:Liberation Sans;", "font-family:Liberation Sans,Arial,Helvetica,sans-serif;"))
	return err
}

func portTicks(p *plot.Plot) plot.ConstantTicks {
	ticks, _ := p.X.Tick.Marker.(plot.ConstantTicks)
	return ticks
}

// timeTicks are labelled powers of ten between a nanosecond and 100 seconds.
func timeTicks() (ticks plot.ConstantTicks) {
	for value := 1.0; value <= 1e11; value *= 10 {
		label := strings.Replace(duration(value), ".00", "", 1)
		ticks = append(ticks, plot.Tick{Value: value, Label: strings.Replace(label, ".0", "", 1)})
	}
	return ticks
}

// decades extends a range to powers of ten.
func decades(low, high float64) (from, to float64) {
	from, to = 1, 1
	for from*10 <= low {
		from *= 10
	}
	for to < high {
		to *= 10
	}
	return from, max(to, from*10)
}
