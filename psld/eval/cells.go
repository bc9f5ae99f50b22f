package eval

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"

	"psld/internal/atomicfile"
	"psld/psld/param"
	"psld/psld/task"
)

// Head says which evaluation it is: all that its numbers depend on.
type Head struct {
	Format        string
	Tasks         []task.Name
	Methods       []string // of the rows of a task, in their order
	Metrics       []string
	Missing       []string // metrics that lack what they need
	Pictures      int
	From, To      int // the pictures of this part: From to To-1
	Width, Height int // of the pictures
	Seed          uint64
	Noise         map[task.Name]string
	Damage        map[task.Name]task.Values // parameters of test damages, where they are set
	Parameters    map[task.Name]map[string]param.Values
	Facts         []Fact
}

const cellsFormat = "psld eval 2"

// differs says where two evaluations are not the same, "" for nowhere. Their parts may be others.
func (h Head) differs(other Head) string {
	for i, f := range h.Facts {
		switch {
		case i >= len(other.Facts) || other.Facts[i].Name != f.Name:
			return "other facts were recorded"
		case other.Facts[i].Value != f.Value:
			return fmt.Sprintf("%s is %s, was %s", f.Name, other.Facts[i].Value, f.Value)
		}
	}
	h.From, h.To = other.From, other.To
	a, b := reflect.ValueOf(h), reflect.ValueOf(other)
	for i := range a.NumField() {
		field := a.Type().Field(i)
		was, is := a.Field(i).Interface(), b.Field(i).Interface()
		switch {
		case reflect.DeepEqual(was, is):
		case field.Name == "Parameters":
			return "the parameters of methods are not the same"
		default:
			return fmt.Sprintf("%s is %v, was %v", field.Name, is, was)
		}
	}
	return ""
}

// common is what all cells of an evaluation share, whatever tasks and methods it has.
func (h Head) common() Head {
	h.Tasks, h.Methods, h.Noise, h.Damage, h.Parameters = nil, nil, nil, nil, nil
	h.Facts = slices.DeleteFunc(slices.Clone(h.Facts), func(f Fact) bool { return f.Methods != nil })
	return h
}

// rowOf is all that the cells of a row depend on beside what is common, for comparisons.
func (h Head) rowOf(t task.Name, method string) string {
	row := struct {
		Noise      string
		Damage     task.Values
		Parameters param.Values
		Facts      []Fact
	}{h.Noise[t], h.Damage[t], h.Parameters[t][method], nil}
	for _, f := range h.Facts {
		if slices.Contains(f.Methods, method) {
			row.Facts = append(row.Facts, Fact{Name: f.Name, Value: f.Value})
		}
	}
	text, err := json.Marshal(row)
	if err != nil {
		panic(err) // plain data
	}
	return string(text)
}

// cell is what is kept of a cell.
type cell struct {
	Task    task.Name
	Method  string
	Picture int
	Seconds float64           // of wall clock, over the number of cells that were measured at the same time
	Memory  int64             `json:",omitempty"` // bytes of the networks' arrays, of a cell that was alone
	Refused string            `json:",omitempty"` // why there is no result
	Metrics []json.RawMessage `json:",omitempty"` // the states of their accumulators
}

// cells are the finished cells of an evaluation, or of a part of it: a line of JSON for the head, one for each cell.
// An evaluation that goes on with other methods, parameters or models writes a further head: from there on the cells
// of rows that changed are void. In memory there is only where each line lies.
type cells struct {
	head Head
	name string // of the file

	mu   sync.Mutex
	file interface {
		io.ReaderAt
		io.Writer
	}
	size int64
	rows map[rowKey]*row // also those that the present head does not have
	void int             // cells that the present head made void
}

// row is where the cells of a row lie.
type row struct {
	of string  // Head.rowOf
	at []int64 // by picture, from head.From; 0 for none (the head's place)
}

type rowKey struct {
	task   task.Name
	method string
}

// memory is a file that is none.
type memory struct{ b []byte }

func (m *memory) Write(b []byte) (int, error) { m.b = append(m.b, b...); return len(b), nil }
func (m *memory) ReadAt(b []byte, at int64) (int, error) {
	return bytes.NewReader(m.b).ReadAt(b, at)
}

func newCells(head Head, name string) *cells {
	c := &cells{name: name, rows: map[rowKey]*row{}}
	c.goOn(head)
	return c
}

// goOn takes a further head, of the same pictures, for the present one.
func (c *cells) goOn(head Head) {
	c.head, c.void = head, 0
	for _, t := range head.Tasks {
		for _, method := range head.Methods {
			of, old := head.rowOf(t, method), c.rows[rowKey{t, method}]
			if old != nil && old.of == of {
				continue
			}
			if old != nil {
				c.void += len(old.at) - count(old.at, 0)
			}
			c.rows[rowKey{t, method}] = &row{of, make([]int64, head.To-head.From)}
		}
	}
}

// count is how many of the values are v.
func count(values []int64, v int64) (n int) {
	for _, x := range values {
		if x == v {
			n++
		}
	}
	return n
}

// follows reports a head that cannot go on with the cells.
func (c *cells) follows(head Head) error {
	if text := c.head.common().differs(head.common()); text != "" {
		return fmt.Errorf("its cells are of another evaluation: %s (choose another folder, or overwrite it)", text)
	}
	if c.head.From != head.From || c.head.To != head.To {
		return errors.New("its cells are of another part of the pictures")
	}
	return nil
}

// fileOf is the name of the file of cells of a part.
func (s Shard) fileOf() string {
	if s.Of <= 1 {
		return "cells.jsonl"
	}
	return fmt.Sprintf("cells-%d-of-%d.jsonl", s.Index+1, s.Of)
}

// openCells begins a file of cells in the folder dir, or goes on with that of the same evaluation. "" is for memory.
func openCells(dir string, shard Shard, head Head, overwrite bool) (c *cells, err error) {
	text, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, &head); err != nil { // numbers as JSON has them
		return nil, err
	}
	if dir == "" {
		c = newCells(head, "")
		c.file = new(memory)
		return c, c.write(append(text, '\n'))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, shard.fileOf())
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*cells, error) { return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close()) }
	if !atomicfile.Lock(f) {
		return fail(errors.New("another evaluation is writing to it"))
	}
	if c, err = readCells(f, path); errors.Is(err, errNoHead) { // an empty one, or killed in its first line
		c, err = newCells(head, path), nil
	}
	switch {
	case err != nil:
		return fail(err)
	case c.size > 0 && overwrite:
		c = newCells(head, path)
	case c.size > 0:
		if err := c.follows(head); err != nil {
			return fail(err)
		}
	}
	c.file = f
	if err := f.Truncate(c.size); err != nil { // without the end of a line that a killed run began
		return fail(err)
	}
	if _, err := f.Seek(c.size, io.SeekStart); err != nil {
		return fail(err)
	}
	if c.size == 0 || c.head.differs(head) != "" {
		c.goOn(head)
		if err := c.write(append(text, '\n')); err != nil {
			return fail(err)
		}
	}
	return c, nil
}

var (
	errNoHead   = errors.New("it holds no cells")
	errNotCells = errors.New("it is not a file of cells of psld eval")
)

// readCells reads where the lines lie; those behind the last end of a line are left out.
func readCells(f io.ReaderAt, name string) (*cells, error) {
	lines := bufio.NewReaderSize(io.NewSectionReader(f, 0, 1<<62), 1<<16)
	var c *cells
	var at int64
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			if c == nil {
				if begins := `{"Format":"` + cellsFormat; !strings.HasPrefix(begins, string(line[:min(len(line), len(begins))])) {
					return nil, errNotCells
				}
				return nil, errNoHead
			}
			c.size = at
			return c, nil
		}
		if err != nil {
			return nil, err
		}
		switch {
		case c == nil:
			var head Head
			if err := json.Unmarshal(line, &head); err != nil || head.Format != cellsFormat {
				return nil, errNotCells
			}
			if err := head.check(); err != nil {
				return nil, err
			}
			c = newCells(head, name)
		default:
			if err := c.line(line, at); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
		}
		at += int64(len(line))
	}
}

// line takes in a line behind the first one: a further head, or a cell.
func (c *cells) line(text []byte, at int64) error {
	if bytes.HasPrefix(text, []byte(`{"Format":`)) {
		var head Head
		err := json.Unmarshal(text, &head)
		if err == nil {
			err = errors.Join(head.check(), c.follows(head))
		}
		if err == nil {
			c.goOn(head)
		}
		return err
	}
	var one cell
	if err := json.Unmarshal(text, &one); err != nil {
		return err
	}
	return c.index(one, at)
}

// check reports a head that makes no sense: it comes from a file.
func (h Head) check() error {
	if h.From < 0 || h.To < h.From || h.Pictures < h.To || h.Pictures > maxPictures {
		return fmt.Errorf("pictures %d to %d of %d make no sense", h.From, h.To-1, h.Pictures)
	}
	if len(h.Tasks)*len(h.Methods)*(h.To-h.From) > 1<<28 {
		return fmt.Errorf("%d tasks, %d methods and %d pictures are too many", len(h.Tasks), len(h.Methods), h.To-h.From)
	}
	return nil
}

const maxPictures = 1 << 24

// index notes where a cell lies.
func (c *cells) index(one cell, at int64) error {
	row := c.rows[rowKey{one.Task, one.Method}]
	i := one.Picture - c.head.From
	switch {
	case row == nil || i < 0 || i >= len(row.at):
		return fmt.Errorf("a cell of %s, which the file is not for", one)
	case row.at[i] != 0:
		return fmt.Errorf("a second cell of %s", one)
	}
	row.at[i] = at
	return nil
}

func (c cell) String() string { return fmt.Sprintf("%s, %s, picture %d", c.Task, c.Method, c.Picture) }

// has tells whether a cell is there.
func (c *cells) has(t task.Name, method string, picture int) bool {
	return c.rows[rowKey{t, method}].at[picture-c.head.From] != 0
}

// read reads a cell; one that is missing is an error.
func (c *cells) read(t task.Name, method string, picture int) (one cell, err error) {
	at := c.rows[rowKey{t, method}].at[picture-c.head.From]
	if at == 0 {
		return one, fmt.Errorf("%s: the cell of %s is missing", c.name, cell{Task: t, Method: method, Picture: picture})
	}
	line, err := bufio.NewReaderSize(io.NewSectionReader(c.file, at, 1<<62), 1<<12).ReadBytes('\n')
	if err != nil {
		return one, err
	}
	err = json.Unmarshal(line, &one)
	return one, err
}

// keep adds a finished cell.
func (c *cells) keep(one cell) error {
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.size
	if err := c.write(append(line, '\n')); err != nil {
		return err
	}
	return c.index(one, at)
}

// write appends a line, which a program that is killed afterwards does not take back.
func (c *cells) write(line []byte) error {
	n, err := c.file.Write(line)
	c.size += int64(n)
	return err
}

func (c *cells) close() error {
	if f, ok := c.file.(io.Closer); ok {
		return f.Close()
	}
	return nil
}

// openParts reads all files of cells in folders.
func openParts(dirs []string) (parts []*cells, err error) {
	defer func() {
		if err != nil {
			for _, p := range parts {
				_ = p.close()
			}
		}
	}()
	for _, dir := range dirs {
		paths, err := filepath.Glob(filepath.Join(dir, "cells*.jsonl"))
		if err != nil {
			return parts, err
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return parts, err
		}
		if len(paths) == 0 {
			return parts, fmt.Errorf("%s has no cells of psld eval (cells*.jsonl)", dir)
		}
		slices.Sort(paths)
		for _, path := range paths {
			f, err := os.Open(path)
			if err != nil {
				return parts, err
			}
			c, err := readCells(f, path)
			if err != nil {
				return parts, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
			}
			c.file = f
			parts = append(parts, c)
		}
	}
	return parts, nil
}
