package server

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// Serve answers on a listener until ctx ends; then it takes no more jobs, gives the running one Options.Grace, keeps
// its state and returns. The listener is closed.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second, // clients that are slow on purpose
		ReadTimeout:       5 * time.Minute,
		WriteTimeout:      5 * time.Minute, // streams of events have their own
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	end, cancel := context.WithTimeout(context.Background(), s.o.Grace+30*time.Second)
	defer cancel()
	err = errors.Join(err, s.Close(end))
	last, cancelLast := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancelLast()
	if h.Shutdown(last) != nil {
		_ = h.Close()
	}
	return err
}
