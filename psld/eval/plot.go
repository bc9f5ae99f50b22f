package eval

import (
	"io"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"psld/internal/chart"
)

// drawable tells whether a metric has something to draw.
func (r *Report) drawable(k int) bool {
	for _, row := range r.Rows {
		if row.drawn(k) {
			return true
		}
	}
	return false
}

// drawn tells whether a row has a point in a plot: the measurement took no time.
func (row Row) drawn(k int) bool {
	return row.Method != Measurement && row.Results[k].N > 0 && !math.IsNaN(row.Results[k].Mean) && row.Seconds > 0
}

// points are results over time, with their intervals.
type points struct {
	plotter.XYs
	plotter.YErrors
}

// plot draws a metric over the time of a picture: a panel for each task, a point with its 95 % interval for each
// method.
func (r *Report) plot(w io.Writer, k int) error {
	info := r.Infos[k]
	better := "lower"
	if info.Higher {
		better = "higher"
	}
	var plots []*plot.Plot
	for _, t := range r.Tasks {
		var at points
		var names []string
		for _, row := range r.Rows {
			if row.Task != t || !row.drawn(k) {
				continue
			}
			half := row.Results[k].Interval
			if math.IsNaN(half) {
				half = 0
			}
			at.XYs = append(at.XYs, plotter.XY{X: row.Seconds, Y: row.Results[k].Mean})
			at.YErrors = append(at.YErrors, struct{ Low, High float64 }{half, half})
			names = append(names, row.Method)
		}
		if names == nil {
			continue
		}
		p := plot.New()
		p.Title.Text, p.X.Label.Text = string(t), "seconds a picture"
		p.Y.Label.Text = strings.TrimSpace(info.Title+" "+info.Unit) + " (" + better + " is better)"
		bars, err := plotter.NewYErrorBars(at)
		if err != nil {
			return err
		}
		dots, err := plotter.NewScatter(at.XYs)
		if err != nil {
			return err
		}
		dots.Shape = draw.CircleGlyph{}
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: at.XYs, Labels: names})
		if err != nil {
			return err
		}
		text.Offset = vg.Point{X: 4, Y: 2}
		p.Add(plotter.NewGrid(), bars, dots, text)
		if p.X.Min == p.X.Max {
			p.X.Max *= 2
		}
		chart.Seconds(p)
		p.X.Max *= 2 // room for names
		plots = append(plots, p)
	}
	return chart.Panels(w, plots)
}
