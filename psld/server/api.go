package server

import (
	_ "embed" // the API's document
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/task"
)

//go:embed openapi.yaml
var openAPI []byte

// routes are those of the API, as openapi.yaml has them.
func (s *Server) routes(mux *http.ServeMux) {
	handle := func(pattern string, f func(w http.ResponseWriter, r *http.Request) error) {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /api/v1"+path, func(w http.ResponseWriter, r *http.Request) {
			if err := f(w, r); err != nil {
				s.refuse(w, err)
			}
		})
	}
	handle("GET /health", s.getHealth)
	handle("GET /models", s.getModels)
	handle("GET /tasks", s.getTasks)
	handle("GET /methods", s.getMethods)
	handle("GET /samples", s.getSamples)
	handle("GET /samples/{name}", s.getSample)
	handle("GET /predict", s.getPrediction)
	handle("POST /jobs", s.postJob)
	handle("GET /jobs/{id}", s.ofJob(s.getJob))
	handle("DELETE /jobs/{id}", s.ofJob(s.deleteJob))
	handle("GET /jobs/{id}/events", s.ofJob(s.getEvents))
	handle("POST /jobs/{id}/cancel", s.ofJob(s.cancelJob))
	handle("GET /jobs/{id}/{picture}", s.ofJob(s.getPicture))
	handle("GET /openapi.yaml", func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Content-Type", "application/yaml")
		_, err := w.Write(openAPI)
		return err
	})
	handle("GET /", func(http.ResponseWriter, *http.Request) error { return errNotFound })
}

var errNotFound = &refusal{http.StatusNotFound, "there is no such thing here"}

// refuse answers with an error.
func (s *Server) refuse(w http.ResponseWriter, err error) {
	status, text := http.StatusInternalServerError, "this server could not do it; its log says why"
	var no *refusal
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &no):
		status, text = no.status, no.text
	case errors.As(err, &large):
		status, text = http.StatusRequestEntityTooLarge, fmt.Sprintf("more than %d MiB, which is what this server takes",
			large.Limit>>20)
	case errors.Is(err, syscall.ENOSPC):
		status, text = http.StatusInsufficientStorage, "the server's disk is full"
		s.o.Log.Error("disk full", "error", err)
	default:
		s.o.Log.Error("request failed", "error", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "10")
	}
	s.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	writeJSON(w, status, map[string]string{"error": text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil { // a number that is not finite: a programmer's mistake
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(b) // who does not listen any more is told nothing
}

func (s *Server) health() client.Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := client.Health{Status: "ok", Queued: len(s.queue), Capacity: s.o.Queue, Version: s.o.Version}
	if s.running != nil {
		h.Running = 1
	}
	if s.draining {
		h.Status = "draining"
	}
	return h
}

func (s *Server) getHealth(w http.ResponseWriter, _ *http.Request) error {
	h := s.health()
	status := http.StatusOK
	if h.Status != "ok" {
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, h)
	return nil
}

func (s *Server) getModels(w http.ResponseWriter, _ *http.Request) error {
	list := []client.Model{}
	for _, m := range s.o.Models {
		list = append(list, m.Model)
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) getTasks(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, Tasks())
	return nil
}

func (s *Server) getMethods(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, http.StatusOK, Methods())
	return nil
}

func (s *Server) getSamples(w http.ResponseWriter, _ *http.Request) error {
	list := []client.Sample{}
	for _, p := range s.o.Samples {
		list = append(list, client.Sample{Name: p.Name, Title: p.Title, URL: "/api/v1/samples/" + p.Name,
			Options: p.Options})
	}
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (s *Server) getSample(w http.ResponseWriter, r *http.Request) error {
	for _, p := range s.o.Samples {
		if p.Name == r.PathValue("name") {
			w.Header().Set("Content-Type", http.DetectContentType(p.Data))
			w.Header().Set("Cache-Control", "private, max-age=3600")
			_, err := w.Write(p.Data)
			return err
		}
	}
	return errNotFound
}

func (s *Server) getPrediction(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	var o client.JobOptions
	if err := readOptions(strings.NewReader(q.Get("options")), &o); err != nil {
		return err
	}
	o, err := s.checkOptions(o)
	if err != nil {
		return err
	}
	width, err := strconv.Atoi(q.Get("width"))
	height, err2 := strconv.Atoi(q.Get("height"))
	if err != nil || err2 != nil {
		return bad("a picture of %.20qx%.20q pixels, want two numbers", q.Get("width"), q.Get("height"))
	}
	t := task.Must(task.Name(o.Task))
	if n := 1 << 20; width < 1 || width > n || height < 1 || height > n ||
		width*height*t.Scale*t.Scale > s.o.MaxPixels {
		return bad("a result of %dx%d pixels, this server takes 1 to %.1f megapixels", width*t.Scale, height*t.Scale,
			float64(s.o.MaxPixels)/1e6)
	}
	seconds := map[string]float64{}
	for _, quality := range psld.Qualities() {
		b, err := s.bind(r.Context(), s.models[o.Model], t, psld.Damage{Task: t.Name}, height*t.Scale, width*t.Scale,
			psld.Options{Method: o.Method, Quality: quality, Params: param.Values(o.Params), Prompt: o.Prompt})
		if err != nil {
			return err
		}
		seconds[quality] = b.work.Seconds() * float64(o.Samples)
	}
	writeJSON(w, http.StatusOK, client.Prediction{Preview: seconds[psld.QualityPreview],
		Good: seconds[psld.QualityGood], Best: seconds[psld.QualityBest]})
	return nil
}

// postJob takes a job in: it is stored and in the queue, or refused, when this returns.
func (s *Server) postJob(w http.ResponseWriter, r *http.Request) error {
	giveUp, err := s.reserve() // before the picture is read
	if err != nil {
		return err
	}
	defer giveUp()
	r.Body = http.MaxBytesReader(w, r.Body, s.o.MaxUpload)
	kind, values, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/form-data" || values["boundary"] == "" {
		return &refusal{http.StatusUnsupportedMediaType, "want multipart/form-data"}
	}
	j := client.Job{ID: newID(), State: client.Queued, Created: time.Now()}
	var p *problem
	err = s.store.create(&j, func(dir string) error {
		path := func(name string) string { return filepath.Join(dir, name) }
		if err := s.receive(multipart.NewReader(r.Body, values["boundary"]), path, &j.Options); err != nil {
			return err
		}
		if j.Options, err = s.checkOptions(j.Options); err != nil {
			return err
		}
		if p, err = s.readProblem(j.Options, path); err != nil {
			return err
		}
		j.Width, j.Height, j.Notes = p.w, p.h, p.notes
		if err := s.accept(r, p, j.Options); err != nil {
			return err
		}
		if p.made {
			return picture.Save(path("measurement.png"), p.y)
		}
		return nil
	})
	if err != nil {
		return err
	}
	n := newJob(j)
	s.keep(n, p)
	if err := s.enqueue(n); err != nil {
		return errors.Join(err, s.store.remove(j.ID))
	}
	s.log(n, "job taken in")
	w.Header().Set("Location", "/api/v1/jobs/"+j.ID)
	writeJSON(w, http.StatusCreated, s.show(n))
	return nil
}

// accept refuses a job that no method could do, or that would take too long.
func (s *Server) accept(r *http.Request, p *problem, o client.JobOptions) error {
	b, err := s.bind(r.Context(), s.models[o.Model], p.task, p.damage, p.h, p.w, p.options(o, 0))
	if err != nil {
		return err
	}
	if all := b.work * time.Duration(o.Samples); all > s.o.MaxTime {
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("it would take about %s, this server takes jobs of "+
			"at "+
			"most %s: a smaller picture, fewer samples or a lower quality take less", all.Round(time.Second), s.o.MaxTime)}
	}
	return nil
}

// receive stores the files of a form and reads its options.
func (s *Server) receive(form *multipart.Reader, path func(string) string, o *client.JobOptions) error {
	seen := map[string]bool{}
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return unlessTooLarge(err, "the form cannot be read to its end")
		}
		name := part.FormName()
		if !slices.Contains([]string{"picture", "mask", "kernel", "options"}, name) || seen[name] {
			return bad("the form has a part %.40q too many, want picture, options, and perhaps mask and kernel", name)
		}
		seen[name] = true
		if name == "options" {
			if err := readOptions(part, o); err != nil {
				return err
			}
			continue
		}
		f, err := os.OpenFile(path(name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(onDisk{f}, part)
		if e := f.Close(); err == nil && e != nil {
			return e
		}
		var disk *diskError
		if errors.As(err, &disk) {
			return disk.error
		}
		if err != nil {
			return unlessTooLarge(err, "the upload broke off")
		}
	}
	if !seen["picture"] || !seen["options"] {
		return bad("the form wants the parts picture and options")
	}
	return nil
}

// readOptions reads JSON of options, and refuses what they do not have.
func readOptions(r io.Reader, o *client.JobOptions) error {
	d := json.NewDecoder(io.LimitReader(r, 1<<16))
	d.DisallowUnknownFields()
	if err := d.Decode(o); err != nil {
		return bad("options: %s", err)
	}
	return nil
}

// onDisk tells errors of writing from those of reading.
type onDisk struct{ f *os.File }

type diskError struct{ error }

func (d onDisk) Write(b []byte) (int, error) {
	n, err := d.f.Write(b)
	if err != nil {
		err = &diskError{err}
	}
	return n, err
}

func unlessTooLarge(err error, text string) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return err
	}
	return bad("%s", text)
}

// ofJob finds the job of a request.
func (s *Server) ofJob(f func(http.ResponseWriter, *http.Request, *job) error) func(http.ResponseWriter,
	*http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error {
		if id := r.PathValue("id"); isID(id) {
			if j := s.find(id); j != nil {
				return f(w, r, j)
			}
		}
		return &refusal{http.StatusNotFound, "there is no such job: it may have been removed"}
	}
}

// show is what the API says of a job.
func (s *Server) show(j *job) client.Job {
	c, _ := j.look()
	c.Position = s.position(j)
	return c
}

func (s *Server) getJob(w http.ResponseWriter, _ *http.Request, j *job) error {
	writeJSON(w, http.StatusOK, s.show(j))
	return nil
}

func (s *Server) deleteJob(w http.ResponseWriter, r *http.Request, j *job) error {
	if err := s.remove(r.Context(), j); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) cancelJob(w http.ResponseWriter, _ *http.Request, j *job) error {
	s.cancel(j)
	writeJSON(w, http.StatusAccepted, s.show(j))
	return nil
}

// getEvents streams what becomes of a job.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request, j *job) error {
	c := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	var had heard
	for {
		now, news := j.since(&had)
		now.Position = s.position(j)
		b, err := json.Marshal(now)
		if err != nil {
			return err
		}
		_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a client that reads too slowly is left
		if _, err := fmt.Fprintf(w, "event: job\ndata: %s\n\n", b); err != nil || c.Flush() != nil {
			return nil
		}
		if now.State.Ended() {
			return nil
		}
		for again := false; !again; {
			select {
			case <-news:
				again = true
			case <-time.After(15 * time.Second): // so that both ends see whether the other is there
				_ = c.SetWriteDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.WriteString(w, ":\n\n"); err != nil || c.Flush() != nil {
					return nil
				}
			case <-r.Context().Done():
				return nil
			case <-s.ended:
				return nil
			}
		}
		select { // several changes in one event
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
			return nil
		}
	}
}

// getPicture sends one of a job's pictures.
func (s *Server) getPicture(w http.ResponseWriter, r *http.Request, j *job) error {
	name := r.PathValue("picture")
	path := func(file string) string { return s.store.path(j.ID, file) }
	file := ""
	switch name {
	case "original", "measurement":
		if file = path("measurement.png"); name == "original" || !has(file) {
			file = path("picture")
		}
	case "mask", "kernel":
		file = path(name)
	case "spread":
		file = path("spread.png")
	case "result":
		n, err := strconv.Atoi("0" + r.URL.Query().Get("sample"))
		if err != nil || n >= maxSamples {
			return bad("sample %.20q, want 0 to %d", r.URL.Query().Get("sample"), maxSamples-1)
		}
		file = path(resultName(n))
	case "preview":
		j.mu.Lock()
		b := j.preview
		j.mu.Unlock()
		if b == nil {
			return errNotFound
		}
		w.Header().Set("Content-Type", "image/jpeg")
		_, err := w.Write(b)
		return err
	default:
		return errNotFound
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return errNotFound
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	head := make([]byte, 512)
	n, _ := f.ReadAt(head, 0)
	kind := http.DetectContentType(head[:n])
	if !strings.HasPrefix(kind, "image/") {
		kind = "application/octet-stream" // TIFF: browsers need not guess
	}
	w.Header().Set("Content-Type", kind)
	if r.URL.Query().Get("download") == "1" {
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"psld-%s-%s.png\"", j.Options.Task, name))
	}
	w.Header().Set("Cache-Control", "private, no-cache")
	http.ServeContent(w, r, "", info.ModTime(), f)
	return nil
}
