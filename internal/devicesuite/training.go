package devicesuite

import (
	"math"
	"testing"

	"psld/psld/train"
	"psld/tensor"
	"psld/tensor/cpu"
)

// training does a few steps of both trainings: the mean loss is the processor's, and nothing is left.
func training(t *testing.T, dev tensor.Device, o Options) {
	for _, network := range []string{"vae", "pixel"} {
		t.Run(network, func(t *testing.T) {
			w := watch(dev)
			loss := func(dev tensor.Device) float64 {
				s, err := train.Bench(t.Context(), network, train.Options{Size: 16, Batch: 2, Seed: 3, Device: dev}, 3)
				fatal(t, err)
				return s.Loss
			}
			want, got := loss(cpu.F32), loss(w)
			if e := math.Abs(got-want) / want; !(e <= o.limit(1e-4)) {
				t.Errorf("mean loss %v, the processor has %v", got, want)
			}
			if n := w.live(); n > 0 {
				t.Errorf("%d tensors are left", n)
			}
		})
	}
}
