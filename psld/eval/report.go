package eval

import (
	"cmp"
	"fmt"
	"slices"

	"psld/psld/metric"
	"psld/psld/task"
)

// Row is what a method did on a task, over pictures.
type Row struct {
	Task        task.Name
	Method      string
	N           int             // pictures
	Refused     string          // why there is no result; "" for nothing
	Results     []metric.Result // of Report.Infos
	Differences []metric.Result // of the single pictures to those of Baseline; N is 0 where there are none
	Seconds     float64         // of wall clock a picture: that of its cell over the number of cells at the same time
	Memory      int64           // bytes of the networks' arrays beside the weights, of a picture alone; 0 for unknown

	infos []metric.Info
}

// Result is that of the metric of this name; a row without it has none (N is 0).
func (r Row) Result(name string) metric.Result {
	for i, info := range r.infos {
		if info.Name == name && i < len(r.Results) {
			return r.Results[i]
		}
	}
	return metric.Summary(nil)
}

// Report has the rows of an evaluation, or of a part of it, task by task.
type Report struct {
	Head
	Infos []metric.Info // of the metrics
	Rows  []Row
	Dirs  []string // folders with the pictures to show
}

// Open reads the finished cells in folders together and reports on them. All must be of the same evaluation, and hold
// every cell once: holes and double cells are errors. The numbers have the bits of a single run.
func Open(dirs ...string) (*Report, error) {
	parts, err := openParts(dirs)
	if err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range parts {
			_ = p.close()
		}
	}()
	slices.SortStableFunc(parts, func(a, b *cells) int {
		return cmp.Or(cmp.Compare(a.head.From, b.head.From), cmp.Compare(a.head.To, b.head.To))
	})
	first, to := parts[0], 0
	for _, p := range parts {
		if text := first.head.differs(p.head); text != "" {
			return nil, fmt.Errorf("%s and %s are of different evaluations: %s", first.name, p.name, text)
		}
		switch h := p.head; {
		case h.From > to:
			return nil, fmt.Errorf("pictures %d to %d are missing", to, h.From-1)
		case h.From < to && h.To > h.From:
			return nil, fmt.Errorf("pictures %d to %d are there twice: %s has them again", h.From, min(to, h.To)-1, p.name)
		case h.To > h.From:
			to = h.To
		}
	}
	if to != first.head.Pictures {
		return nil, fmt.Errorf("pictures %d to %d are missing", to, first.head.Pictures-1)
	}
	var metrics []metric.Metric
	for _, name := range first.head.Metrics {
		m, err := metric.Bare(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", first.name, err)
		}
		if slices.Contains(first.head.Missing, name) {
			m = metric.NotAvailable(m.Info())
		}
		metrics = append(metrics, m)
	}
	r, err := report(parts, metrics)
	if r != nil {
		r.Dirs = dirs
	}
	return r, err
}

// report reads the rows from parts, which follow each other. It holds one row of what metrics gather at a time.
func report(parts []*cells, metrics []metric.Metric) (*Report, error) {
	r := &Report{Head: parts[0].head}
	r.To = parts[len(parts)-1].head.To
	for _, m := range metrics {
		r.Infos = append(r.Infos, m.Info())
	}
	for _, t := range r.Tasks {
		var values [][][]float64 // of the task's rows: by metric, by picture
		for _, method := range r.Methods {
			row, v, err := r.row(parts, t, method, metrics)
			if err != nil {
				return nil, err
			}
			r.Rows, values = append(r.Rows, row), append(values, v)
		}
		rows := r.Rows[len(r.Rows)-len(r.Methods):]
		base := slices.Index(r.Methods, Baseline)
		for i := range rows {
			for k := range metrics {
				var d []float64
				if base >= 0 && i != base {
					d = minus(values[i][k], values[base][k])
				}
				rows[i].Differences = append(rows[i].Differences, metric.Summary(d))
			}
		}
	}
	memory := map[string]int64{} // a method's is much the same in all tasks, and measured in one
	for _, row := range r.Rows {
		memory[row.Method] = max(memory[row.Method], row.Memory)
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Refused == "" {
			row.Memory = memory[row.Method]
		}
	}
	return r, nil
}

// minus is a - b, nil where they do not belong together.
func minus(a, b []float64) []float64 {
	if len(a) != len(b) {
		return nil
	}
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

// row reads a row, and the values of single pictures for the metrics that have them.
func (r *Report) row(parts []*cells, t task.Name, method string, metrics []metric.Metric) (row Row,
	values [][]float64, err error) {
	row = Row{Task: t, Method: method, infos: r.Infos}
	sums := accumulators(metrics)
	for _, p := range parts {
		for i := p.head.From; i < p.head.To; i++ {
			one, err := p.read(t, method, i)
			if err != nil {
				return row, nil, err
			}
			row.N++
			row.Seconds += one.Seconds
			row.Memory = max(row.Memory, one.Memory)
			if one.Refused != "" {
				row.Refused = one.Refused
				continue
			}
			if len(one.Metrics) != len(metrics) {
				return row, nil, fmt.Errorf("%s: the cell of %s has %d metrics, want %d", p.name, one, len(one.Metrics),
					len(metrics))
			}
			for k, state := range one.Metrics {
				a := metrics[k].New()
				if err := a.UnmarshalJSON(state); err != nil {
					return row, nil, fmt.Errorf("%s: the cell of %s: %w", p.name, one, err)
				}
				if err := sums[k].Merge(a); err != nil {
					return row, nil, err
				}
			}
		}
	}
	row.Seconds /= float64(max(1, row.N))
	if row.Refused != "" { // be it of some pictures only: a mean over others is not to be compared
		sums = accumulators(metrics)
	}
	for _, a := range sums {
		var v []float64
		if single, ok := a.(*metric.Values); ok {
			v = single.All()
		}
		values, row.Results = append(values, v), append(row.Results, a.Result())
	}
	return row, values, nil
}
