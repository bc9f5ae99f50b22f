package train

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"psld/internal/atomicfile"
)

// Curves draws the training loss and the validation figure of a log (log.csv of a
// training folder) over the steps, as the PNG file path. Where a resumed run wrote a step twice, the
// later row counts.
func Curves(logPath, path string) error {
	f, err := os.Open(logPath)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := map[string]plotter.XYs{}
	for in := bufio.NewScanner(f); in.Scan(); {
		row := strings.Split(in.Text(), ",")
		if len(row) < 3 {
			continue
		}
		step, err1 := strconv.ParseFloat(row[0], 64)
		v, err2 := strconv.ParseFloat(row[2], 64)
		if errors.Join(err1, err2) != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			continue // a row that a killed run left behind
		}
		if name := row[1]; name == "loss" || strings.HasPrefix(name, "val ") {
			xy := lines[name]
			for len(xy) > 0 && xy[len(xy)-1].X >= step {
				xy = xy[:len(xy)-1]
			}
			lines[name] = append(xy, plotter.XY{X: step, Y: v})
		}
	}
	plots := []*plot.Plot{}
	for _, name := range []string{"loss", "val loss", "val PSNR"} {
		xy := lines[name]
		if len(xy) == 0 {
			continue
		}
		p := plot.New()
		p.Title.Text, p.X.Label.Text = name, "step"
		if name == "loss" && len(xy) > 4 { // the first values would flatten the rest
			xy = xy[2:]
		}
		if err := plotutil.AddLinePoints(p, xy); err != nil {
			return err
		}
		p.Add(plotter.NewGrid())
		plots = append(plots, p)
	}
	if len(plots) == 0 {
		return fmt.Errorf("%s has no losses", logPath)
	}
	// Side by side on one canvas.
	const width, height = 12 * vg.Centimeter, 8 * vg.Centimeter
	img := vgimg.New(width*vg.Length(len(plots)), height)
	for i, p := range plots {
		part := draw.New(img)
		part.Min.X = width * vg.Length(i)
		part.Max.X = part.Min.X + width
		p.Draw(part)
	}
	return atomicfile.Write(path, func(w io.Writer) error {
		_, err := vgimg.PngCanvas{Canvas: img}.WriteTo(w)
		return err
	})
}
