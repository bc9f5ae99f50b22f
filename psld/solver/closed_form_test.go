package solver

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"psld/internal/chart"
)

// TestClosedFormTable writes the table and the plot of docs/closed-form.md: mean and variances of the samples of
// methods against the posterior, on the normal prior of newToyWorld. PSLD_CLOSED_FORM names the folder to write into:
//
//	PSLD_CLOSED_FORM=$PWD/docs go test ./psld/solver -run ClosedFormTable
func TestClosedFormTable(t *testing.T) {
	dir := os.Getenv("PSLD_CLOSED_FORM")
	if dir == "" {
		t.Skip("PSLD_CLOSED_FORM is not set: it names the folder of the table and the plot")
	}
	const samples = 400
	dps := func(omega float64, squared bool) Method {
		return &DPS{DDPM{Steps: 100}, Guide{Omega: omega, Squared: squared}}
	}
	psld := func(omega float64, squared bool) Method {
		return &PSLD{DDIM{Steps: 100, Strength: 1, Eta: 1}, Fit{Omega: omega, Squared: squared},
			Gluing{Gamma: omega / 4, GluingEvery: 1}, "adjoint"}
	}
	diffpir := func(steps int, zeta float64) Method {
		return &DiffPIR{Steps: steps, From: 30, To: 0.02, Lambda: 1, Zeta: zeta, FitEvery: 1, Blend: 1, SNoise: 1}
	}
	langevin := func(inner int) Method {
		return &LanPaint{Steps: 20, Inner: inner, Lambda: 5, StepSize: 0.2, Strength: 1}
	}
	rows := []struct {
		name, words string
		codec       bool
		method      Method
	}{
		{"DDRM", "20 steps, eta 0.85", false, &DDRM{Steps: 20, Eta: 0.85, EtaB: 1}},
		{"DDRM", "100 steps, eta 0.85", false, &DDRM{Steps: 100, Eta: 0.85, EtaB: 1}},
		{"DDRM", "100 steps, eta 1", false, &DDRM{Steps: 100, Eta: 1, EtaB: 1}},
		{"DPS", "norm, omega 0.1", false, dps(0.1, false)},
		{"DPS", "norm, omega 0.3", false, dps(0.3, false)},
		{"DPS", "squared, omega 0.05", false, dps(0.05, true)},
		{"DPS", "squared, omega 0.2", false, dps(0.2, true)},
		{"PSLD", "norm, omega 0.1", true, psld(0.1, false)},
		{"PSLD", "norm, omega 0.3", true, psld(0.3, false)},
		{"PSLD", "squared, omega 0.05", true, psld(0.05, true)},
		{"PSLD", "squared, omega 0.2", true, psld(0.2, true)},
		{"DiffPIR", "20 steps, lambda 1, zeta 1", false, diffpir(20, 1)},
		{"DiffPIR", "100 steps, lambda 1, zeta 1", false, diffpir(100, 1)},
		{"DiffPIR", "100 steps, lambda 1, zeta 0.3", false, diffpir(100, 0.3)},
		{"LATINO", "8 steps, lambda 1", false, &LATINO{Steps: 8, Strength: 1, Lambda: 1}},
		{"LATINO", "50 steps, lambda 1", false, &LATINO{Steps: 50, Strength: 1, Lambda: 1}},
		{"TReg", "100 steps, each third fits", false, &TReg{DDIM: DDIM{Steps: 100, Strength: 1}, FitEvery: 3,
			FitUntil: 0.15, Lambda: 1}},
		{"DCDP", "6 rounds of 4 steps", false, &DCDP{Rounds: 6, Steps: 4, Strength: 0.7, Lambda: 1}},
		{"Guess", "4 guesses, 12 steps", false, &Guess{Guesses: 4, Steps: 12, FitEvery: 3, Strength: 0.5, Lambda: 1}},
		{"DPM", "8 steps, 4 fits", false, &DPM{Steps: 8, Fits: 4, Strength: 1, To: 0.05, Lambda: 1}},
		{"LanPaint", "20 levels, 5 Langevin steps", false, langevin(5)},
		{"LanPaint", "20 levels, 100 Langevin steps", false, langevin(100)},
	}
	var table strings.Builder
	table.WriteString("| method | | mean, measured | variance, measured | mean, missing | variance, missing |\n" +
		"| --- | --- | ---: | ---: | ---: | ---: |\n")
	panels := []*plot.Plot{plot.New(), plot.New()}
	at, names := make([]plotter.XYs, 2), []string(nil)
	for _, row := range rows {
		s := newToyWorld(t, row.codec)
		s.p.Sigma = s.sigma
		mean, cov := s.sample(t, row.method, samples)
		postMean, postCov := s.posterior(t)
		fmt.Fprintf(&table, "| %s | %s |", row.name, row.words)
		for k, seen := range []bool{true, false} {
			var off, variance, n float64
			for i := range mean.Len() {
				if s.a.At(i, i) == 1 != seen {
					continue
				}
				d := mean.AtVec(i) - postMean.AtVec(i)
				off += d * d / postCov.At(i, i)
				variance += cov.At(i, i) / postCov.At(i, i)
				n++
			}
			off, variance = math.Sqrt(off/n), variance/n
			fmt.Fprintf(&table, " %.2f | %.2f |", off, variance)
			at[k] = append(at[k], plotter.XY{X: variance, Y: off})
		}
		table.WriteString("\n")
		names = append(names, row.name)
	}
	for k, p := range panels {
		p.Title.Text = []string{"measured pixels", "missing pixels"}[k]
		p.X.Label.Text, p.Y.Label.Text = "variance over the posterior's", "error of the mean, posterior deviations"
		dots, err := plotter.NewScatter(at[k])
		require.NoError(t, err)
		exact, err := plotter.NewScatter(plotter.XYs{{X: 1, Y: 0}})
		require.NoError(t, err)
		exact.Radius = 2 * dots.Radius
		text, err := plotter.NewLabels(plotter.XYLabels{XYs: at[k], Labels: names})
		require.NoError(t, err)
		text.Offset = vg.Point{X: 3, Y: 2}
		p.Add(plotter.NewGrid(), exact, dots, text)
		p.X.Min, p.X.Max = 0, p.X.Max*1.2
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "closed-form-table.md"), []byte(table.String()), 0o644))
	f, err := os.Create(filepath.Join(dir, "closed-form.png"))
	require.NoError(t, err)
	require.NoError(t, chart.Panels(f, panels))
	require.NoError(t, f.Close())
}
