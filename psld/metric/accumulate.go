package metric

import (
	"encoding/json"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"

	"psld/psld/picture"
)

// Info says what a metric measures.
type Info struct {
	Name   string // for lists and files, "psnr"
	Title  string // for people, "PSNR"
	Unit   string // "dB", "" for none
	Higher bool   // a higher value is better
	Digits int    // behind the point, in tables
	Needs  string // what it needs beside the two pictures, in words; "" for nothing
	Flag   string // of the command, that names what it needs: "lpips-weights"
	File   string // the name under which torch's hub keeps it
	Least  int    // the pictures under which the value means little, 0 for none
}

// Metric says how good restored pictures are. It is safe for concurrent use: what it gathers lies in its accumulators.
type Metric interface {
	Info() Info
	New() Accumulator // an empty one
}

// Accumulator gathers what a metric needs from pair after pair of pictures. Accumulators of the same metric can be
// merged, and written as JSON and read again, so that pictures may be shared among processes. The result does not
// depend on how they are shared, to the last bit, as long as merging keeps the order of the pictures.
type Accumulator interface {
	// Add takes in a restored picture and the true one, which must be of the same size.
	Add(restored, truth *picture.Picture) error
	// Merge takes in what other, of the same metric, has gathered, behind what is there. Another metric is an error.
	Merge(other Accumulator) error
	Result() Result
	json.Marshaler
	json.Unmarshaler
}

// Result is a metric over N pictures. For N = 0 it is "not available" and all numbers are NaN.
type Result struct {
	N         int
	Mean      float64 // over the pictures; the metric itself where it is one of whole sets
	Deviation float64 // sample deviation between pictures; NaN for fewer than two, and where it has no meaning
	Interval  float64 // half the width of the mean's 95 % interval by Student's t; NaN likewise
}

// Text is the mean with the given number of digits, "n/a" where there is none.
func (r Result) Text(digits int) string {
	if r.N == 0 {
		return "n/a"
	}
	return fmt.Sprintf("%.*f", digits, r.Mean)
}

// Summary is the mean, deviation and 95 % interval of single values. The mean is the sum of the v/n in their order.
func Summary(values []float64) Result {
	n := len(values)
	r := Result{N: n, Deviation: math.NaN(), Interval: math.NaN()}
	if n == 0 {
		r.Mean = math.NaN()
	}
	for _, v := range values {
		r.Mean += v / float64(n)
	}
	if n > 1 {
		r.Deviation = stat.StdDev(values, nil)
		t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: float64(n - 1)}.Quantile(0.975)
		r.Interval = t * r.Deviation / math.Sqrt(float64(n))
	}
	return r
}

// PerPicture is a metric that gives each pair of pictures a value and means them. score must give finite values; it is
// called with pictures of the same size, from several goroutines.
func PerPicture(info Info, score func(restored, truth *picture.Picture) (float64, error)) Metric {
	return perPicture{info, score}
}

type perPicture struct {
	info  Info
	score func(restored, truth *picture.Picture) (float64, error)
}

func (m perPicture) Info() Info       { return m.info }
func (m perPicture) New() Accumulator { return &Values{metric: m} }

// Values is the accumulator of metrics that mean over pictures.
type Values struct {
	metric perPicture
	values []float64
}

// Add implements Accumulator.
func (a *Values) Add(restored, truth *picture.Picture) error {
	name := a.metric.info.Title
	if restored.W != truth.W || restored.H != truth.H {
		return fmt.Errorf("metric: %s of pictures of %dx%d and %dx%d pixels, want the same size",
			name, restored.W, restored.H, truth.W, truth.H)
	}
	v, err := a.metric.score(restored, truth)
	if err != nil {
		return err
	}
	if v-v != 0 {
		return fmt.Errorf("metric: %s is %v, want a finite number: a picture holds values that are not finite",
			name, v)
	}
	a.values = append(a.values, v)
	return nil
}

// Merge implements Accumulator.
func (a *Values) Merge(other Accumulator) error {
	b, ok := other.(*Values)
	if !ok || b.metric.info.Name != a.metric.info.Name {
		return fmt.Errorf("metric: cannot merge another metric into %s", a.metric.info.Title)
	}
	a.values = append(a.values, b.values...)
	return nil
}

// Result implements Accumulator.
func (a *Values) Result() Result { return Summary(a.values) }

// All returns the values of the single pictures, for paired comparisons. The caller must not write to them.
func (a *Values) All() []float64 { return a.values }

// state is what JSON holds.
type state struct {
	Metric string    `json:"metric"`
	Values []float64 `json:"values"`
}

// MarshalJSON implements json.Marshaler.
func (a *Values) MarshalJSON() ([]byte, error) {
	return json.Marshal(state{a.metric.info.Name, append([]float64{}, a.values...)})
}

// UnmarshalJSON implements json.Unmarshaler. The state of another metric is an error.
func (a *Values) UnmarshalJSON(b []byte) error {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Metric != a.metric.info.Name {
		return fmt.Errorf("metric: values of %q, want those of %q", s.Metric, a.metric.info.Name)
	}
	a.values = s.Values
	return nil
}

// Score is the value of a metric for one pair of pictures.
func Score(m Metric, restored, truth *picture.Picture) (float64, error) {
	a := m.New()
	err := a.Add(restored, truth)
	return a.Result().Mean, err
}
