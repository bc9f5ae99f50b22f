//go:build cuda

package cuda_test

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"psld/internal/devicesuite"
	"psld/internal/dynlib"
	"psld/psld/operator"
	"psld/psld/param"
	"psld/psld/prior"
	"psld/psld/solver"
	"psld/tensor/cuda"
)

// TestSuite runs networks, restorations and trainings on the emulated GPU, or one of hardware; TestDevice runs the
// operations one by one.
func TestSuite(t *testing.T) {
	number, _ := strconv.Atoi(os.Getenv("PSLD_CUDA_HARDWARE"))
	dev, err := cuda.Open(number, "f32")
	require.NoError(t, err)
	devicesuite.Programs(t, dev, devicesuite.Options{})
}

// TestStepsAreGraphs: the steps of PSLD take the same memory in the same order, so that from the third one on most of
// their kernels are started as graphs.
func TestStepsAreGraphs(t *testing.T) {
	if os.Getenv("PSLD_CUDA_HARDWARE") != "" {
		t.Skip("for the emulated driver")
	}
	lib, err := dynlib.Open(os.Getenv("PSLD_CUDA_DRIVER"))
	require.NoError(t, err)
	read, err := lib.Find("fakeGet")
	require.NoError(t, err)
	counter := func(name string) int64 {
		text := append([]byte(name), 0)
		return int64(dynlib.Call(read, uintptr(unsafe.Pointer(&text[0]))))
	}
	dev, err := cuda.Open(0, "f32")
	require.NoError(t, err)
	m := prior.RandomTiny(3).On(dev)
	m.UNet.Params.Freeze(dev)
	m.VAE.Params.Freeze(dev)
	kernel, err := operator.Gaussian(9, 1.2)
	require.NoError(t, err)
	blur, err := operator.NewBlur(32, 32, 3, kernel)
	require.NoError(t, err)
	y := make([]float32, blur.Out().Len())
	r := rand.New(rand.NewPCG(1, 2))
	for i := range y {
		y[i] = float32(0.3 * r.NormFloat64())
	}
	spec, err := solver.Lookup("psld")
	require.NoError(t, err)
	method := spec.Default()
	require.NoError(t, param.Values{"steps": 6}.Only(method).Apply(method))
	var single, graphs []int64
	launches, started := counter("launches"), counter("graphs")
	_, err = solver.Solve(t.Context(), m, solver.Problem{A: blur, Y: y, Sigma: 0.1}, method,
		solver.Options{Seed: 7, Progress: func(solver.Progress) {
			single, graphs = append(single, counter("launches")-launches), append(graphs, counter("graphs")-started)
			launches, started = counter("launches"), counter("graphs")
		}})
	require.NoError(t, err)
	t.Log("kernels started one by one in each step", single, "and graphs", graphs)
	require.Less(t, single[5], single[0]/4)
	require.Positive(t, graphs[5])
}
