package eval

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"psld/psld/metric"
	"psld/psld/task"
)

// Markdown writes a table of the means with their 95 % intervals by Student's t, one of the differences to Baseline,
// picture by picture, with the intervals of their means, and notes below.
func (r *Report) Markdown(w io.Writer) error {
	var b bytes.Buffer
	var notes []string
	b.WriteString("| Task | Method | Pictures |" + r.heads() + " s/picture | MiB |\n|---|---|---:|" +
		strings.Repeat("---:|", len(r.Infos)+2) + "\n")
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s | %s | %d |", row.Task, row.Method, row.N)
		for k, info := range r.Infos {
			b.WriteString(" " + entry(row.Results[k], info, false))
			switch {
			case row.Refused != "":
				if !slices.Contains(notes, row.Refused) {
					notes = append(notes, row.Refused)
				}
				fmt.Fprintf(&b, " [%d]", 1+slices.Index(notes, row.Refused))
			case row.Results[k].N == 0 && info.Flag != "":
				b.WriteString(": give --" + info.Flag)
			}
			b.WriteString(" |")
		}
		memory := "-"
		if row.Memory > 0 {
			memory = strconv.FormatInt(row.Memory>>20, 10)
		}
		seconds := strconv.FormatFloat(row.Seconds, 'f', 2, 64)
		if row.Refused != "" {
			seconds = "-"
		}
		fmt.Fprintf(&b, " %s | %s |\n", seconds, memory)
	}
	if slices.ContainsFunc(r.Rows, Row.compared) {
		fmt.Fprintf(&b, "\nDifferences to %s on the same pictures:\n\n| Task | Method |%s\n|---|---|%s\n", Baseline,
			r.heads(), strings.Repeat("---:|", len(r.Infos)))
		for _, row := range r.Rows {
			if !row.compared() {
				continue
			}
			fmt.Fprintf(&b, "| %s | %s |", row.Task, row.Method)
			for k, info := range r.Infos {
				b.WriteString(" " + entry(row.Differences[k], info, true) + " |")
			}
			b.WriteString("\n")
		}
	}
	for i, text := range notes {
		fmt.Fprintf(&b, "\n[%d] %s.\n", i+1, text)
	}
	fmt.Fprintf(&b, `
Means over %d pictures ± half the width of their 95 %% interval (Student's t). Picture i, from 0, has damage and noise
of seed %d + i. s/picture: a cell's time over the number of cells at the same time. MiB: of the networks' arrays,
beside the weights, for one picture.
`, r.To-r.From, r.Seed)
	b.WriteString(r.warnings())
	_, err := w.Write(b.Bytes())
	return err
}

// compared tells whether there are differences to the baseline.
func (r Row) compared() bool {
	return slices.ContainsFunc(r.Differences, func(d metric.Result) bool { return d.N > 0 })
}

// heads are those of the columns of metrics.
func (r *Report) heads() (text string) {
	for _, info := range r.Infos {
		text += " " + strings.TrimSpace(info.Title+" "+info.Unit) + " |"
	}
	return text
}

// entry is a result with its interval.
func entry(m metric.Result, info metric.Info, signed bool) string {
	text := m.Text(info.Digits)
	if signed && m.N > 0 && m.Mean >= 0 {
		text = "+" + text
	}
	if m.N > 1 && !math.IsNaN(m.Interval) {
		text += fmt.Sprintf(" ± %.*f", info.Digits, m.Interval)
	}
	return text
}

// warnings tells, in a line each, what metrics lack, and which mean little for so few pictures.
func (r *Report) warnings() (text string) {
	for k, info := range r.Infos {
		switch n := r.Rows[0].Results[k].N; {
		case n == 0 && info.Needs != "":
			text += fmt.Sprintf("\n%s needs %s.\n", info.Title, info.Needs)
		case n > 0 && n < info.Least:
			text += fmt.Sprintf("\n%s of %d pictures is not to be compared with that of other sets: it wants at least %d.\n",
				info.Title, n, info.Least)
		}
	}
	return text
}

// Configuration writes, as Markdown, all that the numbers depend on.
func (r *Report) Configuration(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Configuration:\n\n- %d pictures of %dx%d pixels, seed %d\n", r.Pictures, r.Width, r.Height, r.Seed)
	for _, f := range r.Facts {
		of := ""
		if f.Methods != nil {
			of = " of " + strings.Join(f.Methods, ", ")
		}
		fmt.Fprintf(&b, "- %s%s: %s\n", f.Name, of, f.Value)
	}
	for _, t := range r.Tasks {
		fmt.Fprintf(&b, "- %s: %s", t, r.Noise[t])
		damage := r.damage(t)
		for _, name := range sortedKeys(damage) {
			fmt.Fprintf(&b, ", %s %.6g", name, damage[name])
		}
		b.WriteString("\n")
		for _, method := range r.Methods {
			v := r.Parameters[t][method]
			for i, name := range sortedKeys(v) {
				if i == 0 {
					fmt.Fprintf(&b, "  - %s:", method)
				} else {
					b.WriteString(",")
				}
				if x, ok := v[name].(float64); ok { // JSON has all digits
					fmt.Fprintf(&b, " %s %.6g", name, x)
					continue
				}
				fmt.Fprintf(&b, " %s %v", name, v[name])
			}
			if len(v) > 0 {
				b.WriteString("\n")
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// damage are the parameters of the test damage of a task.
func (r *Report) damage(name task.Name) task.Values {
	t, err := task.Find(string(name))
	if err != nil { // one of another program
		return r.Damage[name]
	}
	all := task.Values{}
	for _, p := range t.Parameters {
		if p.Default != 0 {
			all[p.Name] = p.Default
		}
	}
	if v, set := r.Damage[name]; set || t.Fit == nil {
		maps.Copy(all, v)
		return all
	}
	maps.Copy(all, t.Fit(r.Height, r.Width))
	return all
}

// CSV writes a line for each row: of each metric the mean, half its 95 % interval, the mean difference to Baseline,
// and half the interval of that; empty for what there is not.
func (r *Report) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	head := []string{"task", "method", "pictures"}
	for _, info := range r.Infos {
		name := info.Name
		if info.Unit != "" {
			name += "_" + strings.ToLower(info.Unit)
		}
		head = append(head, name, name+"_ci95", name+"_minus_"+Baseline, name+"_minus_"+Baseline+"_ci95")
	}
	_ = c.Write(append(head, "seconds_per_picture", "bytes", "refused")) // Flush keeps the error
	for _, row := range r.Rows {
		line := []string{string(row.Task), row.Method, strconv.Itoa(row.N)}
		for k := range r.Infos {
			for _, m := range []metric.Result{row.Results[k], row.Differences[k]} {
				line = append(line, number(m.Mean), number(m.Interval))
			}
		}
		_ = c.Write(append(line, number(row.Seconds), strconv.FormatInt(row.Memory, 10), row.Refused))
	}
	c.Flush()
	return c.Error()
}

// number is a number of a CSV file, "" where it is none.
func number(v float64) string {
	if math.IsNaN(v) {
		return ""
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}

// JSON writes an object of Evaluation, which is the Head, and Rows.
func (r *Report) JSON(w io.Writer) error {
	type numbers struct {
		Mean, Interval, Difference, DifferenceInterval *float64 `json:",omitempty"` // none where there is none
	}
	type row struct {
		Task, Method string
		N            int
		Metrics      map[string]numbers
		Seconds      float64
		Bytes        int64
		Refused      string `json:",omitempty"`
	}
	real := func(v float64) *float64 {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
		return &v
	}
	out := struct {
		Evaluation Head
		Interval   string
		Rows       []row
	}{Evaluation: r.Head, Interval: "half the width of the mean's 95 % interval, Student's t"}
	for _, s := range r.Rows {
		t := row{string(s.Task), s.Method, s.N, map[string]numbers{}, s.Seconds, s.Memory, s.Refused}
		for k, info := range r.Infos {
			m, d := s.Results[k], s.Differences[k]
			t.Metrics[info.Name] = numbers{real(m.Mean), real(m.Interval), real(d.Mean), real(d.Interval)}
		}
		out.Rows = append(out.Rows, t)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
