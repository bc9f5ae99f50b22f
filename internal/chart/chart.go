// Package chart lays out plots as PNG pictures.
package chart

import (
	"io"
	"strconv"

	"gonum.org/v1/plot"
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
