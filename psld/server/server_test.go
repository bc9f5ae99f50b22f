package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/stretchr/testify/require"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/picture"
	"psld/psld/prior"
)

// tiny are options for a server with a random tiny model.
func tiny(dir string) Options {
	return Options{Data: dir, Version: "test", Models: []Model{{
		Model: client.Model{Name: "tiny", Kind: "latent", Description: "random"},
		Open:  func(context.Context, bool) (prior.Prior, error) { return prior.RandomTiny(1), nil },
	}}, Samples: []Sample{{Name: "one", Title: "One", Options: client.JobOptions{Task: "denoise"},
		Data: png(16, 16, 1)}}}
}

// png is a smooth picture.
func png(w, h int, seed float32) []byte {
	p := picture.New(w, h)
	for i := range p.Pix {
		x, y := float32(i/3%w)/float32(w), float32(i/3/w)/float32(h)
		p.Pix[i] = (x*seed-y)*0.8 + float32(i%3)*0.1
	}
	var b bytes.Buffer
	if err := picture.EncodePNG(&b, p); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// serving is a server that answers at a client.
func serving(t *testing.T, o Options) (*Server, *client.Client) {
	t.Helper()
	s, err := New(o)
	require.NoError(t, err)
	h := httptest.NewServer(s.Handler())
	t.Cleanup(func() {
		require.NoError(t, s.Close(context.Background()))
		h.Close()
	})
	return s, &client.Client{URL: h.URL, Token: o.Token}
}

// long is a job that does not end by itself.
var long = client.JobOptions{Task: "denoise", Method: "psld", Params: param.Values{"steps": 1000}}

func quick(seed uint64) client.JobOptions {
	return client.JobOptions{Task: "denoise", Method: "psld", Seed: seed, Params: param.Values{"steps": 3}}
}

func TestJob(t *testing.T) {
	_, c := serving(t, tiny(t.TempDir()))
	ctx := t.Context()
	o := quick(7)
	o.Samples = 2
	j, err := c.Create(ctx, client.Input{Picture: bytes.NewReader(png(24, 16, 1))}, o)
	require.NoError(t, err)
	var losses int
	j, err = c.Wait(ctx, j.ID, func(j *client.Job) { losses = max(losses, len(j.Loss)) })
	require.NoError(t, err)
	require.Equal(t, client.Done, j.State, j.Error)
	require.Len(t, j.Results, 2)
	require.EqualValues(t, 8, j.Results[1].Seed)
	require.Equal(t, []int{24, 16}, []int{j.Width, j.Height})
	require.Positive(t, losses)
	require.NotNil(t, j.Expires)

	// The result is that of the library.
	y, err := picture.Decode(bytes.NewReader(png(24, 16, 1)))
	require.NoError(t, err)
	sigma, ok := psld.EstimateNoise(y.Pix, y.H, y.W, nil)
	require.True(t, ok)
	want, err := psld.Solve(ctx, prior.RandomTiny(1), psld.Problem{Damage: psld.Damage{Task: "denoise"}, Measurement: y},
		psld.Options{Method: "psld", Quality: "good", Params: o.Params, Seed: 8, Sigma: &sigma})
	require.NoError(t, err)
	var got, expected bytes.Buffer
	require.NoError(t, c.Picture(ctx, &got, j.ID, "result", 1))
	require.NoError(t, picture.EncodePNG(&expected, want.Picture))
	a, err := picture.Decode(&got)
	require.NoError(t, err)
	b, err := picture.Decode(&expected)
	require.NoError(t, err)
	require.Equal(t, b.Pix, a.Pix)
	for _, name := range []string{"original", "measurement", "spread"} {
		require.NoError(t, c.Picture(ctx, io.Discard, j.ID, name, 0), name)
	}
	require.NoError(t, c.Remove(ctx, j.ID))
	_, err = c.Job(ctx, j.ID)
	require.ErrorContains(t, err, "no such job")
}

// TestMaskBox: a rectangle is a mask of it, and the result says so to psld restore.
func TestMaskBox(t *testing.T) {
	_, c := serving(t, tiny(t.TempDir()))
	pic := png(24, 16, 1)
	j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(pic)},
		client.JobOptions{Task: "inpaint", Method: "tv", MaskBox: []int{3, 4, 6, 5}})
	require.NoError(t, err)
	require.Contains(t, j.Notes[0], "30 of 384 pixels missing")
	j, err = c.Wait(t.Context(), j.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, j.State, j.Error)
	var got bytes.Buffer
	require.NoError(t, c.Picture(t.Context(), &got, j.ID, "result", 0))
	require.Contains(t, got.String(), "3,4,6,5", "its settings")
	a, err := picture.Decode(&got)
	require.NoError(t, err)
	b, err := picture.Decode(bytes.NewReader(pic))
	require.NoError(t, err)
	for i := range a.Pix {
		if x, y := i/3%24, i/3/24; x < 3 || x >= 9 || y < 4 || y >= 9 {
			require.Equal(t, b.Pix[i], a.Pix[i])
		}
	}
	require.NotEqual(t, b.Pix, a.Pix)
}

// What wrong requests are told, and with which status.
func TestRefusals(t *testing.T) {
	o := tiny(t.TempDir())
	o.MaxPixels, o.MaxUpload, o.Token = 10_000, 200_000, "secret"
	s, c := serving(t, o)
	good := png(16, 16, 1)
	bomb := append([]byte(nil), good...)
	copy(bomb[16:], []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff}) // the header says 65535x65535
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	create := func(in client.Input, o client.JobOptions) (int, string) {
		_, err := c.Create(t.Context(), in, o)
		var e *client.Error
		require.ErrorAs(t, err, &e)
		return e.Status, e.Message
	}
	for name, row := range map[string]struct {
		picture, mask, kernel []byte
		o                     client.JobOptions
		status                int
		text                  string
	}{
		"task":    {good, nil, nil, client.JobOptions{Task: "nonsense"}, 400, "unknown task"},
		"model":   {good, nil, nil, client.JobOptions{Task: "denoise", Model: "../x"}, 400, "unknown model"},
		"quality": {good, nil, nil, client.JobOptions{Task: "denoise", Quality: "x"}, 400, "want preview, good, best"},
		"method":  {good, nil, nil, client.JobOptions{Task: "denoise", Method: "x"}, 400, "unknown method"},
		"pixel":   {good, nil, nil, client.JobOptions{Task: "denoise", Method: "dps"}, 400, "model of pixels"},
		"params": {good, nil, nil, client.JobOptions{Task: "denoise", Method: "psld", Params: param.Values{"x": 1}}, 400,
			"x"},
		"auto": {good, nil, nil, client.JobOptions{Task: "denoise", Params: param.Values{"steps": 1}}, 400,
			"other than auto"},
		"samples": {good, nil, nil, client.JobOptions{Task: "denoise", Samples: 9}, 400, "want 1 to 8"},
		"paste":   {good, nil, nil, client.JobOptions{Task: "denoise", InvertMask: true}, 400, "no meaning"},
		"box of no mask": {good, nil, nil, client.JobOptions{Task: "denoise", MaskBox: []int{1, 1, 2, 2}}, 400,
			"mask_box has no meaning for task denoise"},
		"box and try": {good, nil, nil, client.JobOptions{Task: "inpaint-box", Try: true, MaskBox: []int{1, 1, 2, 2}}, 400,
			"mask_box has no meaning beside try"},
		"box of three": {good, nil, nil, client.JobOptions{Task: "inpaint", MaskBox: []int{1, 1, 2}}, 400,
			"mask_box [1 1 2], want x, y, width and height"},
		"empty box":   {good, nil, nil, client.JobOptions{Task: "inpaint", MaskBox: []int{1, 1, 0, 2}}, 400, "want x, y"},
		"box outside": {good, nil, nil, client.JobOptions{Task: "inpaint", MaskBox: []int{9, 9, 9, 2}}, 400, "a box of 9x2"},
		"box and mask": {good, good, nil, client.JobOptions{Task: "inpaint", MaskBox: []int{1, 1, 2, 2}}, 400,
			"a box has no meaning beside a mask"},
		"try and mask": {good, good, nil, client.JobOptions{Task: "inpaint-box", Try: true}, 400,
			"a mask has no meaning beside try"},
		"try and kernel": {good, nil, good, client.JobOptions{Task: "deblur-gaussian", Try: true}, 400,
			"a kernel has no meaning beside try"},
		"try and invert": {good, nil, nil, client.JobOptions{Task: "inpaint-box", Try: true, InvertMask: true}, 400,
			"invert_mask has no meaning beside try"},
		"invert no mask": {good, nil, nil, client.JobOptions{Task: "inpaint-box", InvertMask: true}, 400,
			"there is no mask that could be inverted"},
		"no mask":    {good, nil, nil, client.JobOptions{Task: "inpaint"}, 400, "mask"},
		"mask size":  {good, png(8, 8, 1), nil, client.JobOptions{Task: "inpaint"}, 400, "8x8"},
		"mask task":  {good, good, nil, client.JobOptions{Task: "denoise"}, 400, "no meaning"},
		"kernel":     {good, nil, good, client.JobOptions{Task: "deblur-motion"}, 400, "odd side"},
		"no kernel":  {good, nil, nil, client.JobOptions{Task: "deblur-motion"}, 400, "needs"},
		"no picture": {nil, nil, nil, client.JobOptions{Task: "denoise"}, 400, "parts picture and options"},
		"text":       {[]byte("hello"), nil, nil, client.JobOptions{Task: "denoise"}, 400, "picture: "},
		"cut off":    {good[:len(good)/2], nil, nil, client.JobOptions{Task: "denoise"}, 400, "picture: "},
		"bomb":       {bomb, nil, nil, client.JobOptions{Task: "denoise"}, 400, "megapixels"},
		"large":      {png(128, 128, 1), nil, nil, client.JobOptions{Task: "denoise"}, 413, "megapixels"},
		"upload":     {make([]byte, 300_000), nil, nil, client.JobOptions{Task: "denoise"}, 413, "MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			in := client.Input{}
			if row.picture != nil {
				in.Picture = bytes.NewReader(row.picture)
			}
			if row.mask != nil {
				in.Mask = bytes.NewReader(row.mask)
			}
			if row.kernel != nil {
				in.Kernel = bytes.NewReader(row.kernel)
			}
			status, text := create(in, row.o)
			require.Equal(t, row.status, status, text)
			require.Contains(t, text, row.text)
			require.NotContains(t, text, o.Data)
		})
	}
	entries, err := os.ReadDir(o.Data)
	require.NoError(t, err)
	require.Len(t, entries, 1, "only the lock is left of refused jobs")

	ask := func(method, path string, change func(*http.Request)) int {
		r := httptest.NewRequest(method, path, nil)
		r.Host = "localhost:80"
		r.Header.Set("Authorization", "Bearer secret")
		change(r)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	same := func(*http.Request) {}
	require.Equal(t, 200, ask("GET", "/api/v1/tasks", same))
	require.Equal(t, 401, ask("GET", "/api/v1/tasks", func(r *http.Request) {
		r.Header.Set("Authorization",
			"Bearer x")
	}))
	require.Equal(t, 401, ask("GET", "/metrics", func(r *http.Request) { r.Header.Del("Authorization") }))
	require.Equal(t, 200, ask("GET", "/api/v1/health", func(r *http.Request) { r.Header.Del("Authorization") }))
	require.Equal(t, 200, ask("GET", "/api/v1/tasks", func(r *http.Request) {
		r.Header.Del("Authorization")
		r.AddCookie(&http.Cookie{Name: tokenCookie, Value: "secret"})
	}))
	require.Equal(t, 403, ask("GET", "/", func(r *http.Request) { r.Host = "evil.example" }), "DNS rebinding")
	require.Equal(t, 200, ask("GET", "/", func(r *http.Request) { r.Host = "[::1]:8080" }))
	id := "/api/v1/jobs/" + newID()
	require.Equal(t, 403, ask("POST", id+"/cancel", func(r *http.Request) {
		r.Header.Set("Origin",
			"http://evil.example")
	}))
	require.Equal(t, 403, ask("DELETE", id, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }))
	require.Equal(t, 404, ask("DELETE", id, func(r *http.Request) { r.Header.Set("Origin", "http://localhost:80") }))
	for _, path := range []string{"/api/v1/jobs/..%2f..%2fetc/result", "/api/v1/jobs/" + strings.Repeat("a", 25) +
		"%2e/result",
		"/page/..%2f..%2fserver.go", "/page/%2e%2e/server.go", "/api/v1/samples/..%2fx", "/page/", "/nothing"} {
		require.Equal(t, 404, ask("GET", path, same), path)
	}
	require.Equal(t, 415, ask("POST", "/api/v1/jobs", same))
}

// A full queue says so, a cancelled job keeps its best, a waiting one is taken out.
func TestBusyAndCancel(t *testing.T) {
	o := tiny(t.TempDir())
	o.Queue = 2
	s, c := serving(t, o)
	ctx := t.Context()
	create := func(o client.JobOptions) (*client.Job, error) {
		return c.Create(ctx, client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, o)
	}
	first, err := create(long)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return s.health().Running == 1 }, 20*time.Second, time.Millisecond)
	second, err := create(quick(1))
	require.NoError(t, err)
	third, err := create(quick(2))
	require.NoError(t, err)
	require.Equal(t, 2, third.Position)
	_, err = create(quick(3))
	require.True(t, client.Busy(err), err)

	third, err = c.Cancel(ctx, third.ID)
	require.NoError(t, err)
	require.Equal(t, client.Cancelled, third.State)
	require.Empty(t, third.Results)
	require.Eventually(t, func() bool { j, err := c.Job(ctx, first.ID); return err == nil && j.Step > 1 }, 20*time.Second,
		time.Millisecond)
	_, err = c.Cancel(ctx, first.ID)
	require.NoError(t, err)
	first, err = c.Wait(ctx, first.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Cancelled, first.State)
	require.Len(t, first.Results, 1)
	require.True(t, first.Results[0].Partial)
	require.NoError(t, c.Picture(ctx, io.Discard, first.ID, "result", 0))
	second, err = c.Wait(ctx, second.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, second.State, second.Error)
}

// A job that the end of the server interrupts goes on at its next start, to the same bits as without a break.
func TestRestart(t *testing.T) {
	o := tiny(t.TempDir())
	o.Grace = time.Millisecond
	steps := client.JobOptions{Task: "denoise", Method: "psld", Seed: 3, Params: param.Values{"steps": 60}}
	result := func(c *client.Client, id string) []float32 {
		var b bytes.Buffer
		require.NoError(t, c.Picture(context.Background(), &b, id, "result", 0))
		p, err := picture.Decode(&b)
		require.NoError(t, err)
		return p.Pix
	}
	s, err := New(o)
	require.NoError(t, err)
	h := httptest.NewServer(s.Handler())
	c := &client.Client{URL: h.URL}
	j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, steps)
	require.NoError(t, err)
	waiting, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, steps)
	require.NoError(t, err)
	require.Eventually(t, func() bool { j, err := c.Job(t.Context(), j.ID); return err == nil && j.Step > 5 },
		20*time.Second, time.Millisecond)
	_, err = New(o)
	require.ErrorContains(t, err, "in use by another process")
	require.NoError(t, s.Close(t.Context()))
	h.Close()
	state := filepath.Join(o.Data, j.ID, stateName(0))
	require.FileExists(t, state)

	// What a kill leaves: a job without a description, and one half made.
	require.NoError(t, os.MkdirAll(filepath.Join(o.Data, newID()), 0o700))

	_, c = serving(t, o)
	j, err = c.Wait(t.Context(), j.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, j.State, j.Error)
	require.Equal(t, 60, j.Results[0].Steps)
	require.NoFileExists(t, state)
	waiting, err = c.Wait(t.Context(), waiting.ID, nil)
	require.NoError(t, err)
	require.Equal(t, client.Done, waiting.State, waiting.Error)
	require.Equal(t, result(c, waiting.ID), result(c, j.ID))
}

// Events have the losses once, over all samples, and the client puts them together.
func TestLosses(t *testing.T) {
	s, c := serving(t, tiny(t.TempDir()))
	o := client.JobOptions{Task: "denoise", Method: "psld", Samples: 2, Params: param.Values{"steps": 30}}
	j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, o)
	require.NoError(t, err)
	j, err = c.Wait(t.Context(), j.ID, func(j *client.Job) { require.Zero(t, j.LossFrom) })
	require.NoError(t, err)
	require.Len(t, j.Loss, 30)
	stored, err := c.Job(t.Context(), j.ID)
	require.NoError(t, err)
	require.Equal(t, stored.Loss, j.Loss)

	// What an observer gets, step by step.
	n := newJob(client.Job{ID: newID(), State: client.Running})
	var had heard
	add := func(first bool, loss float64) client.Job {
		if first {
			n.Loss = n.Loss[:0]
			n.curve++
		}
		n.Loss = append(n.Loss, loss)
		now, _ := n.since(&had)
		return now
	}
	for i, row := range []struct {
		first bool
		from  int
	}{{true, 0}, {false, 1}, {false, 2}, {true, 0}, {false, 1}} {
		now := add(row.first, float64(i))
		require.Equal(t, row.from, now.LossFrom)
		require.Equal(t, []float64{float64(i)}, now.Loss)
	}
	require.Zero(t, s.kept)
}

// A prediction is for the method and the parameters that are chosen.
func TestPredict(t *testing.T) {
	s, c := serving(t, tiny(t.TempDir()))
	seconds := func(o client.JobOptions) float64 {
		p, err := c.Predict(t.Context(), 64, 48, o)
		require.NoError(t, err)
		return p.Good
	}
	steps := func(n int) client.JobOptions {
		return client.JobOptions{Task: "denoise", Method: "psld", Params: param.Values{"steps": n, "strength": 1}}
	}
	short, long, two := seconds(steps(10)), seconds(steps(100)), steps(10)
	two.Samples = 2
	require.Positive(t, short)
	require.InEpsilon(t, 10, long/short, 0.2)
	require.InEpsilon(t, 2, seconds(two)/short, 1e-6)
	_, err := c.Predict(t.Context(), 64, 48, client.JobOptions{Task: "denoise", Method: "nonsense"})
	require.ErrorContains(t, err, "unknown method")
	_, err = c.Predict(t.Context(), s.o.MaxPixels, 2, steps(10))
	require.ErrorContains(t, err, "megapixels")
}

// Parameters are told with what they take: a switch has no range, a text its choices.
func TestMethods(t *testing.T) {
	s, _ := serving(t, tiny(t.TempDir()))
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "http://localhost/api/v1/methods", nil))
	var list []client.Method
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &list))
	fields := map[string]client.Field{}
	for _, f := range list[0].Fields { // PSLD
		fields[f.Name] = f
	}
	require.Equal(t, client.Field{Name: "squared", Help: fields["squared"].Help, Kind: "boolean", Default: false},
		fields["squared"])
	require.Equal(t, []string{"adjoint", "pinv", "reference"}, fields["back"].Choices)
	require.Equal(t, "integer", fields["steps"].Kind)
	require.EqualValues(t, []float64{1, 1000}, []float64{*fields["steps"].Min, *fields["steps"].Max})
	require.True(t, fields["strength"].MinOpen)
	require.Nil(t, fields["omega"].Max)
}

// creating makes jobs on a small picture.
func creating(t *testing.T, c *client.Client) func(o client.JobOptions) *client.Job {
	return func(o client.JobOptions) *client.Job {
		j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, o)
		require.NoError(t, err)
		return j
	}
}

// Pictures that wait are kept decoded as far as there is room, and no more are received than may wait.
func TestKeep(t *testing.T) {
	o := tiny(t.TempDir())
	o.Queue = 2
	s, c := serving(t, o)
	create := creating(t, c)
	first := create(long)
	require.Eventually(t, func() bool { return s.health().Running == 1 }, 20*time.Second, time.Millisecond)
	kept, other := create(quick(1)), create(quick(1))
	require.NotNil(t, s.find(kept.ID).problem)
	require.EqualValues(t, 2*4*3*16*16, s.kept)
	s.release(s.find(other.ID)) // this one is read from its files
	_, err := s.reserve()
	require.Equal(t, errBusy, err)
	_, err = c.Cancel(t.Context(), first.ID)
	require.NoError(t, err)
	var results [2]bytes.Buffer
	for i, j := range []*client.Job{kept, other} {
		j, err = c.Wait(t.Context(), j.ID, nil)
		require.NoError(t, err)
		require.Equal(t, client.Done, j.State, j.Error)
		require.NoError(t, c.Picture(t.Context(), &results[i], j.ID, "result", 0))
	}
	require.Equal(t, results[0].Bytes(), results[1].Bytes())
	require.Zero(t, s.kept)

	one, err := s.reserve()
	require.NoError(t, err)
	two, err := s.reserve()
	require.NoError(t, err)
	_, err = s.reserve()
	require.Equal(t, errBusy, err)
	one()
	one()
	two()
	require.Zero(t, s.coming)
}

// Ended jobs go when they are old, and the oldest ones when all are too large.
func TestTidy(t *testing.T) {
	o := tiny(t.TempDir())
	s, c := serving(t, o)
	var ids []string
	for i := range 3 {
		j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(32, 32, 1))}, quick(uint64(i)))
		require.NoError(t, err)
		_, err = c.Wait(t.Context(), j.ID, nil)
		require.NoError(t, err)
		ids = append(ids, j.ID)
	}
	s.o.KeepBytes = s.store.bytes() - 1
	s.tidy(time.Now())
	require.Nil(t, s.find(ids[0]))
	require.NotNil(t, s.find(ids[1]))
	s.tidy(time.Now().Add(s.o.KeepFor + time.Hour))
	require.Nil(t, s.find(ids[2]))
	require.NoDirExists(t, filepath.Join(o.Data, ids[2]))
}

// Every answer is what openapi.yaml says.
func TestDocument(t *testing.T) {
	ctx := t.Context()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(ctx))
	s, err := New(tiny(t.TempDir()))
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close(context.Background())) }()
	router, err := gorillamux.NewRouter(doc)
	require.NoError(t, err)
	seen := map[string]bool{}
	check := validator(t, s.Handler(), router, seen)
	web := httptest.NewServer(check)
	defer web.Close()
	c := &client.Client{URL: web.URL}
	j, err := c.Create(ctx, client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, quick(1))
	require.NoError(t, err)
	j, err = c.Wait(ctx, j.ID, nil)
	require.NoError(t, err)
	_, err = c.Job(ctx, j.ID)
	require.NoError(t, err)
	require.NoError(t, c.Picture(ctx, io.Discard, j.ID, "result", 0))
	require.Error(t, c.Picture(ctx, io.Discard, j.ID, "spread", 0))
	_, err = c.Cancel(ctx, j.ID)
	require.NoError(t, err)
	require.NoError(t, c.Remove(ctx, j.ID))
	require.Error(t, c.Remove(ctx, j.ID))
	_, err = c.Create(ctx, client.Input{}, quick(1))
	require.Error(t, err)
	_, err = c.Health(ctx)
	require.NoError(t, err)
	_, err = c.Models(ctx)
	require.NoError(t, err)
	_, err = c.Tasks(ctx)
	require.NoError(t, err)
	for _, path := range []string{"/methods", "/samples", "/samples/one", "/samples/two",
		"/predict?options=%7B%22task%22:%22sr4%22%7D&width=64&height=64", "/predict?options=%7B%7D&width=64&height=64"} {
		res, err := http.Get(web.URL + "/api/v1" + path)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			require.True(t, seen[op.OperationID], "%s %s was not tried", method, path)
		}
	}
}

// validator checks requests and answers against the document.
func validator(t *testing.T, h http.Handler, router routers.Router, seen map[string]bool) http.Handler {
	var mu sync.Mutex
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u := *r.URL
		asked := &http.Request{Method: r.Method, URL: &url.URL{Path: u.Path, RawQuery: u.RawQuery}, Header: r.Header}
		route, params, err := router.FindRoute(asked)
		if err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		mu.Lock()
		seen[route.Operation.OperationID] = true
		mu.Unlock()
		in := &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
				ExcludeRequestBody: true}}
		binary := !strings.Contains(rec.Header().Get("Content-Type"), "json")
		out := &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: rec.Code, Header: rec.Header(),
			Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: binary}}
		out.SetBodyBytes(rec.Body.Bytes())
		if err := openapi3filter.ValidateResponse(context.Background(), out); err != nil {
			t.Errorf("%s %s: %v", r.Method, r.URL, err)
		}
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		_, _ = w.Write(rec.Body.Bytes())
	})
}

// A server ends within its grace, and the address is free again.
func TestServe(t *testing.T) {
	o := tiny(t.TempDir())
	o.Grace = time.Millisecond
	s, err := New(o)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, l) }()
	c := &client.Client{URL: "http://" + l.Addr().String()}
	j, err := c.Create(t.Context(), client.Input{Picture: bytes.NewReader(png(16, 16, 1))}, long)
	require.NoError(t, err)
	events := make(chan error, 1)
	go func() { _, err := c.Wait(t.Context(), j.ID, func(*client.Job) { stop() }); events <- err }()
	require.NoError(t, <-done)
	require.Error(t, <-events)
	stored, err := os.ReadFile(filepath.Join(o.Data, j.ID, "job.json"))
	require.NoError(t, err)
	var left client.Job
	require.NoError(t, json.Unmarshal(stored, &left))
	require.False(t, left.State.Ended())
	_, err = c.Health(t.Context())
	var refused *client.Error
	require.False(t, errors.As(err, &refused))
}
