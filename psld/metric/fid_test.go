package metric

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"psld/autograd"
	"psld/internal/golden"
	"psld/psld/picture"
	"psld/tensor"
	"psld/tensor/cpu"
)

// generatedNorms is the source of a random Inception by the weight rule of the golden cases.
type generatedNorms struct{}

func (generatedNorms) Read(name string, shape []int, dst []float32) error {
	key := "fid_inception." + name
	if len(shape) > 1 || !strings.HasSuffix(name, "weight") && !strings.HasSuffix(name, "running_var") {
		return generated("fid_inception.").Read(name, shape, dst)
	}
	for i, u := range golden.Uniform(key, len(dst)) {
		dst[i] = float32(1 + float64(0.3*u))
	}
	return nil
}

// TestGoldenInception compares the maps of a random Inception-v3 with pytorch-fid's, from 8-bit pictures on.
func TestGoldenInception(t *testing.T) {
	for _, dir := range golden.Folders(t, "metrics") {
		f := golden.Load(t, filepath.Join(dir, "metrics.safetensors"))
		img, err := f.Bytes("inception.img_uint8")
		require.NoError(t, err)
		info, _ := f.Info("inception.img_uint8")
		n, h, w := info.Shape[0], info.Shape[2], info.Shape[3]
		net, err := newInception(generatedNorms{})
		require.NoError(t, err)
		for i := range n {
			p := picture.New(w, h)
			for k := range p.Pix {
				p.Pix[k] = float32(float64(img[(i*3+k%3)*h*w+k/3])/255*2 - 1)
			}
			x, err := enlarged(p)
			require.NoError(t, err)
			g := autograd.NoGrad(cpu.F32)
			for b, m := range net.maps(g, g.Const(x)) {
				c := m.T.Dim(3)
				check := func(name string, got []float32) {
					if !f.Has(name) {
						return
					}
					want, _ := golden.F32(t, f, name)
					golden.Check(t, name, got, want[i*len(got):(i+1)*len(got)], 2e-5)
				}
				host := cpu.F32.Host(m.T)
				check("inception.block"+string(rune('0'+b))+".spatial_mean", means(host, c))
				check("inception.block"+string(rune('0'+b))+".corner4x4", corner(host, m.T.Dim(2), c))
			}
			g.Release()
			got, err := net.of(p)
			require.NoError(t, err)
			want, _ := golden.F32(t, f, "inception.pool3")
			golden.Check(t, "pool3", got, want[i*features:(i+1)*features], 2e-5)
		}
	}
}

// corner are the 4 x 4 upper left pixels of a map [1,h,w,c], as [c][4][4].
func corner(m []float32, w, c int) []float32 {
	out := make([]float32, 16*c)
	if len(m) < ((3*w+3)*c + c) {
		return out
	}
	for i := range out {
		out[i] = m[((i/4%4)*w+i%4)*c+i/16]
	}
	return out
}

// TestGoldenFrechet compares both ways to the distance with scipy's root of a matrix and with eigenvalues.
func TestGoldenFrechet(t *testing.T) {
	for _, dir := range golden.Folders(t, "metrics") {
		var cases struct {
			Frechet []struct {
				Name  string
				Dim   int
				Sqrtm float64 `json:"fid_scipy_sqrtm"`
				Eigen float64 `json:"fid_symmetric_eigen"`
			}
		}
		golden.JSON(t, filepath.Join(dir, "metrics.json"), &cases)
		f := golden.Load(t, filepath.Join(dir, "metrics.safetensors"))
		require.NotEmpty(t, cases.Frechet)
		for _, c := range cases.Frechet {
			read := func(name string) *mat.Dense {
				v, shape := golden.F32(t, f, "fid."+c.Name+"."+name)
				m := mat.NewDense(shape[0], shape[1], nil)
				for i, x := range v {
					m.Set(i/shape[1], i%shape[1], float64(x))
				}
				return m
			}
			normal := func(x *mat.Dense) ([]float64, *mat.SymDense) {
				var cov mat.SymDense
				stat.CovarianceMatrix(&cov, x, nil)
				mean := make([]float64, c.Dim)
				for j := range mean {
					mean[j] = stat.Mean(mat.Col(nil, j, x), nil)
				}
				return mean, &cov
			}
			limit := 1e-8
			if strings.Contains(c.Name, "singular") {
				limit = 1e-6
			}
			x, y := read("x"), read("y")
			m1, c1 := normal(x)
			m2, c2 := normal(y)
			got, err := Frechet(m1, c1, m2, c2)
			require.NoError(t, err)
			require.InEpsilon(t, c.Eigen, got, limit, c.Name)
			require.InEpsilon(t, c.Sqrtm, got, limit, c.Name)
			back, err := Frechet(m2, c2, m1, c1)
			require.NoError(t, err)
			require.InEpsilon(t, got, back, limit)
			rows, err := FrechetRows(x, y)
			require.NoError(t, err)
			require.InEpsilon(t, c.Eigen, rows, limit, c.Name)
		}
	}
}

// TestFrechetAxes: for covariances with the same axes the distance is a sum over them, (m1-m2)^2 + (s1-s2)^2.
func TestFrechetAxes(t *testing.T) {
	diagonal := func(v ...float64) *mat.SymDense {
		s := mat.NewSymDense(len(v), nil)
		for i, x := range v {
			s.SetSym(i, i, x)
		}
		return s
	}
	d, err := Frechet([]float64{1, 2, 3}, diagonal(4, 0, 1), []float64{1, 0, 3}, diagonal(1, 9, 0))
	require.NoError(t, err)
	require.InDelta(t, 4+1+9+1, d, 1e-12)
	nan := diagonal(math.NaN(), 1, 1)
	if d, err = Frechet([]float64{0, 0, 0}, nan, []float64{0, 0, 0}, nan); err == nil {
		require.True(t, math.IsNaN(d))
	}
}

// randomSet is a set of n features; its values are of about 0.4, as Inception's.
func randomSet(n int, seed uint64) featureSet {
	r := rand.New(rand.NewPCG(seed, 0))
	s := featureSet{n: n, rows: make([]int32, n*features)}
	for i := range s.rows {
		s.rows[i] = int32((0.4 + 0.3*r.NormFloat64() + 0.01*float64(i%7)) / featureUnit)
	}
	return s
}

// TestFeatureSums: the sums hold the mean and covariance of the rows, and are the same bits however they are put
// together.
func TestFeatureSums(t *testing.T) {
	all := randomSet(12, 1)
	sums := featureSet{n: all.n, rows: all.rows}
	sums.collapse()
	mean, cov := sums.normal()
	x := all.matrix()
	for j := 0; j < features; j += 100 {
		require.InDelta(t, stat.Mean(mat.Col(nil, j, x), nil), mean[j], 1e-12)
		for k := 0; k < features; k += 150 {
			require.InDelta(t, stat.Covariance(mat.Col(nil, j, x), mat.Col(nil, k, x), nil), cov.At(j, k), 1e-12)
		}
	}
	first := featureSet{n: 5, rows: all.rows[:5*features]}
	rest := featureSet{n: 7, rows: all.rows[5*features:]}
	rest.collapse()
	require.NoError(t, first.add(rest))
	require.Equal(t, sums, first)
	require.ErrorContains(t, first.add(featureSet{n: maxSet}), "more than 65536 pictures")
}

// sets puts features into an accumulator.
func sets(x, y featureSet) *fidSums { return &fidSums{sets: [2]featureSet{x, y}} }

// TestFIDMerge: merged or whole, and after JSON, the result is the same bits; what is broken or another's is refused.
func TestFIDMerge(t *testing.T) {
	x, y := randomSet(6, 1), randomSet(6, 2)
	part := func(s featureSet, from, to int) featureSet {
		return featureSet{n: to - from, rows: s.rows[from*features : to*features]}
	}
	for _, whole := range []Accumulator{sets(x, y), &kidRows{restored: x.rows, truth: y.rows}} {
		var a, b Accumulator = sets(part(x, 0, 2), part(y, 0, 2)), sets(part(x, 2, 6), part(y, 2, 6))
		if _, ok := whole.(*kidRows); ok {
			cut := 2 * features
			a = &kidRows{restored: x.rows[:cut:cut], truth: y.rows[:cut:cut]}
			b = &kidRows{restored: x.rows[cut:], truth: y.rows[cut:]}
		}
		want := whole.Result()
		require.Equal(t, 6, want.N)
		require.True(t, math.IsNaN(want.Deviation))
		text, err := json.Marshal(b)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(text, b))
		require.NoError(t, a.Merge(b))
		require.Equal(t, math.Float64bits(want.Mean), math.Float64bits(a.Result().Mean))
		require.ErrorContains(t, a.Merge(psnr.New()), "cannot merge another metric")
		require.Error(t, json.Unmarshal([]byte(`{"metric":"psnr"}`), a))
		require.Error(t, json.Unmarshal([]byte(strings.Replace(string(text), `"n":4`, `"n":3`, 2)), a))
	}
	one := sets(part(x, 0, 1), part(y, 0, 1)).Result()
	require.Equal(t, 1, one.N)
	require.True(t, math.IsNaN(one.Mean))
	same := sets(x, x).Result()
	require.InDelta(t, 0, same.Mean, 1e-9)
	require.Equal(t, "metric fid: n/a, it needs "+inceptionFile, (&Missing{fidInfo}).Error())
	_, err := whole([]float32{17})
	require.ErrorContains(t, err, "its weights are not those of pytorch-fid")
}

// TestKID against the definition, and without bias: over sets of one distribution its mean is 0.
func TestKID(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const d = 5
	draw := func(n int, shift float64) *mat.Dense {
		m := mat.NewDense(n, d, nil)
		for i := range n * d {
			m.Set(i/d, i%d, r.NormFloat64()+shift)
		}
		return m
	}
	k := func(a, b []float64) float64 {
		return math.Pow(mat.Dot(mat.NewVecDense(d, a), mat.NewVecDense(d, b))/d+1, 3)
	}
	x, y := draw(4, 0), draw(3, 1)
	want := 0.0
	for i := range 4 {
		for j := range 4 {
			if i != j {
				want += k(x.RawRowView(i), x.RawRowView(j)) / 12
			}
		}
		for j := range 3 {
			want -= 2 * k(x.RawRowView(i), y.RawRowView(j)) / 12
		}
	}
	for i := range 3 {
		for j := range 3 {
			if i != j {
				want += k(y.RawRowView(i), y.RawRowView(j)) / 6
			}
		}
	}
	require.InDelta(t, want, KID(x, y), 1e-12)
	const sets = 400
	var all []float64
	for range sets {
		all = append(all, KID(draw(10, 0), draw(10, 0)))
	}
	mean, dev := stat.MeanStdDev(all, nil)
	require.InDelta(t, 0, mean, 5*dev/math.Sqrt(sets))
}

// TestPool3 against windows counted by hand.
func TestPool3(t *testing.T) {
	x := tensor.From([]float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, 1, 3, 4, 1)
	g := autograd.NoGrad(cpu.F32)
	defer g.Release()
	host := func(b block) []float32 { return cpu.F32.Host(b(g, g.Const(x)).T) }
	require.Equal(t, []float32{11}, host(shrinkMax))
	require.Equal(t, []float32{6, 7, 8, 8, 10, 11, 12, 12, 10, 11, 12, 12}, host(sameMax))
	require.Equal(t, []float32{3.5, 4, 5, 5.5, 5.5, 6, 7, 7.5, 7.5, 8, 9, 9.5}, host(sameMean))
}

// TestHub: without a path the weights are looked for in the cache of torch's hub.
func TestHub(t *testing.T) {
	t.Setenv("TORCH_HOME", t.TempDir())
	_, err := Open("fid", "")
	var lacks *Missing
	require.ErrorAs(t, err, &lacks)
	require.Equal(t, "inception-weights", FlagOf("fid"))
	require.Equal(t, "lpips-weights", FlagOf("lpips-alex"))
	require.Empty(t, FlagOf("psnr"))
	dir := filepath.Join(os.Getenv("TORCH_HOME"), "hub", "checkpoints")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, hubInception), []byte("no weights"), 0o644))
	_, err = Open("kid", "")
	require.ErrorContains(t, err, "metric kid")
	require.NotErrorAs(t, err, &lacks)
}
