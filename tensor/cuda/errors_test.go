//go:build cuda

package cuda

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/autograd"
	"psld/tensor"
	"psld/tensor/cuda/nvrtc"
	"psld/tensor/devicetest"
)

// TestErrorsOfOpening: one clear error for each thing that a machine may lack.
func TestErrorsOfOpening(t *testing.T) {
	newDevice(t) // skips where there is no emulated driver
	defer fakeCall("fakeReset")
	for _, c := range []struct {
		change func()
		want   string
	}{
		{func() { set("devices", 0) }, "cuda: the NVIDIA driver finds no GPU"},
		{func() { fail("cuInit", 1, noDevice) }, "cuda: the NVIDIA driver finds no GPU"},
		{func() { fail("cuInit", 1, 999) }, "cuda: cuInit: CUDA_ERROR_UNKNOWN (999)"},
		{func() { set("version", 10020) }, "cuda: the NVIDIA driver is for CUDA 10.2, and must be for 11.0 or later"},
		{func() { set("capability", 70) },
			"cuda: Emulated GPU 0 has compute capability 7.0, and must have 7.5 or later"},
		{func() { fail("cuDevicePrimaryCtxRetain", 1, 999) }, "cuda: Emulated GPU 0: cuDevicePrimaryCtxRetain: " +
			"CUDA_ERROR_UNKNOWN (999)"},
		{func() { fail("cuStreamCreate", 1, 2) }, "cuda: Emulated GPU 0: cuStreamCreate: CUDA_ERROR_OUT_OF_MEMORY (2)"},
	} {
		fakeCall("fakeReset")
		opened = nil
		before := get("objects")
		c.change()
		_, err := newGPU(0)
		require.EqualError(t, err, c.want)
		require.Equal(t, before, get("objects"), c.want)
	}
	fakeCall("fakeReset")
	_, err := newGPU(3)
	require.EqualError(t, err, "cuda: there is no GPU 3, this machine has 1")
	opened = nil
	t.Setenv("PSLD_CUDA_DRIVER", "libnothing.so")
	_, err = List()
	require.EqualError(t, err, "cuda: no NVIDIA driver on this machine: libnothing.so cannot be opened")
	t.Setenv("PSLD_CUDA_DRIVER", "libc.so.6")
	_, err = List()
	require.ErrorContains(t, err, "cuda: the NVIDIA driver is too old: libc.so.6 has no cu")
}

// TestNamed: a library that somebody names is used, or the device is not opened.
func TestNamed(t *testing.T) {
	newDevice(t)
	require.Equal(t, "kernels from the PTX in the program, no cuBLASLt", Libraries())
	for _, name := range []string{"PSLD_NVRTC", "PSLD_CUBLASLT"} {
		t.Run(name, func(t *testing.T) {
			for _, value := range []string{"libnothing.so", "libc.so.6"} {
				t.Setenv(name, value)
				_, err := newGPU(0)
				require.ErrorContains(t, err, "cuda: "+name+"="+value+", want a library or none: ")
			}
		})
	}
	driver := os.Getenv("PSLD_CUDA_DRIVER")
	t.Setenv("PSLD_CUBLASLT", driver)
	require.Contains(t, Libraries(), "products by "+driver)
}

func TestList(t *testing.T) {
	newDevice(t)
	defer fakeCall("fakeReset")
	set("devices", 2)
	list, err := List()
	require.NoError(t, err)
	require.Equal(t, []Info{{0, "Emulated GPU 0", 90, 8 << 30, nil}, {1, "Emulated GPU 1", 90, 8 << 30, nil}}, list)
	a, err := Open(1, "f32")
	require.NoError(t, err)
	again, err := Open(1, "f32")
	require.NoError(t, err)
	require.Same(t, a, again)
	cores, err := Open(1, "bf16")
	require.NoError(t, err)
	require.Equal(t, []string{"cuda:1", "cuda:1/bf16"}, []string{a.Name(), cores.Name()})
	devices.gpus[1].close()
	clear(devices.gpus)
	clear(devices.of)
	set("capability", 75)
	_, err = Open(0, "bf16")
	require.EqualError(t, err,
		"cuda: Emulated GPU 0 multiplies no bf16: it has compute capability 7.5, and would need 8.0")
	devices.gpus[0].close()
	clear(devices.gpus)
}

// weight is that of work: a device keeps its copy with it.
func weight() *tensor.Tensor {
	w := tensor.New(8, 8, 3, 3)
	for i := range w.Data {
		w.Data[i] = float32(i%5) - 2
	}
	return w
}

// work is a product with its gradients, which takes some memory.
func work(d *device, w *tensor.Tensor) (err error) {
	defer tensor.Catch(&err)
	g := autograd.NewGraph(d)
	defer g.Release()
	x := tensor.New(1, 16, 16, 8)
	for i := range x.Data {
		x.Data[i] = float32(i % 3)
	}
	v := g.Input(x)
	y := g.Conv2d(v, autograd.NewParam(w), nil, tensor.SameConv(3))
	g.Backward(g.Norm2(y), nil)
	d.Host(v.Grad())
	return nil
}

// TestOutOfMemory: it ends the computation in an error; what that had is free, and the next one is as good as any.
func TestOutOfMemory(t *testing.T) {
	d, w := newDevice(t), weight()
	d.memory.whole = true
	require.NoError(t, work(d, w))
	fail("cuMemAlloc_v2", 3, outOfMemory)
	require.NoError(t, work(d, w), "the allocator tries again when it has given back what it can")
	used := d.memory.used
	d.memory.budget = used + 3000
	err := work(d, w)
	var none *tensor.OutOfMemory
	require.ErrorAs(t, err, &none)
	require.Equal(t, "cuda:0", none.Device)
	require.Equal(t, used, d.memory.used)
	d.memory.budget = 1 << 30
	set("memory", int(get("bytes"))+3000)
	require.ErrorAs(t, work(d, w), &none)
	fakeCall("fakeReset")
	require.NoError(t, work(d, w))
	require.Equal(t, used, d.memory.used)
}

// TestLost: after a fault of the GPU all further work ends in the same error, and memory still goes back.
func TestLost(t *testing.T) {
	for _, call := range []string{"cuLaunchKernel", "cuStreamSynchronize", "cuMemcpyHtoDAsync_v2",
		"cuMemcpyDtoHAsync_v2"} {
		d, w := newDevice(t), weight()
		require.NoError(t, work(d, w))
		x := d.Get(5)
		used := d.memory.used
		fail(call, 1, 719)
		err := work(d, w)
		require.ErrorContains(t, err, "cuda:0 does not answer any more, start the program again")
		require.ErrorContains(t, err, "CUDA_ERROR_LAUNCH_FAILED (719)")
		var cause *Error
		require.True(t, errors.As(err, &cause))
		fakeCall("fakeReset")
		require.Equal(t, err, work(d, w))
		require.Equal(t, used, d.memory.used)
		d.Put(x)
	}
}

// TestNothingLeft: steps give back all that they take, also what is forgotten to the collector.
func TestNothingLeft(t *testing.T) {
	d, w := newDevice(t), weight()
	require.NoError(t, work(d, w))
	used := d.memory.used
	for range 3 {
		require.NoError(t, work(d, w))
		w.Changed() // what was kept goes back without the collector
	}
	require.NoError(t, work(d, w))
	require.Equal(t, used, d.memory.used)
	for range 10 {
		y, x := d.Get(1, 1, 1, 64), tensor.New(1, 1, 1, 64)
		d.Conv2d(y, x, tensor.New(64, 64, 1, 1), nil, tensor.SameConv(1), tensor.Epilogue{})
		d.Put(y)
	}
	d.Place(tensor.New(1000)) // nobody has it
	d.memory.budget = d.memory.held
	func() {
		defer func() { require.IsType(t, &tensor.OutOfMemory{}, recover()) }()
		d.Get(1 << 30)
	}()
	d.Sync()
	require.Equal(t, used, d.memory.used)
	require.NoError(t, work(d, w))
}

// withBlas gives a device the emulated cuBLASLt, for products of any size.
func withBlas(t *testing.T, d *device) {
	t.Helper()
	d.blas.close()
	before := get("objects")
	t.Setenv("PSLD_CUBLASLT", os.Getenv("PSLD_CUDA_DRIVER"))
	d.blas = openBlas()
	require.NotNil(t, d.blas)
	d.blas.from = 0
	require.Equal(t, before+1, get("objects"))
}

// TestBlas: products of cuBLASLt in each precision, and what it holds goes back (newDevice checks that).
func TestBlas(t *testing.T) {
	for kind, products := range rounding {
		t.Run(kind, func(t *testing.T) {
			d := newDevice(t)
			withBlas(t, d)
			d.memory.whole, d.kind = true, kind
			before := get("products")
			devicetest.RunCases(t, d, products, func(c *devicetest.Case) bool {
				return strings.HasPrefix(c.Op, "Linear") || strings.Contains(c.Name, "_k1x1s1p0000")
			})
			require.Greater(t, get("products"), before+8)
		})
	}
}

// TestBlasRefuses: where the library cannot multiply, the own kernels do; where it fails, the GPU is lost.
func TestBlasRefuses(t *testing.T) {
	linear := func(d *device) (y []float32, err error) {
		defer tensor.Catch(&err)
		x, w, out := tensor.New(1, 1, 8, 16), tensor.New(8, 16, 1, 1), d.Get(1, 1, 8, 8)
		defer d.Put(out)
		for i := range x.Data {
			x.Data[i] = float32(i % 7)
		}
		for i := range w.Data {
			w.Data[i] = float32(i%5) - 2
		}
		d.Conv2d(out, x, w, nil, tensor.SameConv(1), tensor.Epilogue{})
		return d.Host(out), nil
	}
	want, err := linear(newDevice(t))
	require.NoError(t, err)
	before := get("products")
	for _, call := range []string{"cublasLtMatmulDescCreate", "cublasLtMatrixLayoutCreate",
		"cublasLtMatmulPreferenceCreate", "cublasLtMatmulAlgoGetHeuristic"} {
		d := newDevice(t)
		withBlas(t, d)
		for range 2 { // it is asked once
			fail(call, 1, 15)
			got, err := linear(d)
			require.NoError(t, err)
			require.Equal(t, want, got, call)
		}
		require.Equal(t, before, get("products"))
	}
	d := newDevice(t)
	withBlas(t, d)
	got, err := linear(d)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.Equal(t, before+1, get("products"))
	fail("cublasLtMatmul", 1, 13)
	_, err = linear(d)
	require.ErrorContains(t, err, "cublasLtMatmul: status 13 of cuBLAS")
	t.Setenv("PSLD_CUBLASLT", "none")
	require.Nil(t, openBlas())
	t.Setenv("PSLD_CUBLASLT", "libc.so.6")
	require.Nil(t, openBlas())
}

// same does the same work several times, of more jobs than a queue holds, and gives the result of each.
func same(d *device, times int) (all [][]float32, err error) {
	defer tensor.Catch(&err)
	x := d.Get(100)
	defer d.Put(x)
	d.blas = nil
	for i := range times {
		d.Fill(x, 1)
		for j := range 2 * queueLength {
			d.Scale(x, 1+float32(j%3)/100, x)
		}
		d.Axpy(x, float32(i), x) // a number of the step
		all = append(all, d.Host(x))
	}
	return all, nil
}

// TestGraphs: work that repeats becomes graphs, of the same bits, and what they hold goes back (newDevice checks
// that).
func TestGraphs(t *testing.T) {
	t.Setenv("PSLD_CUDA_GRAPHS", "none")
	d := newDevice(t)
	before := get("graphs")
	want, err := same(d, 5)
	require.NoError(t, err)
	require.Equal(t, before, get("graphs"))
	t.Setenv("PSLD_CUDA_GRAPHS", "")
	d = newDevice(t)
	got, err := same(d, 5)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.EqualValues(t, before+2*4, get("graphs"), "two for each time but the first; what is behind them is short")
	for i := range 2 * mostGraphs { // other numbers each time
		x := d.Get(3)
		for range shortest {
			d.Fill(x, float32(i))
		}
		d.Sync()
		d.Put(x)
	}
	require.LessOrEqual(t, len(d.queue.graphs), mostGraphs)
}

// TestGraphsThatFail: where the driver makes no graph the work is done without; a fault of the work is one as ever.
func TestGraphsThatFail(t *testing.T) {
	want, err := same(newDevice(t), 4)
	require.NoError(t, err)
	for _, call := range []string{"cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"} {
		d := newDevice(t)
		fail(call, 2, outOfMemory)
		got, err := same(d, 4)
		require.NoError(t, err)
		require.Equal(t, want, got, call)
		require.True(t, d.queue.off)
	}
	// The latter while it is recorded.
	for call, n := range map[string]int{"cuGraphLaunch": 3, "cuLaunchKernel": 2*queueLength + 50} {
		d := newDevice(t)
		used := d.memory.used
		fail(call, n, 719)
		_, err := same(d, 4)
		require.ErrorContains(t, err, "cuda:0 does not answer any more, start the program again")
		fakeCall("fakeReset")
		require.Equal(t, used, d.memory.used)
	}
}

// TestBackwards: the same bits with threads and blocks in the opposite order, where a barrier that lacks shows.
func TestBackwards(t *testing.T) {
	d := newDevice(t)
	for i, c := range devicetest.Check() {
		if i%5 != 0 {
			continue
		}
		results := func(backwards int) (all [][]float32) {
			set("backwards", backwards)
			g := autograd.NewGraph(d)
			defer g.Release()
			x := c.Values(g, c.Inputs(), true)
			y := c.Run(g, x)
			all = append(all, d.Host(y.T))
			g.Backward(y, nil)
			for _, v := range x {
				all = append(all, d.Host(v.Grad()))
			}
			return all
		}
		require.Equal(t, results(0), results(1), c.Name)
	}
}

func TestCeilings(t *testing.T) {
	d := newDevice(t)
	for _, d.kind = range Precisions {
		require.Positive(t, d.MultiplyAdds(time.Microsecond))
	}
	require.Positive(t, d.Copies(time.Microsecond))
	require.GreaterOrEqual(t, d.Peak(), int64(256<<20))
	require.Zero(t, d.Peak())
	require.InDelta(t, 7.5*(1<<30), tensor.Meter(d).Limit(), 1<<28)
}

// TestCompiledOnce: what NVRTC makes of kernels is kept for the next time; where it makes nothing, the PTX does.
func TestCompiledOnce(t *testing.T) {
	d, w := newDevice(t), weight()
	t.Setenv("PSLD_NVRTC", os.Getenv("PSLD_CUDA_DRIVER"))
	fakeNVRTC, err := nvrtc.Open()
	require.NoError(t, err)
	defer func(old func() *nvrtc.Compiler) { compiler = old }(compiler)
	compiler = func() *nvrtc.Compiler { return fakeNVRTC }
	cached := func() int {
		files, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "psld", "cuda", "*.cubin"))
		require.NoError(t, err)
		return len(files)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	fail("nvrtcCompileProgram", 1, 6)
	require.NoError(t, work(d, w))
	n := cached()
	require.Greater(t, n, 1)
	require.NoError(t, work(newDevice(t), w))
	require.Equal(t, n+1, cached(), "one was not compiled the first time")
	before := get("compiles")
	require.NoError(t, work(newDevice(t), w))
	require.Equal(t, before, get("compiles"), "all of it is in the cache")
	fail("nvrtcCompileProgram", 1, 6)
	_, err = fakeNVRTC.Compile("a.cu", "x", "sm_90")
	require.EqualError(t, err, "NVRTC 12.9 does not compile a.cu for sm_90:\nerror")
}
