package bench

import (
	"context"
	"fmt"
	"time"

	"psld/asm"
	"psld/psld/prior"
	"psld/psld/train"
	"psld/tensor/cpu"
)

// Training says what Train times.
type Training struct {
	Network    string   // "pixel" or "vae", in the sizes of the embedded ones
	Precisions []string // of the products, as prior.Device knows them
	Size       int      // pixels a side
	Batch      int
	Steps      int // of a visit
	Visits     int // of each precision, in turn; the median counts
}

// TrainingRow is the speed of a training in one precision.
type TrainingRow struct {
	Network       string  `json:"network"`
	DType         string  `json:"dtype"`
	Size          int     `json:"size"`
	Batch         int     `json:"batch"`
	Threads       int     `json:"threads"`
	Parameters    int     `json:"parameters"`
	Pictures      float64 `json:"pictures_per_s"`
	GFLOPS        float64 `json:"gflops"` // three times the forward pass's multiply-adds
	CeilingGFLOPS float64 `json:"ceiling_gflops"`
	Fraction      float64 `json:"fraction"`
	Input         float64 `json:"input_share"` // of the time, for making the pictures
}

// Train times trainings on random pictures.
func Train(ctx context.Context, o Training) ([]TrainingRow, error) {
	rows := make([]TrainingRow, len(o.Precisions))
	speeds, ceilings := make([][3][]float64, len(rows)), make([][]float64, len(rows))
	for range max(1, o.Visits) {
		for i, precision := range o.Precisions {
			dev, err := prior.Device(precision)
			if err != nil {
				return nil, err
			}
			pairs := precision == "bf16" && asm.HasPairs()
			threads := cpu.Threads()
			before := fma(asm.Active(), pairs, threads, 20*time.Millisecond)
			s, err := train.Bench(ctx, o.Network, train.Options{Size: o.Size, Batch: o.Batch, Seed: 1, Device: dev}, o.Steps)
			if err != nil {
				return nil, err
			}
			ceilings[i] = append(ceilings[i], before, fma(asm.Active(), pairs, threads, 20*time.Millisecond))
			for k, v := range []float64{s.Pictures, s.GFLOPS, s.Input} {
				speeds[i][k] = append(speeds[i][k], v)
			}
			rows[i] = TrainingRow{Network: o.Network, DType: precision, Size: o.Size, Batch: o.Batch,
				Threads: threads, Parameters: train.Parameters(o.Network)}
		}
	}
	for i := range rows {
		r := &rows[i]
		r.Pictures, r.GFLOPS, r.Input = median(speeds[i][0]), median(speeds[i][1]), median(speeds[i][2])
		r.CeilingGFLOPS = median(ceilings[i])
		r.Fraction = r.GFLOPS / r.CeilingGFLOPS
	}
	return rows, nil
}

// String is a line of a table.
func (r TrainingRow) String() string {
	return fmt.Sprintf("%-6s %-5s %8.1f pictures/s  %7.1f GFLOP/s  %.2f of the ceiling (%.0f)  input %.1f %%",
		r.Network, r.DType, r.Pictures, r.GFLOPS, r.Fraction, r.CeilingGFLOPS, 100*r.Input)
}
