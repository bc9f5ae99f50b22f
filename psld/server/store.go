package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"psld/internal/atomicfile"
	"psld/psld/client"
)

// store is the folder of the jobs: one folder each, of the job's identifier, with
//
//	job.json            the job; whoever changes it writes it anew, whole or not at all
//	picture mask kernel what was sent, as it was
//	measurement.png     what is restored, where the picture was damaged first
//	state-N.state       of the run of sample N, until it has ended
//	result-N.png spread.png
//
// A job's folder appears whole: it is made beside, under another name, and renamed.
type store struct {
	dir  string
	lock *os.File
}

func openStore(dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := atomicfile.LockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("the folder of the jobs: %w", err)
	}
	return &store{dir, lock}, nil
}

func (s *store) close() error { return s.lock.Close() }

// path is that of a job's file. Names come from this package alone, identifiers were checked by isID.
func (s *store) path(id, name string) string { return filepath.Join(s.dir, id, name) }

// create makes the folder of a job; fill writes its files.
func (s *store) create(j *client.Job, fill func(dir string) error) error {
	return atomicfile.WriteDir(filepath.Join(s.dir, j.ID), func(dir string) error {
		if err := fill(dir); err != nil {
			return err
		}
		return writeJob(filepath.Join(dir, "job.json"), j)
	})
}

// save writes what has become of a job.
func (s *store) save(j *client.Job) error { return writeJob(s.path(j.ID, "job.json"), j) }

func writeJob(path string, j *client.Job) error {
	return atomicfile.Write(path, func(w io.Writer) error { return json.NewEncoder(w).Encode(j) })
}

// load reads all jobs, those that were made first in front. What no job can be read from is left alone.
func (s *store) load() ([]*job, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var list []*job
	for _, e := range entries {
		if !e.IsDir() || !isID(e.Name()) {
			continue
		}
		b, err := os.ReadFile(s.path(e.Name(), "job.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var j client.Job
		if err := json.Unmarshal(b, &j); err != nil || j.ID != e.Name() {
			continue
		}
		list = append(list, newJob(j))
	}
	slices.SortFunc(list, func(a, b *job) int { return a.Created.Compare(b.Created) })
	return list, nil
}

// remove deletes a job's folder: job.json first, so that what a crash leaves is no job.
func (s *store) remove(id string) error {
	if err := os.Remove(s.path(id, "job.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(filepath.Join(s.dir, id))
}

// removeStates deletes those of runs that have ended.
func (s *store) removeStates(id string) {
	for i := range maxSamples {
		_ = os.Remove(s.path(id, stateName(i))) // what stays is removed with the job
	}
}

func stateName(sample int) string { return fmt.Sprintf("state-%d.state", sample) }

// bytesOf is the size of a job's files.
func (s *store) bytesOf(id string) (n int64) { return bytesUnder(filepath.Join(s.dir, id)) }

// bytes is that of all.
func (s *store) bytes() int64 { return bytesUnder(s.dir) }

func bytesUnder(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil // what has just gone counts nothing
	})
	return n
}
