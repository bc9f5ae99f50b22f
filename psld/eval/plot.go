package eval

import (
	"cmp"
	"io"
	"math"
	"slices"
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
		p.Add(plotter.NewGrid(), bars, dots)
		if p.X.Min == p.X.Max {
			p.X.Max *= 2
		}
		chart.Seconds(p)
		p.X.Max *= 2 // room for names
		if err := label(p, at.XYs, names); err != nil {
			return err
		}
		plots = append(plots, p)
	}
	return chart.Panels(w, plots)
}

// label writes names beside points, higher where one would cover another. The axes of p are done.
func label(p *plot.Plot, at plotter.XYs, names []string) error {
	for i, box := range place(p, at, names) {
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: at[i : i+1], Labels: names[i : i+1]})
		if err != nil {
			return err
		}
		text.Offset = box.Min.Sub(inside(p, at[i]))
		p.Add(text)
	}
	return nil
}

// inside is about where a point lies in a panel of chart.Panels.
func inside(p *plot.Plot, at plotter.XY) vg.Point {
	return vg.Point{X: 9 * vg.Centimeter * vg.Length(p.X.Scale.Normalize(p.X.Min, p.X.Max, at.X)),
		Y: 6 * vg.Centimeter * vg.Length(p.Y.Scale.Normalize(p.Y.Min, p.Y.Max, at.Y))}
}

// place finds room for names beside points, the lowest first.
func place(p *plot.Plot, at plotter.XYs, names []string) []vg.Rectangle {
	const letter, line = 5.5 * vg.Length(1), 10 * vg.Length(1) // about
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a].Y, at[b].Y) })
	boxes := make([]vg.Rectangle, len(names))
	for n, i := range order {
		low := inside(p, at[i]).Add(vg.Point{X: 4, Y: 2})
		size := vg.Point{X: letter * vg.Length(len(names[i])), Y: line}
		box := func() vg.Rectangle { return vg.Rectangle{Min: low, Max: low.Add(size)} }
		for slices.ContainsFunc(order[:n], func(k int) bool { return overlap(boxes[k], box()) }) {
			low.Y++
		}
		boxes[i] = box()
	}
	return boxes
}

func overlap(a, b vg.Rectangle) bool {
	return a.Min.X < b.Max.X && b.Min.X < a.Max.X && a.Min.Y < b.Max.Y && b.Min.Y < a.Max.Y
}
