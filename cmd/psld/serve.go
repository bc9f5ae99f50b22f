package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"psld/psld"
	"psld/psld/client"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/server"
	"psld/psld/task"
	"psld/weights"
)

var serveVerb = verb{
	name: "serve", short: "open the web application: a page to restore pictures with, and an API",
	notes: `Opens a page on this machine alone and prints its address; Ctrl-C ends it. Jobs and results lie in --data and
go on after a restart. --model adds models, with commas between; the embedded one is there at once.
  psld serve --open
  psld serve --listen 0.0.0.0:8765 --token "$(openssl rand -hex 16)"
The API is described at /api/v1/openapi.yaml; Go programs use the package psld/client. /metrics is for Prometheus.

`,
	setup: func(fs *flag.FlagSet) work { return addServeFlags(fs).run }, talks: true,
}

// serveFlags are those of psld serve.
type serveFlags struct {
	listen, data, models, dtype, token, hosts *string
	loras, device                             *string
	open, windows                             *bool
	queue, pixels                             *int
	maxTime, keep                             *time.Duration
	size, upload                              *string
	threads                                   func() error
}

func addServeFlags(fs *flag.FlagSet) *serveFlags {
	return &serveFlags{
		listen: fs.String("listen", "127.0.0.1:0", "`address` and port; port 0 takes a free one"),
		data:   fs.String("data", "", "`folder` for jobs and results (default: psld in the user's cache folder)"),
		models: fs.String("model", "", "`list` of further models, with commas, each as of restore, or name=model to give "+
			"it a name other than that of its file"),
		dtype:  fs.String("dtype", "f32", "`precision` of their matrix products, as of restore"),
		device: deviceFlag(fs),
		windows: fs.Bool("windows", false, "latent models see pictures of more than 512 pixels in overlapping windows, as "+
			"of restore"),
		open: fs.Bool("open", false, "open the page in the browser"),
		token: fs.String("token", "", "`word` that requests must bring (PSLD_TOKEN keeps it out of the list of processes); "+
			"needed where --listen is not this machine alone"),
		loras: fs.String("lora", "", "`name=file[:weight]` of LoRA files to merge into the model of that name, with commas "+
			"between"),
		hosts:   fs.String("host", "", "`names` of this server beside localhost and its addresses, with commas"),
		queue:   fs.Int("queue", 32, "`N` jobs that may wait"),
		pixels:  fs.Int("max-pixels", 24, "`megapixels` that a result may have"),
		maxTime: fs.Duration("max-time", time.Hour, "`time` that a job may take by its prediction"),
		keep:    fs.Duration("keep", 7*24*time.Hour, "`time` after which ended jobs are removed"),
		size:    fs.String("max-data", "4GiB", "`size` of all jobs above which the oldest ended ones are removed"),
		upload:  fs.String("max-upload", "64MiB", "`size` of a request"),
		threads: threadsFlag(fs),
	}
}

func (f *serveFlags) run(ctx context.Context, c *console, _ []string) error {
	o, err := f.options(c)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", *f.listen)
	if err != nil {
		return fmt.Errorf("--listen %s: %w", *f.listen, err)
	}
	address := l.Addr().(*net.TCPAddr)
	if *f.token == "" && !address.IP.IsLoopback() {
		return errors.Join(fmt.Errorf("--listen %s can be reached from other machines: want --token, a word that they must "+
			"know", *f.listen), l.Close())
	}
	s, err := server.New(o)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	at := "http://" + pageHost(address.AddrPort()) + "/"
	if *f.token != "" {
		at += "?token=" + url.QueryEscape(*f.token)
	}
	c.say("data      %s", o.Data)
	c.say("machine   %s", machine())
	fmt.Fprintln(c.out, at)
	if *f.open {
		if err := openBrowser(at); err != nil {
			c.say("warning   no browser could be started: %v", err)
		}
	}
	return s.Serve(ctx, l)
}

// pageHost is how this machine's browser names an address.
func pageHost(a netip.AddrPort) string {
	if a.Addr().IsUnspecified() {
		return fmt.Sprintf("localhost:%d", a.Port())
	}
	return a.String()
}

// options checks the flags.
func (f *serveFlags) options(c *console) (o server.Options, err error) {
	if err := f.threads(); err != nil {
		return o, err
	}
	o = server.Options{Data: *f.data, Version: version(), Queue: *f.queue, MaxPixels: *f.pixels * 1_000_000,
		MaxTime: *f.maxTime, KeepFor: *f.keep, Token: *f.token, Log: slog.New(slog.NewTextHandler(c.log, nil))}
	switch {
	case *f.queue < 1 || *f.queue > 10000:
		return o, fmt.Errorf("--queue %d, want 1 to 10000", *f.queue)
	case *f.pixels < 1 || *f.pixels > psld.MaxPixels/1_000_000:
		return o, fmt.Errorf("--max-pixels %d, want 1 to %d", *f.pixels, psld.MaxPixels/1_000_000)
	case *f.maxTime <= 0 || *f.keep <= 0:
		return o, errors.New("--max-time and --keep want times above 0, such as 1h")
	case strings.ContainsAny(*f.token, " ;,\"\\") || len(*f.token) > 200:
		return o, errors.New("--token wants up to 200 letters and digits, without spaces and signs")
	}
	if o.KeepBytes, err = parseSize(*f.size); err != nil {
		return o, fmt.Errorf("--max-data: %w", err)
	}
	if o.MaxUpload, err = parseSize(*f.upload); err != nil {
		return o, fmt.Errorf("--max-upload: %w", err)
	}
	if o.Data == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return o, fmt.Errorf("--data is missing, and there is no cache folder: %w", err)
		}
		o.Data = filepath.Join(cache, "psld")
	}
	if *f.hosts != "" {
		o.Hosts = strings.Split(strings.ToLower(*f.hosts), ",")
	}
	if o.Models, err = f.listModels(); err != nil {
		return o, err
	}
	o.Samples, err = samplePictures()
	return o, err
}

// listModels are the embedded model and those that were named.
func (f *serveFlags) listModels() ([]server.Model, error) {
	if _, err := openDevice(*f.device, *f.dtype); err != nil {
		return nil, err
	}
	list := []server.Model{{
		Model: client.Model{Name: "default", Kind: "embedded", Description: "the small models that come with the program"},
		Open: func(ctx context.Context, pixel bool) (prior.Prior, error) {
			return prior.OpenAny(ctx, "", prior.Options{Device: *f.device, Windows: *f.windows && !pixel}, pixel)
		},
	}}
	loras := map[string][]weights.LoRA{}
	for text := range strings.SplitSeq(*f.loras, ",") {
		name, file, ok := strings.Cut(text, "=")
		l, err := parseLoRA(file)
		switch {
		case text == "" && *f.loras == "":
		case !ok || err != nil || !slices.ContainsFunc(strings.Split(*f.models, ","),
			func(m string) bool { n, _ := namedModel(m); return n == name }):
			return nil, fmt.Errorf("--lora %q, want name=file or name=file:weight, with the name of a --model", text)
		default:
			loras[name] = append(loras[name], l)
		}
	}
	if *f.models == "" {
		return list, nil
	}
	for text := range strings.SplitSeq(*f.models, ",") {
		name, path := namedModel(text)
		if name == "" || path == "" || slices.ContainsFunc(list, func(m server.Model) bool { return m.Name == name }) {
			return nil, fmt.Errorf("--model %q, want name=model or a model, each name once", text)
		}
		if _, err := weights.FindModel(path); err != nil { // it is opened by the first job that wants it
			return nil, fmt.Errorf("--model: %w", err)
		}
		m := server.Model{Model: client.Model{Name: name, Kind: "latent", Description: filepath.Base(path)},
			Open: func(ctx context.Context, _ bool) (prior.Prior, error) {
				return prior.OpenAny(ctx, path, prior.Options{Precision: *f.dtype, Device: *f.device,
					Windows: *f.windows && !prior.IsPixel(path),
					Weights: weights.Options{LoRA: loras[name]}}, false)
			}}
		if prior.IsPixel(path) {
			m.Kind = "pixel"
		}
		list = append(list, m)
	}
	return list, nil
}

// namedModel splits name=model. A model alone, as PSLD_MODEL has it for all commands, goes by the name of its file.
func namedModel(text string) (name, path string) {
	name, path, ok := strings.Cut(text, "=")
	if ok && !strings.ContainsAny(name, `/\`) {
		return name, path
	}
	base := filepath.Base(filepath.Clean(text))
	return strings.TrimSuffix(base, filepath.Ext(base)), text
}

// samplePictures are made of the demo's photo.
func samplePictures() ([]server.Sample, error) {
	x, err := demoPhoto(256)
	if err != nil {
		return nil, err
	}
	var list []server.Sample
	add := func(name, title string, o client.JobOptions, p *picture.Picture) {
		var b bytes.Buffer
		if e := picture.EncodePNG(&b, p); e != nil {
			err = errors.Join(err, e)
		}
		list = append(list, server.Sample{Name: name, Title: title, Options: o, Data: b.Bytes()})
	}
	measured := func(t task.Name, v task.Values, sigma float64) *picture.Picture {
		d, e := task.Must(t).DrawDamage(x.H, x.W, v, 1)
		if e == nil {
			var y *picture.Picture
			if y, e = psld.Measure(x, d, sigma, 1); e == nil {
				return y
			}
		}
		err = errors.Join(err, e)
		return x
	}
	of := func(t task.Name) client.JobOptions { return client.JobOptions{Task: string(t), Seed: 42} }
	add("scratched", "Scratched", of(task.Inpaint), scratched(x))
	add("missing", "Pixels lost", of("inpaint-random"), measured("inpaint-random", nil, 0.02))
	add("noisy", "Noisy", of(task.Denoise), measured(task.Denoise, nil, 0.2))
	add("blurred", "Blurred", of("deblur-gaussian"), measured("deblur-gaussian", task.Values{"kernel-std": 2}, 0.02))
	shaken := of("deblur-motion")
	shaken.MotionLength, shaken.MotionAngle = 13, 30
	add("shaken", "Shaken", shaken, measured("deblur-motion",
		task.Values{"motion-length": shaken.MotionLength, "motion-angle": shaken.MotionAngle}, 0.02))
	add("small", "Too small", of("sr4"), measured("sr4", nil, 0))
	return list, err
}

// scratched is a picture with transparent scratches.
func scratched(x *picture.Picture) *picture.Picture {
	p := picture.New(x.W, x.H)
	copy(p.Pix, x.Pix)
	p.Alpha = make([]float32, x.W*x.H)
	for i := range p.Alpha {
		p.Alpha[i] = 1
	}
	for _, l := range [][2]image.Point{{{10, 40}, {240, 110}}, {{30, 90}, {90, 175}}, {{20, 200}, {250, 190}}} {
		const n = 1000
		for i := range n {
			at := l[0].Add(l[1].Sub(l[0]).Mul(i).Div(n))
			for dy := range 3 { // thin enough, without a crossing, for the quick method
				for dx := range 3 {
					if q := at.Add(image.Pt(dx, dy)); q.In(p.Bounds()) {
						k := q.Y*p.W + q.X
						p.Alpha[k] = 0
						p.Pix[3*k], p.Pix[3*k+1], p.Pix[3*k+2] = -1, -1, -1
					}
				}
			}
		}
	}
	return p
}

// openBrowser has the system show an address.
func openBrowser(at string) error {
	switch runtime.GOOS {
	case "windows":
		return exec.Command("rundll32", "url.dll,FileProtocolHandler", at).Start()
	case "darwin":
		return exec.Command("open", at).Start()
	}
	return exec.Command("xdg-open", at).Start()
}
