package solver

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/prior"
	"psld/tensor"
	"psld/tensor/cpu"
	"psld/tensor/devicetest"
)

// frozen packs a model for dev.
func frozen(m prior.Prior, dev tensor.Device) {
	for _, n := range m.Networks() {
		n.Params.Freeze(dev)
	}
}

// must is v where there is no error.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestNothingIsCopied: on a device with memory of its own a step of the guided methods copies to the host single
// numbers alone, and up, but for the first step, noise, prompts and times. Listed are operators of which nothing is
// known but Apply and Adjoint, and methods whose fits are made on the host, by transforms and decompositions: all that
// the table does not name.
func TestNothingIsCopied(t *testing.T) {
	const side, number = 32, 4
	picture := int64(4 * 3 * side * side)
	blur := func(k *operator.Kernel) operator.Linear { return must(operator.NewBlur(side, side, 3, k)) }
	mask := must(operator.NewMask(side, side, 3, must(operator.RandomMask(side, side, 0.5, 1))))
	gauss := blur(must(operator.Gaussian(9, 1.2)))
	type row struct {
		pixel  bool
		method string
		a      operator.Linear
		host   bool // listed
	}
	rows := map[string]row{
		"psld, gaussian blur": {method: "psld", a: gauss},
		"psld, motion blur":   {method: "psld", a: blur(must(operator.MotionKernel(9, 0.5, 1)))},
		"psld, circular blur": {method: "psld",
			a: must(operator.NewCircularBlur(side, side, 3, must(operator.MotionKernel(9, 0.5, 1)), 2))},
		"psld, mask":            {method: "psld", a: mask},
		"psld, sr":              {method: "psld", a: must(operator.NewSR(side, side, 3, 4))},
		"psld, grey":            {method: "psld", a: must(operator.NewGrey(side, side, operator.Luma))},
		"psld, denoising":       {method: "psld", a: operator.Identity(operator.Shape{H: side, W: side, C: 3})},
		"psld, odd size":        {method: "psld", a: must(operator.NewAveragePool(side-3, side-5, 3, 2))},
		"ldps":                  {method: "ldps", a: gauss},
		"gml-dps":               {method: "gmldps", a: gauss},
		"ldps on pixels":        {pixel: true, method: "ldps", a: gauss},
		"dps":                   {pixel: true, method: "dps", a: gauss},
		"psld, user's operator": {method: "psld", a: ofUser{gauss}, host: true},
		"diffpir on latents":    {method: "diffpir", a: gauss, host: true},
		"diffpir":               {pixel: true, method: "diffpir", a: gauss, host: true},
	}
	for _, spec := range Specs() { // the others are listed
		if spec.Name == "psld-patchmatch" { // PSLD with pictures of this size
			continue
		}
		if spec.Needs.Prior && !slices.ContainsFunc(slices.Collect(maps.Values(rows)), func(r row) bool {
			return r.method == spec.Name
		}) {
			rows[spec.Name] = row{pixel: spec.Needs.Pixel, method: spec.Name, a: gauss, host: true}
			if spec.refuse(randomPixel(), gauss) != nil { // it wants holes
				rows[spec.Name] = row{pixel: spec.Needs.Pixel, method: spec.Name, a: mask, host: true}
			}
		}
	}
	for name, c := range rows {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.host, !StaysOnDevice(c.method) || !operator.OnDevice(devicetest.Hidden(cpu.F32), c.a))
			dev := devicetest.Hidden(cpu.F32)
			var m prior.Prior = prior.RandomTiny(3).On(dev)
			if c.pixel {
				m = randomPixel().On(dev)
			}
			frozen(m, dev)
			p := Problem{A: c.a, Y: noise(2, c.a.Out().Len(), 0.3), Sigma: 0.1}
			o := Options{Seed: 1, Progress: func(p Progress) {
				if got := dev.Copies(); p.Step == 1 || p.Step == p.Steps {
					return // the first one moves matrices, the last one of some ends otherwise
				} else if c.host {
					require.Greater(t, got.LargestDown, int64(number), "step %d need not be listed any more", p.Step)
				} else {
					require.EqualValues(t, number, got.LargestDown, "step %d: %+v", p.Step, got)
					require.Less(t, got.Down, int64(32*number), "step %d: %+v", p.Step, got)
					require.Less(t, got.Up, 2*picture, "step %d: %+v", p.Step, got)
				}
			}}
			method := method(t, c.method, 4)
			_, err := Solve(t.Context(), m, p, method, o)
			require.NoError(t, err)
			require.Zero(t, dev.Live())
		})
	}
}

// ofUser is an operator that knows Apply and Adjoint alone.
type ofUser struct{ operator.Linear }
