package server

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"psld/psld/client"
)

// latencies are the times of requests, by what was asked.
type latencies struct {
	mu sync.Mutex
	of map[string][]time.Duration
}

// time runs a request and adds its time to those of the name that it returns.
func (l *latencies) time(request func() (name string)) {
	start := time.Now()
	name := request()
	took := time.Since(start)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[name] = append(l.of[name], took)
}

// table has a row of percentiles for each kind of request.
func (l *latencies) table() string {
	var b strings.Builder
	b.WriteString("| request | number | p50 | p95 | p99 |\n| --- | --- | --- | --- | --- |\n")
	for _, name := range []string{"create", "busy", "state", "result"} {
		all := l.of[name]
		slices.Sort(all)
		fmt.Fprintf(&b, "| %s | %d", name, len(all))
		for _, p := range []int{50, 95, 99} {
			fmt.Fprintf(&b, " | %.1f ms", float64(all[(len(all)*p-1)/100].Microseconds())/1000)
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// TestLoad: fifty clients at the same time, a queue of ten: each gets its picture, or the word that the queue is full
// and comes again. Nothing is lost, and no picture is another client's. -v prints the table of docs/serve.md.
func TestLoad(t *testing.T) {
	const clients = 50
	o := tiny(t.TempDir())
	o.Queue = 10
	s, c := serving(t, o)
	l := &latencies{of: map[string][]time.Duration{}}
	done, watched := make(chan struct{}), make(chan uint64)
	go func() { watched <- mostHeap(done) }()
	start := time.Now()
	var group sync.WaitGroup
	for i := range clients {
		group.Go(func() {
			if err := visit(t.Context(), c, l, i); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	group.Wait()
	took := time.Since(start)
	close(done)
	require.NotEmpty(t, l.of["busy"])
	require.Len(t, l.of["result"], clients)
	require.Len(t, s.jobs, clients)
	require.Zero(t, s.kept)
	require.Zero(t, s.coming)
	t.Logf("%d clients in %.1f s, heap at most %d MiB\n%s", clients, took.Seconds(), <-watched>>20, l.table())
}

// visit is a client's whole way, with a picture of a size of its own.
func visit(ctx context.Context, c *client.Client, l *latencies, i int) (err error) {
	width := 16 + i%10
	var j *client.Job
	for j == nil {
		l.time(func() string {
			if j, err = c.Create(ctx, client.Input{Picture: bytes.NewReader(png(width, 16, 1))}, quick(uint64(i))); err != nil {
				j = nil
				return "busy"
			}
			return "create"
		})
		if err != nil && !client.Busy(err) {
			return err
		}
		if j == nil {
			time.Sleep(200 * time.Millisecond)
		}
	}
	for !j.State.Ended() {
		time.Sleep(50 * time.Millisecond)
		l.time(func() string {
			j, err = c.Job(ctx, j.ID)
			return "state"
		})
		if err != nil {
			return err
		}
	}
	if j.State != client.Done || j.Results[0].Seed != uint64(i) || j.Width != width {
		return fmt.Errorf("got %+v", j)
	}
	l.time(func() string {
		err = c.Picture(ctx, io.Discard, j.ID, "result", 0)
		return "result"
	})
	return err
}

// mostHeap is the most bytes that the heap held until done is closed.
func mostHeap(done <-chan struct{}) (most uint64) {
	for {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapInuse)
		select {
		case <-done:
			return most
		case <-time.After(50 * time.Millisecond):
		}
	}
}
