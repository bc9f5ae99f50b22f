package server

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// tab is a page in a headless Chromium.
type tab struct {
	*testing.T
	ctx       context.Context
	downloads chan string // identifiers of finished ones
	folder    string      // of the downloads
	patience  time.Duration

	mu     sync.Mutex
	faults []string // what the page complained of: exceptions, and what its Content-Security-Policy forbade
}

// newTab starts the browser for at most that time, or skips the test where there is none.
func newTab(t *testing.T, limit time.Duration) *tab {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-headless-shell", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil && path == "" {
			path = p
		}
	}
	if path == "" {
		t.Skip("no Chromium: apt-get install chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, limit)
	t.Cleanup(cancel)
	b := &tab{T: t, ctx: ctx, downloads: make(chan string, 8), folder: t.TempDir(), patience: limit / 6}
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.fault(describe(e.ExceptionDetails))
		case *log.EventEntryAdded:
			if e.Entry.Source != log.EntrySourceNetwork { // where the server is away, that is reported, too
				b.fault(e.Entry.Text)
			}
		}
	}))
	require.NoError(t, chromedp.ListenBrowser(ctx, func(event any) {
		if e, ok := event.(*browser.EventDownloadProgress); ok && e.State == browser.DownloadProgressStateCompleted {
			b.downloads <- e.GUID
		}
	}))
	_, err := chromedp.Call(ctx, log.Enable, cdp.Empty{})
	require.NoError(t, err)
	_, err = chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllowAndName, DownloadPath: b.folder, EventsEnabled: new(true)})
	require.NoError(t, err)
	return b
}

func describe(e *runtime.ExceptionDetails) string {
	if e.Exception != nil {
		return e.Exception.Description
	}
	return e.Text
}

func (b *tab) fault(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults = append(b.faults, text)
}

func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	require.NoError(b, chromedp.Do(b.ctx, actions...))
}

// eval is the value of an expression of JavaScript; promises are waited for.
func eval[T any](b *tab, expression string) T {
	b.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b, err, "%.200s", expression)
	return v
}

// size sets the window, and the colours to light or dark.
func (b *tab) size(w, h int64, scheme string, options ...chromedp.EmulateViewportOption) {
	b.Helper()
	b.do(chromedp.EmulateViewport(w, h, options...))
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	require.NoError(b, err)
}

// open loads an address; what the page complains of is an error at the end.
func (b *tab) open(url string) {
	b.Helper()
	b.do(chromedp.Navigate(url))
	b.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(b, b.faults)
	})
}

// click clicks what a selector finds, once it is seen.
func (b *tab) click(selector chromedp.CSS) {
	b.Helper()
	b.wait(fmt.Sprintf("visible(%q)", selector))
	b.box(string(selector)) // from under the button at the foot of the form
	b.do(chromedp.Click(selector))
}

// helpers are functions for the conditions of wait.
const helpers = `
const all = (s) => [...document.querySelectorAll(s)];
const visible = (s) => all(s).some((e) => e.checkVisibility() && !e.disabled);
const text = (s) => all(s).map((e) => e.textContent).join("|");
`

// wait waits until an expression of JavaScript is true.
func (b *tab) wait(condition string) {
	b.Helper()
	check := chromedp.Evaluate[bool]("(() => {" + helpers + "return Boolean(" + condition + ")})()")
	for end := time.Now().Add(b.patience); ; time.Sleep(30 * time.Millisecond) {
		ok, err := chromedp.Run(b.ctx, check) // fails while another page loads
		if ok {
			return
		}
		if time.Now().After(end) {
			require.NoError(b, err)
			b.Fatalf("waited in vain for %s; the page says:\n%s", condition,
				eval[string](b, "location.hash + ' ' + document.querySelector('main').innerText"))
		}
	}
}

// text is the text of an element.
func (b *tab) text(selector string) string {
	b.Helper()
	return eval[string](b, fmt.Sprintf("document.querySelector(%q).textContent", selector))
}

// box is where an element lies in the window, after it was scrolled there.
func (b *tab) box(selector string) (box struct{ X, Y, Width, Height float64 }) {
	b.Helper()
	text := eval[string](b, fmt.Sprintf(`(() => { const e = document.querySelector(%q);
		e.scrollIntoView({block: "center"}); return JSON.stringify(e.getBoundingClientRect()); })()`, selector))
	require.NoError(b, json.Unmarshal([]byte(text), &box))
	return box
}

// drag paints on a canvas: along points that are shares of its sides.
func (b *tab) drag(selector string, points ...[2]float64) {
	b.Helper()
	box := b.box(selector)
	for i, p := range points {
		x, y := box.X+p[0]*box.Width, box.Y+p[1]*box.Height
		if i == 0 {
			b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMousePressed, x, y, chromedp.ButtonLeft))
		}
		b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, x, y, chromedp.ButtonLeft))
		if i == len(points)-1 {
			b.do(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseReleased, x, y, chromedp.ButtonLeft))
		}
	}
}

// pinch moves two fingers apart, around the middle of a canvas.
func (b *tab) pinch(selector string) {
	b.Helper()
	box := b.box(selector)
	x, y := box.X+box.Width/2, box.Y+box.Height/2
	touch := func(kind input.DispatchTouchEventType, points ...*input.TouchPoint) {
		b.Helper()
		_, err := chromedp.Call(b.ctx, input.DispatchTouchEvent, input.DispatchTouchEventParams{Type: kind,
			TouchPoints: append([]*input.TouchPoint{}, points...)})
		require.NoError(b, err)
	}
	for i, apart := range []float64{30, 60, 90} {
		kind := input.DispatchTouchEventTypeTouchMove
		if i == 0 {
			kind = input.DispatchTouchEventTypeTouchStart
		}
		touch(kind, &input.TouchPoint{X: x - apart, Y: y, ID: new(0.0)},
			&input.TouchPoint{X: x + apart, Y: y, ID: new(1.0)})
	}
	touch(input.DispatchTouchEventTypeTouchEnd)
}

// accessible looks at what is seen with axe-core (WCAG 2 A and AA, and its own good practices), and whether the page
// is as wide as the window.
func (b *tab) accessible(state string) {
	b.Helper()
	if !eval[bool](b, "'axe' in window") {
		eval[chromedp.Void](b, axe(b.T))
	}
	found := eval[[]string](b, `axe.run({resultTypes: ["violations"]}).then((r) =>
		r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.target + ": " + n.failureSummary)))`)
	require.Empty(b, found, state)
	require.LessOrEqual(b, eval[int](b, "document.documentElement.scrollWidth - innerWidth"), 0, state)
}

// axe is the source of axe-core; it is tested with, and not part of the program.
func axe(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/axe.min.js.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	source, err := io.ReadAll(z)
	require.NoError(t, err)
	return string(source) + "; undefined"
}

// running is a server at an address that can be stopped and started again.
type running struct {
	*Server
	url  string
	stop func()
}

// start starts it; address is 127.0.0.1:0, or one from before.
func start(t *testing.T, o Options, address string) *running {
	t.Helper()
	s, err := New(o)
	require.NoError(t, err)
	l, err := net.Listen("tcp", address)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return &running{Server: s, url: "http://" + l.Addr().String(), stop: stop}
}

// TestBrowser goes the whole way in a browser: a picture is given, a hole painted, the result compared and downloaded;
// a long job outlives a reload and a restart of the server, and is stopped; then all is forgotten.
func TestBrowser(t *testing.T) {
	b := newTab(t, 3*time.Minute)
	o := tiny(t.TempDir())
	o.Grace = time.Millisecond
	s := start(t, o, "127.0.0.1:0")
	file := filepath.Join(t.TempDir(), "photo.png")
	require.NoError(t, os.WriteFile(file, png(64, 48, 1), 0o600))

	b.size(1280, 800, "light")
	b.open(s.url)
	b.wait(`visible("#sample-list .card")`)
	b.accessible("start")

	// A picture, and a hole.
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pick"), []string{file}))
	b.wait(`visible("#edit-view")`)
	require.Contains(t, b.text("#picture-size"), "64 × 48")
	b.click(`.tile:has(input[value="hole"])`)
	b.click("#restore")
	b.wait(`visible("#mask-error")`) // nothing is painted
	b.drag("#edit-canvas", [2]float64{0.45, 0.5}, [2]float64{0.5, 0.55}, [2]float64{0.55, 0.5})
	b.wait(`/^[0-9.]+ % of the picture is painted/.test(text("#mask-state"))`)
	b.click("#undo")
	b.wait(`text("#mask-state").startsWith("Nothing")`)
	b.click("#redo")
	b.do(chromedp.KeyEvent("r")) // the rectangle
	b.drag("#edit-canvas", [2]float64{0.45, 0.4}, [2]float64{0.55, 0.6})
	b.wait(`text("[data-time=good]").startsWith("about")`)
	b.accessible("a mask is painted")

	// A reload in the middle loses nothing.
	for kept := 0; kept != 2; time.Sleep(30 * time.Millisecond) { // it is stored a moment after the last stroke
		kept = eval[int](b, `import("/page/draft.js").then((d) => d.load()).then((d) => d.work?.steps.length ?? 0)`)
	}
	painted := b.text("#mask-state")
	b.do(chromedp.Reload())
	b.wait(`visible("#edit-view") && document.querySelector('input[value="hole"]').checked`)
	require.Equal(t, painted, b.text("#mask-state"))

	// The result.
	b.click(`.speed:has(input[value="preview"])`)
	b.click("#restore")
	b.wait(`visible("#download") && visible("#divider")`)
	require.Equal(t, "Holes filled", b.text("#job-title"))
	b.do(chromedp.Focus(chromedp.CSS("#divider")), chromedp.KeyEvent(kb.End))
	b.wait(`document.querySelector("#divider").ariaValueNow === "100"`)
	b.accessible("done")
	b.click("#download")
	var got []byte
	select {
	case id := <-b.downloads:
		var err error
		got, err = os.ReadFile(filepath.Join(b.folder, id))
		require.NoError(t, err)
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was downloaded")
	}
	require.Zero(t, eval[int](b, `import("/page/draft.js").then((d) => d.load()).then((d) => d ? 1 : 0)`), "sent")
	inHole(t, got, png(64, 48, 1), [2]int{32, 24}, [2]int{2, 2})
	require.Contains(t, string(got), "parameters\x00Task: inpaint")

	// A long job, as the fold "advanced" makes one; picture and mask are still there.
	b.click("#change")
	b.wait(`visible("#edit-view") && /^[0-9.]+ %/.test(text("#mask-state"))`)
	b.click("#advanced summary")
	b.do(chromedp.SetValue(chromedp.CSS("#method"), "psld"))
	eval[bool](b, `document.querySelector("#method").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.do(chromedp.SetValue(chromedp.CSS("#param-steps"), "1000"), chromedp.SetValue(chromedp.CSS("#samples-n"), "8"))
	b.accessible("advanced")
	b.size(360, 640, "dark", chromedp.EmulateTouch)
	b.accessible("advanced, phone")
	b.click("#restore")
	b.wait(`/^Sample \d of 8, step \d+/.test(text("#progress-steps"))`)
	b.accessible("running, phone")
	hash := eval[string](b, "location.hash")
	b.do(chromedp.Reload())
	require.Equal(t, hash, eval[string](b, "location.hash"))
	b.wait(`/^Sample \d of 8, step \d+/.test(text("#progress-steps"))`)

	// The server ends, and is there again.
	address := strings.TrimPrefix(s.url, "http://")
	s.stop()
	b.wait(`visible("#job-lost")`)
	b.accessible("the server is away, phone")
	s = start(t, o, address)
	b.wait(`!visible("#job-lost") && /^Sample \d of 8, step \d+/.test(text("#progress-steps"))`)
	b.click("#cancel")
	b.wait(`text("#job-title") === "Stopped" && visible("#download")`)
	b.accessible("stopped, phone")
	b.pinch("#job-canvas")
	b.wait(`parseInt(text("#job-stage .percent")) > 600`)

	// All is forgotten, here and there.
	b.click("#home")
	b.wait(`all("#history-list .card").length === 2`)
	b.accessible("history, phone")
	b.click("#forget")
	b.accessible("asked, phone")
	b.click("#ask-yes")
	b.wait(`!visible("#history") && all("#history-list .card").length === 0`)
	require.Empty(t, s.jobs)
}

// inHole compares a result with the picture: at the hole the pixel differs, and at known it is the same.
func inHole(t *testing.T, result, original []byte, hole, known [2]int) {
	t.Helper()
	x, err := picture.Decode(bytes.NewReader(result))
	require.NoError(t, err)
	y, err := picture.Decode(bytes.NewReader(original))
	require.NoError(t, err)
	require.Equal(t, []int{y.W, y.H}, []int{x.W, x.H})
	at := func(p *picture.Picture, xy [2]int) []float32 { return p.Pix[3*(xy[1]*p.W+xy[0]):][:3] }
	require.Equal(t, at(y, known), at(x, known))
	require.NotEqual(t, at(y, hole), at(x, hole))
}

// TestBrowserToken: without the token the page asks for it, and says so where it is wrong.
func TestBrowserToken(t *testing.T) {
	b := newTab(t, 3*time.Minute)
	o := tiny(t.TempDir())
	o.Token = "open sesame"
	s := start(t, o, "127.0.0.1:0")
	b.open(s.url)
	b.wait(`visible("#token-view")`)
	b.accessible("token")
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), "wrong"))
	b.click("#token-form button")
	b.wait(`visible("#token-view") && !document.querySelector("#token").value`)
	b.do(chromedp.SendKeys(chromedp.CSS("#token"), o.Token))
	b.click("#token-form button")
	b.wait(`visible("#sample-list .card")`)

	// A sample is a click, and its damage is known.
	b.click("#sample-list .card")
	b.wait(`visible("#restore") && document.querySelector("input[value=noisy]").checked`)
}
