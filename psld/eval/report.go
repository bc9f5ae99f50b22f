package eval

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"psld/psld/metric"
	"psld/psld/task"
)

// Row is what a method did on a task, over pictures.
type Row struct {
	Task    task.Name
	Method  string
	Metrics []metric.Metric
	Sums    []metric.Accumulator // of Metrics
	Seconds float64              // of wall clock a picture, several at a time; a shared start counts in each

	kept   time.Duration // that the cell took in an evaluation that was stopped, 0 for one that is measured now
	shared time.Duration // of the start that an earlier method has made
}

func newRow(t task.Name, method string, metrics []metric.Metric) Row {
	r := Row{Task: t, Method: method, Metrics: metrics}
	for _, m := range metrics {
		r.Sums = append(r.Sums, m.New())
	}
	return r
}

// Result is that of the metric of this name; a row without it has none (N is 0).
func (r Row) Result(name string) metric.Result {
	for i, m := range r.Metrics {
		if m.Info().Name == name {
			return r.Sums[i].Result()
		}
	}
	return metric.Summary(nil)
}

// N is the number of pictures.
func (r Row) N() int {
	n := 0
	for _, a := range r.Sums {
		n = max(n, a.Result().N)
	}
	return n
}

// merge adds the pictures of another row behind those of this one.
func (r *Row) merge(other Row) error {
	for i, a := range other.Sums {
		if err := r.Sums[i].Merge(a); err != nil {
			return err
		}
	}
	return nil
}

// Report has the rows of pictures From to To, exclusive, out of Pictures.
type Report struct {
	Pictures, From, To int
	Sigma              float64
	Seed               uint64
	Rows               []Row
}

// Merge puts the reports of shards together, which must be of the same evaluation and cover all pictures once. The
// means have the bits of a single run; Seconds are weighted by the pictures.
func Merge(reports ...*Report) (*Report, error) {
	if len(reports) == 0 {
		return nil, fmt.Errorf("no reports to merge")
	}
	reports = slices.Clone(reports)
	slices.SortStableFunc(reports, func(a, b *Report) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	head := reports[0]
	all := &Report{Pictures: head.Pictures, Sigma: head.Sigma, Seed: head.Seed}
	for _, r := range reports {
		switch {
		case r.Pictures != head.Pictures || r.Sigma != head.Sigma || r.Seed != head.Seed,
			len(r.Rows) != len(head.Rows):
			return nil, fmt.Errorf("the reports are of different evaluations: %s and %s", head, r)
		case r.From > all.To:
			return nil, fmt.Errorf("pictures %d to %d are missing", all.To, r.From-1)
		case r.From < all.To && r.To > r.From:
			return nil, fmt.Errorf("pictures %d to %d are there twice", r.From, min(all.To, r.To)-1)
		}
		if err := all.append(r); err != nil {
			return nil, err
		}
	}
	if all.To != all.Pictures {
		return nil, fmt.Errorf("pictures %d to %d are missing", all.To, all.Pictures-1)
	}
	return all, nil
}

// String says which evaluation it is.
func (r *Report) String() string {
	return fmt.Sprintf("%d pictures, noise %g, seed %d, %d rows", r.Pictures, r.Sigma, r.Seed, len(r.Rows))
}

// append adds the pictures of r, which follow.
func (all *Report) append(r *Report) error {
	for i, row := range r.Rows {
		if len(all.Rows) == i {
			all.Rows = append(all.Rows, newRow(row.Task, row.Method, row.Metrics))
		}
		to := &all.Rows[i]
		if to.Task != row.Task || to.Method != row.Method || len(to.Metrics) != len(row.Metrics) {
			return fmt.Errorf("the reports are of different evaluations: row %d is of %s, %s and of %s, %s",
				i, to.Task, to.Method, row.Task, row.Method)
		}
		if err := to.merge(row); err != nil {
			return err
		}
		to.Seconds += row.Seconds * float64(r.To-r.From) / float64(all.Pictures)
	}
	all.To = r.To
	return nil
}

// stored is a report as JSON.
type stored struct {
	Pictures int         `json:"pictures"`
	From     int         `json:"from"`
	To       int         `json:"to"`
	Sigma    float64     `json:"sigma"`
	Seed     uint64      `json:"seed"`
	Rows     []storedRow `json:"rows"`
}

type storedRow struct {
	Task    task.Name         `json:"task"`
	Method  string            `json:"method"`
	Seconds float64           `json:"seconds"`
	Metrics []json.RawMessage `json:"metrics"`
}

// MarshalJSON implements json.Marshaler: the state of every metric, from which Read makes the report again.
func (r *Report) MarshalJSON() ([]byte, error) {
	s := stored{r.Pictures, r.From, r.To, r.Sigma, r.Seed, nil}
	for _, row := range r.Rows {
		t := storedRow{Task: row.Task, Method: row.Method, Seconds: row.Seconds}
		for _, a := range row.Sums {
			b, err := a.MarshalJSON()
			if err != nil {
				return nil, err
			}
			t.Metrics = append(t.Metrics, b)
		}
		s.Rows = append(s.Rows, t)
	}
	return json.Marshal(s)
}

// Read reads a report that was written as JSON, with the metrics that it was made with.
func Read(b []byte, metrics []metric.Metric) (*Report, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, err
	}
	r := &Report{s.Pictures, s.From, s.To, s.Sigma, s.Seed, nil}
	for _, t := range s.Rows {
		if len(t.Metrics) != len(metrics) {
			return nil, fmt.Errorf("the report has %d metrics, want %d", len(t.Metrics), len(metrics))
		}
		row := newRow(t.Task, t.Method, metrics)
		row.Seconds = t.Seconds
		for i, state := range t.Metrics {
			if err := row.Sums[i].UnmarshalJSON(state); err != nil {
				return nil, err
			}
		}
		r.Rows = append(r.Rows, row)
	}
	return r, nil
}

// Markdown writes the means as a table.
func (r *Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	for i, row := range r.Rows {
		if i == 0 {
			b.WriteString("| Task | Method | Pictures |")
			for _, m := range row.Metrics {
				b.WriteString(" " + strings.TrimSpace(m.Info().Title+" "+m.Info().Unit) + " |")
			}
			b.WriteString(" s/picture |\n|---|---|---:|" + strings.Repeat("---:|", len(row.Metrics)) + "---:|\n")
		}
		fmt.Fprintf(&b, "| %s | %s | %d |", row.Task, row.Method, row.N())
		for k, a := range row.Sums {
			info, r := row.Metrics[k].Info(), a.Result()
			b.WriteString(" " + r.Text(info.Digits))
			if r.N == 0 && info.Flag != "" {
				b.WriteString(": give --" + info.Flag)
			}
			b.WriteString(" |")
		}
		fmt.Fprintf(&b, " %.2f |\n", row.Seconds)
	}
	b.WriteString(r.warnings())
	_, err := w.Write(b.Bytes())
	return err
}

// warnings tells, in a line each, which metrics mean little for so few pictures.
func (r *Report) warnings() (text string) {
	if len(r.Rows) == 0 {
		return ""
	}
	row := r.Rows[0]
	for i, m := range row.Metrics {
		if n, least := row.Sums[i].Result().N, m.Info().Least; n > 0 && n < least {
			text += fmt.Sprintf("\n%s of %d pictures is not to be compared with that of other sets: it wants at least %d.\n",
				m.Info().Title, n, least)
		}
	}
	return text
}

// CSV writes the means as comma-separated values with a head line.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	for i, row := range r.Rows {
		head := []string{"task", "method", "pictures"}
		line := []string{string(row.Task), row.Method, strconv.Itoa(row.N())}
		for k, a := range row.Sums {
			name := row.Metrics[k].Info().Name
			if unit := row.Metrics[k].Info().Unit; unit != "" {
				name += "_" + strings.ToLower(unit)
			}
			head, line = append(head, name), append(line, a.Result().Text(5))
		}
		if i == 0 {
			_ = c.Write(append(head, "seconds_per_picture")) // Flush keeps the error
		}
		_ = c.Write(append(line, strconv.FormatFloat(row.Seconds, 'f', 5, 64)))
	}
	c.Flush()
	return c.Error()
}

// field is a key of a JSON object, which keeps its place.
type field struct {
	key   string
	value any
}

// JSON writes the means as a list of objects with the keys Task, Method, N, the titles of the metrics, and Seconds.
func (r *Report) JSON(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("[")
	for i, row := range r.Rows {
		if i > 0 {
			b.WriteString(",")
		}
		fields := []field{{"Task", row.Task}, {"Method", row.Method}, {"N", row.N()}}
		for k, a := range row.Sums {
			var mean any // null where there is none
			if m := a.Result(); m.N > 0 && !math.IsNaN(m.Mean) {
				mean = m.Mean
			}
			fields = append(fields, field{row.Metrics[k].Info().Title, mean})
		}
		fields = append(fields, field{"Seconds", row.Seconds})
		for k, f := range fields {
			value, err := json.Marshal(f.value)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, "%s%q:%s", map[bool]string{true: "{", false: ","}[k == 0], f.key, value)
		}
		b.WriteString("}")
	}
	b.WriteString("]")
	var out bytes.Buffer
	if err := json.Indent(&out, b.Bytes(), "", "  "); err != nil {
		return err
	}
	out.WriteString("\n")
	_, err := w.Write(out.Bytes())
	return err
}
