package tune

import (
	"fmt"
	"io"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"psld/internal/chart"
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
	var plots []*plot.Plot
	for _, t := range tasks {
		p, err := panel(t, curves)
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	return chart.Panels(w, plots)
}

func panel(t psld.Task, curves []Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.Y.Label.Text, p.X.Label.Text = string(t), "PSNR, dB", "seconds a picture"
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
	chart.Seconds(p)
	p.Y.Min -= (p.Y.Max - p.Y.Min) / 4 // room for the legend
	return p, nil
}
