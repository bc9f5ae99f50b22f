package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"psld/psld/client"
)

// metrics are what /metrics shows, in a registry of the server's own.
type metrics struct {
	registry *prometheus.Registry
	jobs     *prometheus.CounterVec   // that ended, by task and state
	seconds  *prometheus.HistogramVec // of their runs, by task
	refused  *prometheus.CounterVec   // requests, by status
	steps    prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		jobs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "psld_jobs_total",
			Help: "Jobs that have ended."}, []string{"task", "state"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "psld_job_seconds",
			Help:    "Time from the begin of a job's run to its end.",
			Buckets: prometheus.ExponentialBuckets(0.25, 2, 16)}, []string{"task"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "psld_refused_requests_total",
			Help: "Requests that were answered by an error."}, []string{"status"}),
		steps: prometheus.NewCounter(prometheus.CounterOpts{Name: "psld_steps_total", Help: "Steps of all methods."}),
	}
	m.registry.MustRegister(m.jobs, m.seconds, m.refused, m.steps, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds what is read off the server at each look.
func (m *metrics) watch(s *Server) {
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("psld_queued_jobs", "Jobs that wait.", func() float64 { return float64(s.health().Queued) })
	gauge("psld_running_jobs", "Jobs that run.", func() float64 { return float64(s.health().Running) })
	gauge("psld_stored_bytes", "Bytes of all jobs' files.", func() float64 { return float64(s.store.bytes()) })
}

func (m *metrics) ended(j client.Job, state client.State) {
	m.jobs.WithLabelValues(j.Options.Task, string(state)).Inc()
	if j.Started != nil && j.Finished != nil {
		m.seconds.WithLabelValues(j.Options.Task).Observe(j.Finished.Sub(*j.Started).Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}
