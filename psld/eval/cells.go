package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"psld/psld/task"
)

// Cells keeps the results of finished cells in a file, so that an evaluation that was stopped or killed goes on with
// what is left: a line of JSON for what the evaluation is, then one for each cell.
type Cells struct {
	mu   sync.Mutex
	file *os.File
	done map[cellKey]keptCell
	err  error // of the first line that could not be written
}

type cellKey struct {
	Task    task.Name
	Method  string
	Picture int
}

type keptCell struct {
	cellKey
	Seconds float64
	Metrics []json.RawMessage
}

type cellsHead struct{ Format, Facts string }

const cellsFormat = "psld eval 1"

// OpenCells begins a file of cells, or with resume goes on with that of the same evaluation. facts is all that the
// numbers depend on; the cells of an evaluation with other facts are an error.
func OpenCells(path, facts string, resume bool) (*Cells, error) {
	c := &Cells{done: map[cellKey]keptCell{}}
	text, err := os.ReadFile(path)
	switch {
	case resume && errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there are no cells %s", path)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	if err == nil {
		whole, e := c.parse(text, facts)
		if errors.Is(e, errNoCells) || resume && e != nil {
			return nil, fmt.Errorf("%s: %w", path, e)
		}
		text = text[:whole]
	}
	if !resume {
		clear(c.done)
		text = nil
	}
	if c.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	if err := c.file.Truncate(int64(len(text))); err != nil { // without the end of a line that a killed run began
		return nil, errors.Join(err, c.file.Close())
	}
	if _, err := c.file.Seek(0, 2); err != nil {
		return nil, errors.Join(err, c.file.Close())
	}
	if len(text) == 0 {
		c.write(cellsHead{cellsFormat, facts})
	}
	return c, c.err
}

var errNoCells = errors.New("it does not hold the cells of an evaluation")

// parse reads the cells; whole is the length of the lines that end.
func (c *Cells) parse(text []byte, facts string) (whole int, err error) {
	for i := 0; ; i++ {
		line, rest, ends := bytes.Cut(text[whole:], []byte("\n"))
		if !ends {
			if i == 0 {
				return 0, errNoCells
			}
			return whole, nil
		}
		if i == 0 {
			var head cellsHead
			switch err := json.Unmarshal(line, &head); {
			case err != nil || head.Format != cellsFormat:
				return 0, errNoCells
			case head.Facts != facts:
				return 0, fmt.Errorf("its cells are of another evaluation: it was %s; this is %s", head.Facts, facts)
			}
		} else {
			var cell keptCell
			if err := json.Unmarshal(line, &cell); err != nil {
				return 0, fmt.Errorf("line %d: %w", i+1, err)
			}
			c.done[cell.cellKey] = cell
		}
		whole = len(text) - len(rest)
	}
}

// Len is the number of cells that are there.
func (c *Cells) Len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.done)
}

// Close closes the file.
func (c *Cells) Close() error { return errors.Join(c.err, c.file.Close()) }

// write appends a line, which a program that is killed afterwards does not take back.
func (c *Cells) write(v any) {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = c.file.Write(append(line, '\n'))
	}
	if c.err == nil {
		c.err = err
	}
}

// read fills in the row of a cell that is there.
func (c *Cells) read(key cellKey, row *Row) (seconds float64, ok bool, err error) {
	if c == nil {
		return 0, false, nil
	}
	c.mu.Lock()
	cell, ok := c.done[key]
	c.mu.Unlock()
	if !ok {
		return 0, false, nil
	}
	if len(cell.Metrics) != len(row.Sums) {
		return 0, false, fmt.Errorf("the cell has %d metrics, want %d", len(cell.Metrics), len(row.Sums))
	}
	for i, state := range cell.Metrics {
		if err := row.Sums[i].UnmarshalJSON(state); err != nil {
			return 0, false, err
		}
	}
	return cell.Seconds, true, nil
}

// keep adds a finished cell.
func (c *Cells) keep(key cellKey, seconds float64, row *Row) error {
	if c == nil {
		return nil
	}
	cell := keptCell{cellKey: key, Seconds: seconds}
	for _, a := range row.Sums {
		state, err := a.MarshalJSON()
		if err != nil {
			return err
		}
		cell.Metrics = append(cell.Metrics, state)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.done[key] = cell
	c.write(cell)
	return c.err
}
