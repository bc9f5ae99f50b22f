package tune

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"psld/psld"
)

// Plot draws PSNR over time as a PNG, a panel for each task and a line for each gluing; points carry their
// number of steps. Time is that of processors where it is known, since neighbours do not count in it.
func Plot(w io.Writer, curves []Result) error {
	var tasks []psld.Task
	for _, r := range curves {
		if !slices.Contains(tasks, r.Task) {
			tasks = append(tasks, r.Task)
		}
	}
	if len(tasks) == 0 {
		return fmt.Errorf("nothing to plot")
	}
	const width, height = 11 * vg.Centimeter, 8 * vg.Centimeter
	columns := min(2, len(tasks))
	rows := (len(tasks) + columns - 1) / columns
	img := vgimg.NewWith(vgimg.UseWH(width*vg.Length(columns), height*vg.Length(rows)), vgimg.UseDPI(96))
	all := draw.New(img)
	for i, t := range tasks {
		p, err := panel(t, curves)
		if err != nil {
			return err
		}
		x, y := width*vg.Length(i%columns), height*vg.Length(rows-1-i/columns)
		part := all
		part.Rectangle = vg.Rectangle{Min: vg.Point{X: x, Y: y}, Max: vg.Point{X: x + width, Y: y + height}}
		p.Draw(draw.Crop(part, 4, -8, 4, -4))
	}
	_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
	return err
}

// ticks are those of a logarithmic axis of seconds.
var ticks = func() (list []plot.Tick) {
	for _, decade := range []float64{0.01, 0.1, 1, 10, 100, 1000, 1e4} {
		for i := 1.0; i < 10; i++ {
			tick := plot.Tick{Value: i * decade}
			if i == 1 || i == 2 || i == 5 {
				tick.Label = strconv.FormatFloat(tick.Value, 'g', -1, 64)
			}
			list = append(list, tick)
		}
	}
	return list
}()

func panel(t psld.Task, curves []Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.X.Label.Text = string(t), "PSNR, dB", "seconds a picture"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.ConstantTicks(ticks)
	p.Add(plotter.NewGrid())
	p.Legend.Padding = vg.Millimeter
	lines := map[int]plotter.XYs{}
	labels := plotter.XYLabels{}
	var order []int
	for _, r := range curves {
		if r.Task != t {
			continue
		}
		x := r.Seconds
		if r.CPU > 0 {
			x = r.CPU
			p.X.Label.Text = "processor seconds a picture"
		}
		if lines[r.GluingEvery] == nil {
			order = append(order, r.GluingEvery)
		}
		lines[r.GluingEvery] = append(lines[r.GluingEvery], plotter.XY{X: x, Y: r.PSNR})
		if r.GluingEvery == order[0] {
			labels.XYs = append(labels.XYs, plotter.XY{X: x, Y: r.PSNR})
			labels.Labels = append(labels.Labels, fmt.Sprint(r.Steps))
		}
	}
	var parts []any
	for _, k := range order {
		name := fmt.Sprintf("gluing every %d steps", k)
		if k == 1 {
			name = "gluing in every step"
		}
		parts = append(parts, name, lines[k])
	}
	if err := plotutil.AddLinePoints(p, parts...); err != nil {
		return nil, err
	}
	text, err := plotter.NewLabels(labels)
	if err != nil {
		return nil, err
	}
	text.Offset = vg.Point{X: 2, Y: 4}
	p.Add(text)
	p.X.Min, p.X.Max = p.X.Min*0.8, p.X.Max*1.4
	p.Y.Min -= (p.Y.Max - p.Y.Min) / 4 // room for the legend
	return p, nil
}
