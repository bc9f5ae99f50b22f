package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client speaks with one server. The zero value is of no use: it wants a URL.
type Client struct {
	URL   string       // as `psld serve` prints it, such as "http://127.0.0.1:8765"
	Token string       // where the server wants one
	HTTP  *http.Client // nil for http.DefaultClient
}

// Input is what a job is made of. Mask and Kernel may be nil.
type Input struct {
	Picture io.Reader // PNG, JPEG, WebP, TIFF, BMP or GIF
	Mask    io.Reader // of the same size, white or transparent where to repaint
	Kernel  io.Reader // point-spread function, a grey PNG
}

// Error is what the server refused.
type Error struct {
	Status     int // of HTTP
	Message    string
	RetryAfter time.Duration // where it is busy (status 503)
}

func (e *Error) Error() string { return e.Message }

// Busy tells whether err is of a server whose queue is full: the same call may do later.
func Busy(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusServiceUnavailable
}

// Create hands in a picture. It is in the queue when Create returns.
func (c *Client) Create(ctx context.Context, in Input, o JobOptions) (*Job, error) {
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	err = form.WriteField("options", string(options))
	for _, f := range []struct {
		name string
		r    io.Reader
	}{{"picture", in.Picture}, {"mask", in.Mask}, {"kernel", in.Kernel}} {
		if f.r == nil || err != nil {
			continue
		}
		var w io.Writer
		if w, err = form.CreateFormFile(f.name, f.name); err == nil {
			_, err = io.Copy(w, f.r)
		}
	}
	if err := errors.Join(err, form.Close()); err != nil {
		return nil, err
	}
	job := new(Job)
	return job, c.call(ctx, http.MethodPost, "/jobs", form.FormDataContentType(), &body, job)
}

// Job is the state of a job.
func (c *Client) Job(ctx context.Context, id string) (*Job, error) {
	job := new(Job)
	return job, c.call(ctx, http.MethodGet, "/jobs/"+url.PathEscape(id), "", nil, job)
}

// Wait returns the job when it has ended, and calls progress, which may be nil, whenever it changes. A job that failed
// is no error of Wait.
func (c *Client) Wait(ctx context.Context, id string, progress func(*Job)) (*Job, error) {
	for tries := 0; ; tries++ {
		job, err := c.follow(ctx, id, progress)
		if job != nil && job.State.Ended() {
			return job, nil
		}
		var refused *Error
		if ctx.Err() != nil || errors.As(err, &refused) || (err != nil || job == nil) && tries >= 5 {
			return job, errors.Join(err, ctx.Err())
		}
		select { // the connection broke, or the server is being started again
		case <-time.After(time.Duration(tries+1) * 200 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// Predict tells about how long a picture of that size takes with the options, whose Quality does not matter.
func (c *Client) Predict(ctx context.Context, width, height int, o JobOptions) (*Prediction, error) {
	options, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	q := url.Values{"width": {strconv.Itoa(width)}, "height": {strconv.Itoa(height)}, "options": {string(options)}}
	p := new(Prediction)
	return p, c.call(ctx, http.MethodGet, "/predict?"+q.Encode(), "", nil, p)
}

// follow reads the events of a job until they end, and returns the last one.
func (c *Client) follow(ctx context.Context, id string, progress func(*Job)) (last *Job, err error) {
	res, err := c.send(ctx, http.MethodGet, "/jobs/"+url.PathEscape(id)+"/events", "", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		job := new(Job)
		if err := json.Unmarshal([]byte(data), job); err != nil {
			return last, err
		}
		if n := job.LossFrom; n > 0 && last != nil && n <= len(last.Loss) {
			job.Loss, job.LossFrom = slices.Concat(last.Loss[:n], job.Loss), 0
		}
		if last = job; progress != nil {
			progress(job)
		}
		if job.State.Ended() {
			return job, nil
		}
	}
	return last, lines.Err()
}

// Cancel stops a job, which keeps the best picture so far.
func (c *Client) Cancel(ctx context.Context, id string) (*Job, error) {
	job := new(Job)
	return job, c.call(ctx, http.MethodPost, "/jobs/"+url.PathEscape(id)+"/cancel", "", nil, job)
}

// Remove cancels a job and removes all of it.
func (c *Client) Remove(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/jobs/"+url.PathEscape(id), "", nil, nil)
}

// Picture writes one of a job's pictures to w: original, measurement, mask, preview, result or spread; sample counts
// results from 0.
func (c *Client) Picture(ctx context.Context, w io.Writer, id, name string, sample int) error {
	path := fmt.Sprintf("/jobs/%s/%s?sample=%d", url.PathEscape(id), url.PathEscape(name), sample)
	res, err := c.send(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(w, res.Body)
	return err
}

// Health asks the server how it does.
func (c *Client) Health(ctx context.Context) (*Health, error) {
	h := new(Health)
	return h, c.call(ctx, http.MethodGet, "/health", "", nil, h)
}

// Models lists those that jobs may name.
func (c *Client) Models(ctx context.Context) (list []Model, err error) {
	return list, c.call(ctx, http.MethodGet, "/models", "", nil, &list)
}

// Tasks lists the kinds of damage.
func (c *Client) Tasks(ctx context.Context) (list []Task, err error) {
	return list, c.call(ctx, http.MethodGet, "/tasks", "", nil, &list)
}

// call sends a request and decodes the answer into v, where that is not nil.
func (c *Client) call(ctx context.Context, method, path, kind string, body io.Reader, v any) error {
	res, err := c.send(ctx, method, path, kind, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if v == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(v)
}

// send sends a request; an answer that is no success is an *Error.
func (c *Client) send(ctx context.Context, method, path, kind string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.URL, "/")+"/api/v1"+path, body)
	if err != nil {
		return nil, err
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	h := c.HTTP
	if h == nil {
		h = http.DefaultClient
	}
	res, err := h.Do(req)
	if err != nil || res.StatusCode < 300 {
		return res, err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	e := &Error{Status: res.StatusCode}
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &said) == nil && said.Error != "" {
		e.Message = said.Error
	} else {
		e.Message = res.Status
	}
	if s, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	return nil, e
}
