package metric

import (
	"encoding/json"
	"fmt"

	"gonum.org/v1/gonum/mat"

	"psld/psld/picture"
)

// kidInfo is that of the kernel inception distance.
var kidInfo = Info{Name: "kid", Title: "KID", Digits: 4, Needs: inceptionFile, Flag: inceptionFlag,
	File: hubInception}

// kid is the kernel inception distance (Binkowski et al. 2018): the unbiased estimate of the squared maximum mean
// discrepancy between the features of the restored pictures and the true ones, with the kernel (x'y/2048 + 1)^3, over
// all pairs. Unlike FID it does not depend on the number of pictures but for chance. Of a set of more than 2,048
// pictures it takes the first ones, so that its memory is bounded.
type kid struct{ net *inception }

// kidMost is the number of pictures that count.
const kidMost = 2048

func openKID(path string) (Metric, error) {
	net, err := openInception(path)
	if err != nil {
		return nil, fmt.Errorf("metric kid: %w", err)
	}
	return kid{net}, nil
}

func (m kid) Info() Info       { return kidInfo }
func (m kid) New() Accumulator { return &kidRows{kid: m} }

// kidRows gathers the features, [n][features] each, in whole units (see featureUnit).
type kidRows struct {
	kid
	restored, truth []int32
	last            *Result
}

func (a *kidRows) n() int { return len(a.restored) / features }

// Add implements Accumulator.
func (a *kidRows) Add(restored, truth *picture.Picture) error {
	if a.n() >= kidMost {
		return nil
	}
	both, err := a.net.pair(restored, truth)
	if err != nil {
		return err
	}
	a.restored, a.truth, a.last = append(a.restored, both[0]...), append(a.truth, both[1]...), nil
	return nil
}

// Merge implements Accumulator.
func (a *kidRows) Merge(other Accumulator) error {
	b, ok := other.(*kidRows)
	if !ok {
		return fmt.Errorf("metric: cannot merge another metric into %s", kidInfo.Title)
	}
	more := min(b.n(), kidMost-a.n()) * features
	a.restored, a.truth = append(a.restored, b.restored[:more]...), append(a.truth, b.truth[:more]...)
	a.last = nil
	return nil
}

// Result implements Accumulator. The distance needs two pictures.
func (a *kidRows) Result() Result {
	if a.last == nil {
		r := Summary(nil)
		if r.N = a.n(); r.N > 1 {
			x, y := featureSet{n: r.N, rows: a.restored}, featureSet{n: r.N, rows: a.truth}
			r.Mean = KID(x.matrix(), y.matrix())
		}
		a.last = &r
	}
	return *a.last
}

// KID is the unbiased squared maximum mean discrepancy of the rows of x and y, at least two each and of the same
// length d, with the kernel (x'y/d + 1)^3.
func KID(x, y *mat.Dense) float64 {
	n, d := x.Dims()
	m, _ := y.Dims()
	kernel := func(a, b *mat.Dense, same bool) (sum float64) {
		var k mat.Dense
		k.Mul(a, b.T())
		rows, cols := k.Dims()
		for i := range rows {
			for j := range cols {
				if same && i == j {
					continue
				}
				v := k.At(i, j)/float64(d) + 1
				sum += v * v * v
			}
		}
		return sum
	}
	return kernel(x, x, true)/float64(n*(n-1)) + kernel(y, y, true)/float64(m*(m-1)) -
		2*kernel(x, y, false)/float64(n*m)
}

// MarshalJSON implements json.Marshaler.
func (a *kidRows) MarshalJSON() ([]byte, error) {
	return json.Marshal(fidState{kidInfo.Name, []storedFeatures{{N: a.n(), Rows: encode(a.restored)},
		{N: a.n(), Rows: encode(a.truth)}}})
}

// UnmarshalJSON implements json.Unmarshaler. The state of another metric, or one that is not whole, is an error.
func (a *kidRows) UnmarshalJSON(b []byte) error {
	var s fidState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Metric != kidInfo.Name || len(s.Sets) != 2 || s.Sets[0].N != s.Sets[1].N || s.Sets[0].N > kidMost {
		return fmt.Errorf("metric: values of %q, want those of %q", s.Metric, kidInfo.Name)
	}
	n := s.Sets[0].N
	restored, err := decode[int32](s.Sets[0].Rows, n*features)
	if err != nil {
		return fmt.Errorf("metric: the features of %s are not whole: %w", kidInfo.Name, err)
	}
	truth, err := decode[int32](s.Sets[1].Rows, n*features)
	if err != nil {
		return fmt.Errorf("metric: the features of %s are not whole: %w", kidInfo.Name, err)
	}
	a.restored, a.truth, a.last = restored, truth, nil
	return nil
}
