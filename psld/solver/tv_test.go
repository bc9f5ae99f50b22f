package solver

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/psld/operator"
	"psld/psld/param"
)

var exact = TV{Iterations: 3000, CGSteps: 50, Tol: 1e-6}

// solveTV runs total variation; zero fields take their defaults, progress may be nil.
func solveTV(ctx context.Context, a operator.Linear, y []float32, o TV, progress func(Progress)) ([]float32, error) {
	d := TV{Lambda: 0.03, Iterations: 100, CGSteps: 10, Tol: 1e-3}
	o.Lambda, o.Tol = cmp.Or(o.Lambda, d.Lambda), cmp.Or(o.Tol, d.Tol)
	o.Iterations, o.CGSteps = cmp.Or(o.Iterations, d.Iterations), cmp.Or(o.CGSteps, d.CGSteps)
	res, err := Solve(ctx, nil, Problem{A: a, Y: y}, &o, Options{Progress: progress})
	if res == nil {
		return nil, err
	}
	return res.X, err
}

func randn(n int, std float64, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, 9))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(std * rng.NormFloat64())
	}
	return x
}

// gradientAdjoint: x = D' d. What d holds in the last column and row is ignored, as D never writes there.
func gradientAdjoint(x []float32, d field, s operator.Shape) {
	row := s.W * s.C
	clear(x)
	for y := range s.H {
		r, dx := x[y*row:(y+1)*row], d[0][y*row:(y+1)*row]
		for i := range row - s.C {
			r[i] -= dx[i]
			r[i+s.C] += dx[i]
		}
	}
	for i := range len(x) - row {
		x[i] -= d[1][i]
		x[i+row] += d[1][i]
	}
}

// TestDifferences: D on a picture that one can do by head, D' against D, and D'D in one sweep.
func TestDifferences(t *testing.T) {
	d := newField(4)
	gradient(d, []float32{1, 4, 3, 9}, operator.Shape{H: 2, W: 2, C: 1})
	require.Equal(t, field{{3, 0, 6, 0}, {2, 5, 0, 0}}, d)
	for _, s := range []operator.Shape{{H: 1, W: 1, C: 3}, {H: 1, W: 7, C: 1}, {H: 5, W: 1, C: 2}, {H: 6, W: 9,
		C: 3}} {
		n := s.Len()
		x, p, dx, back, lap := randn(n, 1, 1), field{randn(n, 1, 2), randn(n, 1, 3)}, newField(n), make([]float32,
			n), make([]float32, n)
		gradient(dx, x, s)
		gradientAdjoint(back, p, s)
		require.InDelta(t, operator.Dot(dx[0], p[0])+operator.Dot(dx[1], p[1]), operator.Dot(x, back), 1e-4, s)
		gradientAdjoint(back, dx, s)
		addLaplacian(lap, x, s, 0.5)
		for i := range lap {
			require.InDelta(t, 0.5*back[i], lap[i], 1e-5)
		}
	}
}

// TestTwoPixels: for a two-pixel picture the mean stays and the vector of channel differences is shortened by 2
// lambda.
func TestTwoPixels(t *testing.T) {
	for _, s := range []operator.Shape{{H: 1, W: 2, C: 3}, {H: 2, W: 1, C: 3}, {H: 2, W: 1, C: 1}} {
		for _, lambda := range []float64{0.01, 0.1, 0.25, 2} {
			y := []float32{0.5, -0.3, 0.1, -0.2, 0.4, 0.6}[:s.Len()]
			o := exact
			o.Lambda = lambda
			x, err := solveTV(t.Context(), operator.Identity(s), y, o, nil)
			require.NoError(t, err)
			var norm float64
			for c := range s.C {
				norm = math.Hypot(norm, float64(y[s.C+c]-y[c]))
			}
			keep := max(0, 1-2*lambda/norm)
			for c := range s.C {
				mean, half := float64(y[c]+y[s.C+c])/2, keep*float64(y[s.C+c]-y[c])/2
				require.InDelta(t, mean-half, x[c], 1e-5)
				require.InDelta(t, mean+half, x[s.C+c], 1e-5)
			}
		}
	}
}

// TestDenoiseAgainstDual compares with Chambolle's projected gradient on the dual problem, a different method whose
// duality gap bounds its own error: |x - x*|^2 <= 2 gap.
func TestDenoiseAgainstDual(t *testing.T) {
	s, lambda := operator.Shape{H: 12, W: 10, C: 3}, 0.2
	y := randn(s.Len(), 0.5, 4)
	a := operator.Identity(s)
	p, dx := newField(s.Len()), newField(s.Len())
	want := make([]float32, s.Len())
	for range 20000 {
		gradientAdjoint(want, p, s)
		for i := range want {
			want[i] = y[i] - want[i]
		}
		gradient(dx, want, s)
		for q := 0; q < s.Len(); q += s.C {
			var norm float64
			for d := range p {
				for i := q; i < q+s.C; i++ {
					p[d][i] += 0.125 * dx[d][i]
					norm = math.Hypot(norm, float64(p[d][i]))
				}
			}
			if norm > lambda {
				for d := range p {
					for i := q; i < q+s.C; i++ {
						p[d][i] *= float32(lambda / norm)
					}
				}
			}
		}
	}
	// Dual value: 1/2|y|^2 - 1/2|y - D'p|^2.
	gap := objective(a, want, y, lambda) - operator.Dot(y, y)/2 + operator.Dot(want, want)/2
	require.Less(t, gap, 1e-4)
	o := exact
	o.Lambda = lambda
	got, err := solveTV(t.Context(), a, y, o, nil)
	require.NoError(t, err)
	var e float64
	for i := range got {
		e += math.Pow(float64(got[i]-want[i]), 2)
	}
	require.Less(t, math.Sqrt(e), 2*math.Sqrt(2*max(gap, 0))+1e-3)
	require.InDelta(t, objective(a, want, y, lambda), objective(a, got, y, lambda), 1e-4)
}

// TestOptimality: no random step from the solution lowers the objective, for every kind of operator, and the residuals
// have fallen below the tolerance.
func TestOptimality(t *testing.T) {
	for _, name := range []string{"random70", "box40", "sr4", "gauss1.5", "motion", "denoise"} {
		t.Run(name, func(t *testing.T) {
			const n, lambda = 24, 0.05
			a := tvTask(t, name, n, 3)
			truth := make([]float32, a.In().Len())
			for i := range truth { // a disc and a ramp
				y, x := i/3/n, i/3%n
				truth[i] = float32(x)/n - 0.5
				if (x-12)*(x-12)+(y-10)*(y-10) < 49 {
					truth[i] = 0.8 - 0.5*float32(i%3)
				}
			}
			y := make([]float32, a.Out().Len())
			a.Apply(y, truth)
			operator.AddGaussian(y, 0.05, 1)
			var last Progress
			o := TV{Lambda: lambda, Iterations: 2000, CGSteps: 50, Tol: 1e-4}
			x, err := solveTV(t.Context(), a, y, o, func(p Progress) { last = p })
			require.NoError(t, err)
			require.Less(t, last.Term("primal"), 1e-4)
			require.Less(t, last.Term("dual"), 1e-4)
			require.Equal(t, last.Step, last.Steps, "it has converged")
			best := objective(a, x, y, lambda)
			require.InEpsilon(t, best, last.Loss, 1e-6)
			start := make([]float32, len(x))
			a.Adjoint(start, y)
			require.Less(t, best, objective(a, start, y, lambda))
			require.Less(t, best, objective(a, truth, y, lambda))
			moved := make([]float32, len(x))
			for seed := range uint64(20) {
				for _, size := range []float64{1e-4, 1e-2} {
					step := randn(len(x), size, seed)
					for i := range x {
						moved[i] = x[i] + step[i]
					}
					require.Greater(t, objective(a, moved, y, lambda), best-2e-4*best)
				}
				// Towards the truth, the direction in which a wrong solution would improve.
				for i := range x {
					moved[i] = x[i] + 0.001*float32(seed)*(truth[i]-x[i])
				}
				require.GreaterOrEqual(t, objective(a, moved, y, lambda), best-2e-4*best)
			}
		})
	}
}

func TestTVErrors(t *testing.T) {
	a := operator.Identity(operator.Shape{H: 2, W: 2, C: 1})
	y := make([]float32, 4)
	for want, o := range map[string]TV{"lambda -1, want": {Lambda: -1}, "lambda 1e+30, want": {Lambda: 1e30},
		"rho 1e-30: want 0, or 3e-05 to": {Lambda: 0.03, Rho: 1e-30},
		"rho NaN":                        {Rho: math.NaN()}, "iterations -2": {Iterations: -2}} {
		_, err := solveTV(t.Context(), a, y, o, nil)
		require.ErrorContains(t, err, want)
	}
	_, err := solveTV(t.Context(), a, y[:3], TV{}, nil)
	require.ErrorContains(t, err, "measurement has 3 values, the operator gives 2x2x1 (4)")
	_, err = solveTV(t.Context(), a, []float32{0, 0, float32(math.Inf(1)), 0}, TV{}, nil)
	require.ErrorContains(t, err, "measurement value 2 is +Inf")
	ctx, cancel := context.WithCancel(t.Context())
	steps := 0
	x, err := solveTV(ctx, a, []float32{1, 2, 3, 4}, TV{}, func(Progress) { steps++; cancel() })
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, 1, steps)
	one, err := solveTV(t.Context(), a, []float32{1, 2, 3, 4}, TV{Iterations: 1}, nil)
	require.NoError(t, err)
	require.Equal(t, one, x, "the picture of the one step")
	// A constant or black measurement is a fixed point from the start.
	x, err = solveTV(t.Context(), a, y, TV{}, nil)
	require.NoError(t, err)
	require.Equal(t, y, x)
}

// objective is 1/2 |A x - y|^2 + lambda sum of |(Dx)_p|, what Solve minimises.
func objective(a operator.Linear, x, y []float32, lambda float64) float64 {
	r := make([]float32, len(y))
	a.Apply(r, x)
	var data, tv float64
	for i, v := range r {
		d := float64(v - y[i])
		data += d * d
	}
	dx := newField(len(x))
	gradient(dx, x, a.In())
	c := a.In().C
	for p := 0; p < len(x); p += c {
		var s float64
		for i := p; i < p+c; i++ {
			s += float64(dx[0][i])*float64(dx[0][i]) + float64(dx[1][i])*float64(dx[1][i])
		}
		tv += math.Sqrt(s)
	}
	return data/2 + lambda*tv
}

// TestTVIsADMM: a step is that of the splitting as it is written, with z and u of their own.
func TestTVIsADMM(t *testing.T) {
	p := blurProblem(t, 12, 9)
	o := TV{Lambda: 0.05, Rho: 0.4, Iterations: 6, CGSteps: 200, Tol: 1e-9}
	shape := p.A.In()
	n := shape.Len()
	x, z, u, dx := make([]float32, n), newField(n), newField(n), newField(n)
	p.A.Adjoint(x, p.Y)
	gradient(z, x, shape)
	for range o.Iterations {
		rhs, div, at := make([]float32, n), make([]float32, n), newField(n)
		for d := range at {
			for i := range at[d] {
				at[d][i] = z[d][i] - u[d][i]
			}
		}
		p.A.Adjoint(rhs, p.Y)
		gradientAdjoint(div, at, shape)
		for i, v := range div {
			rhs[i] += float32(o.Rho) * v
		}
		operator.CG(func(q, v []float32) {
			ax := make([]float32, len(p.Y))
			p.A.Apply(ax, v)
			p.A.Adjoint(q, ax)
			addLaplacian(q, v, shape, float32(o.Rho))
		}, x, rhs, o.CGSteps, o.Tol/10)
		gradient(dx, x, shape)
		for p := 0; p < n; p += shape.C {
			var norm float64
			for d := range dx {
				for i := p; i < p+shape.C; i++ {
					u[d][i] += relax*dx[d][i] + (1-relax)*z[d][i]
					norm = math.Hypot(norm, float64(u[d][i]))
				}
			}
			keep := float32(max(0, 1-o.Lambda/o.Rho/norm))
			for d := range dx {
				for i := p; i < p+shape.C; i++ {
					z[d][i] = keep * u[d][i]
					u[d][i] -= z[d][i]
				}
			}
		}
	}
	got, err := solveTV(t.Context(), p.A, p.Y, o, nil)
	require.NoError(t, err)
	require.InDeltaSlice(t, x, got, 1e-5)
}

// cancelling is an operator that ends a context when it has been applied a number of times.
type cancelling struct {
	operator.Linear
	left, after int
	cancel      context.CancelFunc
}

func (c *cancelling) Apply(dst, x []float32) {
	if c.left--; c.left < 0 {
		c.after++
	} else if c.left == 0 {
		c.cancel()
	}
	c.Linear.Apply(dst, x)
}

// TestTVStopsInside: a step ends in its middle, with the picture of the steps before it.
func TestTVStopsInside(t *testing.T) {
	y := make([]float32, 3*16*16)
	for i := range y {
		y[i] = float32(i%7)/7 - 0.5
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	id := operator.Identity(operator.Shape{H: 16, W: 16, C: 3})
	a := &cancelling{Linear: id, left: 12, cancel: cancel}
	m := &TV{}
	param.SetDefaults(m)
	m.Tol = 1e-9
	res, err := Solve(ctx, nil, Problem{A: a, Y: y}, m, Options{})
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, a.after, 3) // for the report of the last step
	require.NotNil(t, res)
	m.Iterations = max(1, res.Steps)
	same, err := Solve(t.Context(), nil, Problem{A: id, Y: y}, m, Options{})
	require.NoError(t, err)
	require.Positive(t, res.Steps)
	require.Equal(t, same.X, res.X)
}
