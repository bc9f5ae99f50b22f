package tune

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"

	"psld/internal/chart"
	"psld/psld"
	"psld/psld/metric"
)

// Plot draws the scores of curves over time as a PNG, a panel for each task and a line for each method; points carry
// their number of steps.
func Plot(w io.Writer, info metric.Info, curves []Result) error {
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
		p, err := panel(t, info, curves)
		if err != nil {
			return err
		}
		plots = append(plots, p)
	}
	return chart.Panels(w, plots)
}

func panel(t psld.Task, info metric.Info, curves []Result) (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = string(t), "seconds a picture"
	p.Y.Label.Text = strings.TrimSpace(info.Title + " " + info.Unit)
	p.Add(plotter.NewGrid())
	p.Legend.Padding = vg.Millimeter
	lines := map[string]plotter.XYs{}
	labels := plotter.XYLabels{}
	var order []string
	for _, r := range curves {
		if r.Task != t {
			continue
		}
		if lines[r.Method] == nil {
			order = append(order, r.Method)
		}
		at := plotter.XY{X: r.Seconds, Y: r.Score}
		lines[r.Method] = append(lines[r.Method], at)
		labels.XYs, labels.Labels = append(labels.XYs, at), append(labels.Labels, fmt.Sprint(steps(r)))
	}
	var parts []any
	for _, method := range order {
		parts = append(parts, method, lines[method])
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
