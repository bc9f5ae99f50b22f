// Package chart lays out plots as PNG pictures.
package chart

import (
	"io"
	"math"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// Panels draws plots side by side, two in a row, as a PNG. There is at least one.
func Panels(w io.Writer, plots []*plot.Plot) error {
	const width, height = 11 * vg.Centimeter, 8 * vg.Centimeter
	columns := min(2, len(plots))
	rows := (len(plots) + columns - 1) / columns
	img := vgimg.NewWith(vgimg.UseWH(width*vg.Length(columns), height*vg.Length(rows)), vgimg.UseDPI(96))
	all := draw.New(img)
	for i, p := range plots {
		x, y := width*vg.Length(i%columns), height*vg.Length(rows-1-i/columns)
		part := all
		part.Rectangle = vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + width, Y: y + height}}
		p.Draw(draw.Crop(part, 4, -8, 4, -4))
	}
	_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
	return err
}

// Seconds makes the horizontal axis of a plot a logarithmic one of seconds, with room at its ends.
func Seconds(p *plot.Plot) {
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks)
	p.X.Min, p.X.Max = p.X.Min*0.8, p.X.Max*1.4
}

var ticks = func() (list []plot.Tick) {
	for _, decade := range []float64{0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 1e4} {
		for i := 1.0; i < 10; i++ {
			tick := plot.Tick{Value: i * decade}
			if i == 1 || i == 2 || i == 5 {
				tick.Label = strconv.FormatFloat(float64(float32(tick.Value)), 'g', -1, 32)
			}
			list = append(list, tick)
		}
	}
	return list
}()

// Curve is a number that changes from step to step.
type Curve struct {
	Title string
	Y     []float64 // of the first step, the second ...; what is not finite is left out
}

// Curves draws curves over their steps, each in a panel of its own, as a PNG. A curve with no finite number is left
// out; drawn is false where that leaves none, and nothing is written.
func Curves(w io.Writer, curves []Curve) (drawn bool, err error) {
	var plots []*plot.Plot
	for _, c := range curves {
		var at plotter.XYs
		for i, y := range c.Y {
			if !math.IsNaN(y) && !math.IsInf(y, 0) {
				at = append(at, plotter.XY{X: float64(i + 1), Y: y})
			}
		}
		if len(at) < 2 { // a line has two ends
			continue
		}
		p := plot.New()
		p.Title.Text, p.X.Label.Text = c.Title, "step"
		line, err := plotter.NewLine(at)
		if err != nil {
			return false, err
		}
		line.Width = vg.Points(1.5)
		p.Add(plotter.NewGrid(), line)
		p.Y.Min = min(p.Y.Min, 0)
		plots = append(plots, p)
	}
	if len(plots) == 0 {
		return false, nil
	}
	return true, Panels(w, plots)
}
