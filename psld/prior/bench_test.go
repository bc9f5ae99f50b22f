//go:build unix

package prior

import (
	"context"
	"io"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// BenchmarkOpen opens the single file that PSLD_MODEL names: against a plain read of the same bytes into fresh
// memory, and with the peak of resident memory as a multiple of the weights in the precision of the
// products. Run each precision in a process of its own for the peak: -bench 'Open/f32'.
func BenchmarkOpen(b *testing.B) {
	path := os.Getenv("PSLD_MODEL")
	if path == "" {
		b.Skip("set PSLD_MODEL to a model in one file")
	}
	for _, p := range []struct {
		name  string
		bytes int
	}{{"f32", 4}, {"bf16", 2}, {"int8", 1}} {
		b.Run(p.name, func(b *testing.B) {
			cpu, start := processorSeconds(b), time.Now()
			f, err := os.Open(path)
			require.NoError(b, err)
			st, err := f.Stat()
			require.NoError(b, err)
			data := make([]byte, st.Size())
			_, err = io.ReadFull(f, data)
			require.NoError(b, err)
			require.NoError(b, f.Close())
			read, cpuRead := time.Since(start), processorSeconds(b)-cpu
			b.SetBytes(int64(len(data)))
			data = nil
			debug.FreeOSMemory()
			before := resident(b, "VmRSS:")
			_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // resets the peak
			cpu = processorSeconds(b)
			var m *LatentDiffusion
			for b.Loop() {
				m, err = Open(context.Background(), path, Options{Precision: p.name})
				require.NoError(b, err)
			}
			n := m.UNet.Params.Count() + m.VAE.Params.Count() + m.Text.Params.Count()
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/read.Seconds(), "of-plain-read")
			b.ReportMetric((processorSeconds(b)-cpu)/float64(b.N)/cpuRead, "of-its-processor-time")
			b.ReportMetric(cpuRead, "processor-s-of-read")
			b.ReportMetric((resident(b, "VmHWM:")-before)/float64(n*p.bytes), "peak/weights")
		})
	}
}

// resident reads a line of /proc/self/status, in bytes.
func resident(b *testing.B, key string) float64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("memory is only known on Linux")
	}
	_, rest, _ := strings.Cut(string(text), key)
	kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
	require.NoError(b, err)
	return kib * 1024
}

// processorSeconds is the time of all threads, in the program and in the system for it.
func processorSeconds(b *testing.B) float64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		b.Skip(err)
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}
