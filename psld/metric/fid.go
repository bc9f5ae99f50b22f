package metric

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"

	"psld/psld/picture"
)

// fidInfo is that of the Frechet inception distance.
var fidInfo = Info{Name: "fid", Title: "FID", Digits: 2, Needs: inceptionFile, Flag: inceptionFlag, File: hubInception,
	Least: 2048}

// fid is the Frechet inception distance (Heusel et al. 2017) between the restored pictures and the true ones, with the
// network of pytorch-fid. It is one of whole sets: fewer pictures give a higher value, and under 2,048 one that is not
// to be compared.
type fid struct{ net *inception }

func openFID(path string) (Metric, error) {
	net, err := openInception(path)
	if err != nil {
		return nil, fmt.Errorf("metric fid: %w", err)
	}
	return fid{net}, nil
}

func (m fid) Info() Info       { return fidInfo }
func (m fid) New() Accumulator { return &fidSums{fid: m} }

// Features are held as whole numbers of this unit: sums of whole numbers are exact, so that no order of adding and
// merging changes a bit. It is a part in 2^18 of what Inception usually gives.
const featureUnit = 1.0 / (1 << 19)

// maxFeature is the largest one that is taken, and maxSet the most pictures: sums of products fit into 63 bits.
const (
	maxFeature = 16
	maxSet     = 1 << 16
)

// rowsKept is the number of pictures whose features are held themselves; of more there are the sums alone.
const rowsKept = 1024

// fidSums gathers the features of the restored pictures and of the true ones.
type fidSums struct {
	fid
	sets [2]featureSet
	last *Result // of what is there, nil for not known
}

// featureSet is what is known of a set of pictures.
type featureSet struct {
	n       int
	rows    []int32 // [n][features], nil where there are the sums
	sum     []int64 // [features]
	product []int64 // [features][features], the upper triangle row by row
}

// Add implements Accumulator.
func (a *fidSums) Add(restored, truth *picture.Picture) error {
	both, err := a.net.pair(restored, truth)
	if err != nil {
		return err
	}
	for i := range a.sets {
		if err := a.sets[i].add(featureSet{n: 1, rows: both[i]}); err != nil {
			return err
		}
	}
	a.last = nil
	return nil
}

// pair are the features of two pictures in whole units.
func (n *inception) pair(restored, truth *picture.Picture) (both [2][]int32, err error) {
	for i, p := range []*picture.Picture{restored, truth} {
		f, err := n.of(p)
		if err != nil {
			return both, err
		}
		if both[i], err = whole(f); err != nil {
			return both, err
		}
	}
	return both, nil
}

// whole are features in whole units.
func whole(f []float32) ([]int32, error) {
	w := make([]int32, len(f))
	for i, v := range f {
		if !(v >= -maxFeature && v <= maxFeature) {
			return nil, fmt.Errorf("metric: Inception gives %v, want at most %d: its weights are not those of pytorch-fid", v,
				maxFeature)
		}
		w[i] = int32(math.RoundToEven(float64(v) / featureUnit))
	}
	return w, nil
}

// add takes in another set, which it leaves as it is.
func (s *featureSet) add(o featureSet) error {
	if s.n+o.n > maxSet {
		return fmt.Errorf("metric: FID of more than %d pictures", maxSet)
	}
	s.n += o.n
	if s.sum == nil && o.sum == nil && s.n <= rowsKept {
		s.rows = append(s.rows[:len(s.rows):len(s.rows)], o.rows...)
		return nil
	}
	s.collapse()
	s.count(o.rows)
	for i, v := range o.sum {
		s.sum[i] += v
	}
	for i, v := range o.product {
		s.product[i] += v
	}
	return nil
}

// collapse makes sums of the rows.
func (s *featureSet) collapse() {
	if s.sum == nil {
		s.sum, s.product = make([]int64, features), make([]int64, features*(features+1)/2)
		s.count(s.rows)
		s.rows = nil
	}
}

func (s *featureSet) count(rows []int32) {
	for ; len(rows) > 0; rows = rows[features:] {
		at := 0
		for i, v := range rows[:features] {
			s.sum[i] += int64(v)
			for j, w := range rows[i:features] {
				s.product[at+j] += int64(v) * int64(w)
			}
			at += features - i
		}
	}
}

// matrix are the rows as numbers.
func (s *featureSet) matrix() *mat.Dense {
	m := mat.NewDense(s.n, features, nil)
	for i, v := range s.rows {
		m.Set(i/features, i%features, float64(v)*featureUnit)
	}
	return m
}

// normal is the mean and sample covariance.
func (s *featureSet) normal() ([]float64, *mat.SymDense) {
	n, mean, cov, at := float64(s.n), make([]float64, features), mat.NewSymDense(features, nil), 0
	for i, v := range s.sum {
		mean[i] = float64(v) / n
	}
	for i := range mean {
		for j := i; j < features; j++ {
			c := (float64(s.product[at]) - n*mean[i]*mean[j]) / (n - 1)
			cov.SetSym(i, j, c*featureUnit*featureUnit)
			at++
		}
	}
	for i := range mean {
		mean[i] *= featureUnit
	}
	return mean, cov
}

// Merge implements Accumulator.
func (a *fidSums) Merge(other Accumulator) error {
	b, ok := other.(*fidSums)
	if !ok {
		return fmt.Errorf("metric: cannot merge another metric into %s", fidInfo.Title)
	}
	a.last = nil
	for i := range a.sets {
		if err := a.sets[i].add(b.sets[i]); err != nil {
			return err
		}
	}
	return nil
}

// Result implements Accumulator. The distance needs two pictures.
func (a *fidSums) Result() Result {
	if a.last == nil {
		r := Summary(nil)
		if r.N = a.sets[0].n; r.N > 1 {
			r.Mean = a.distance()
		}
		a.last = &r
	}
	return *a.last
}

func (a *fidSums) distance() float64 {
	x, y := &a.sets[0], &a.sets[1]
	var d float64
	var err error
	if x.sum == nil {
		d, err = FrechetRows(x.matrix(), y.matrix())
	} else {
		m1, c1 := x.normal()
		m2, c2 := y.normal()
		d, err = Frechet(m1, c1, m2, c2)
	}
	if err != nil {
		return math.NaN()
	}
	return max(d, 0)
}

// fidState is what JSON holds: numbers as base64 of their little-endian bytes.
type fidState struct {
	Metric string           `json:"metric"`
	Sets   []storedFeatures `json:"sets"`
}

type storedFeatures struct {
	N       int    `json:"n"`
	Rows    string `json:"rows,omitempty"`
	Sum     string `json:"sum,omitempty"`
	Product string `json:"product,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (a *fidSums) MarshalJSON() ([]byte, error) {
	s := fidState{Metric: fidInfo.Name}
	for _, f := range a.sets {
		s.Sets = append(s.Sets, storedFeatures{f.n, encode(f.rows), encode(f.sum), encode(f.product)})
	}
	return json.Marshal(s)
}

// UnmarshalJSON implements json.Unmarshaler. The state of another metric, or one that is not whole, is an error.
func (a *fidSums) UnmarshalJSON(b []byte) error {
	var s fidState
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Metric != fidInfo.Name || len(s.Sets) != 2 {
		return fmt.Errorf("metric: values of %q, want those of %q", s.Metric, fidInfo.Name)
	}
	a.last = nil
	for i, st := range s.Sets {
		f := featureSet{n: st.N}
		var err error
		if st.Sum == "" {
			if f.rows, err = decode[int32](st.Rows, st.N*features); err == nil && st.N > rowsKept {
				err = fmt.Errorf("%d rows", st.N)
			}
		} else if f.sum, err = decode[int64](st.Sum, features); err == nil {
			f.product, err = decode[int64](st.Product, features*(features+1)/2)
		}
		if err != nil || st.N < 0 || st.N > maxSet {
			return fmt.Errorf("metric: the sums of %s are not whole: %v", fidInfo.Name, err)
		}
		a.sets[i] = f
	}
	return nil
}

func encode[T int32 | int64](v []T) string {
	if len(v) == 0 {
		return ""
	}
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		panic(err) // numbers of a fixed size
	}
	return base64.StdEncoding.EncodeToString(b)
}

func decode[T int32 | int64](text string, n int) ([]T, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	var one T
	if n < 0 || len(b) != n*binary.Size(one) {
		return nil, fmt.Errorf("%d bytes for %d numbers", len(b), n)
	}
	v := make([]T, n)
	_, err = binary.Decode(b, binary.LittleEndian, v)
	return v, err
}
