package server

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// keys presses keys one after the other, wherever the focus is.
func (b *tab) keys(keys ...string) {
	b.Helper()
	for _, k := range keys {
		b.do(chromedp.KeyEvent(k))
	}
}

// TestBrowserInput: pictures come by drop and paste as well, a mask is painted by the keyboard, sliders show what they
// mean, a streak is drawn along.
func TestBrowserInput(t *testing.T) {
	b := newTab(t, 3*time.Minute)
	s := start(t, tiny(t.TempDir()), "127.0.0.1:0")
	b.size(1280, 800, "light")
	b.open(s.url)
	b.wait(`visible("#sample-list .card")`)

	// Colours are kept.
	b.click("#theme")
	b.click("#theme")
	b.do(chromedp.Reload())
	b.wait(`visible("#sample-list .card") && document.documentElement.dataset.theme === "dark"`)
	b.accessible("dark by choice")

	for event, name := range map[string]string{`DragEvent("drop", init)`: "dropped.png",
		`ClipboardEvent("paste", init)`: "Pasted picture"} {
		require.True(t, eval[bool](b, fmt.Sprintf(`fetch("/api/v1/samples/one").then((r) => r.blob()).then((blob) => {
			const files = new DataTransfer();
			files.items.add(new File([blob], "dropped.png", {type: "image/png"}));
			const init = {dataTransfer: files, clipboardData: files, bubbles: true, cancelable: true};
			return !document.body.dispatchEvent(new %s); })`, event)), "the page takes the event")
		b.wait(fmt.Sprintf(`visible("#edit-view") && text("#picture-name") === %q`, name))
		b.click("#home")
	}

	// A stroke by arrow keys, and all but it.
	file := filepath.Join(t.TempDir(), "photo.png")
	require.NoError(t, os.WriteFile(file, png(64, 48, 1), 0o600))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#pick"), []string{file}))
	b.wait(`visible("#edit-view")`)
	b.click(`.tile:has(input[value="hole"])`)
	b.do(chromedp.Focus(chromedp.CSS("#edit-canvas")))
	size := eval[int](b, `Number(document.querySelector("#brush-size").value)`)
	b.keys("]", kb.Enter, kb.ArrowRight, kb.ArrowRight, kb.ArrowDown, kb.Enter)
	require.Equal(t, size+4, eval[int](b, `Number(document.querySelector("#brush-size").value)`))
	b.wait(`/^[0-9.]+ % of the picture is painted/.test(text("#mask-state"))`)
	var painted, rest float64
	_, err := fmt.Sscan(b.text("#mask-state"), &painted)
	require.NoError(t, err)
	b.click("#mask-invert")
	_, err = fmt.Sscan(b.text("#mask-state"), &rest)
	require.NoError(t, err)
	require.InDelta(t, 100, painted+rest, 1)
	b.keys("e")
	b.wait(`document.querySelector('[data-tool="eraser"]').ariaChecked === "true"`)
	mask := filepath.Join(t.TempDir(), "mask.png")
	require.NoError(t, os.WriteFile(mask, png(64, 40, 1), 0o600))
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#mask-file"), []string{mask}))
	b.wait(`text("#mask-error").includes("64 × 40")`)

	// What stands in the way is taken away by pieces of the picture; other damages know no such method.
	b.click(`label:has(input[name="fill"][value="patchmatch"])`)
	b.wait(`document.querySelector("#method").value === "patchmatch"`)
	b.accessible("hole")

	// How many times larger.
	b.click(`.tile:has(input[value="small"])`)
	b.wait(`document.querySelector('input[name="scale"][value="sr4"]').checked && visible("#restore")`)
	require.Contains(t, b.text("#scale-size"), "256 × 192")

	// The width of a blur, and the direction of a shake.
	b.click(`.tile:has(input[value="blurred"])`)
	b.wait(`document.querySelector("#method").value === "auto"`)
	b.click(`label:has(input[name="blur"][value="width"])`)
	sketch := func() string { return eval[string](b, `document.querySelector("#blur-sketch").toDataURL()`) }
	before := sketch()
	b.do(chromedp.Focus(chromedp.CSS("#blur-width")))
	b.keys(kb.End)
	b.wait(`text("#blur-out").startsWith("20.0 pixels")`)
	require.NotEqual(t, before, sketch())
	b.click(`.tile:has(input[value="shaken"])`)
	b.drag("#edit-canvas", [2]float64{0.45, 0.55}, [2]float64{0.5, 0.5}, [2]float64{0.55, 0.45})
	box := b.box("#edit-canvas")
	require.InDelta(t, math.Atan2(box.Height, box.Width)*180/math.Pi,
		eval[float64](b, `Number(document.querySelector("#motion-angle").value)`), 2)
	b.accessible("shaken")
}

// TestBrowserSamples: several samples side by side and where they differ, the line between before and after and the
// zoom by keys, the same again with another seed, and both among the earlier pictures.
func TestBrowserSamples(t *testing.T) {
	b := newTab(t, 3*time.Minute)
	s := start(t, tiny(t.TempDir()), "127.0.0.1:0")
	b.size(1280, 800, "light")
	b.open(s.url)
	b.click("#sample-list .card")
	b.wait(`visible("#restore")`)
	b.click("#advanced summary")
	b.do(chromedp.SetValue(chromedp.CSS("#method"), "psld"))
	eval[bool](b, `document.querySelector("#method").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.do(chromedp.SetValue(chromedp.CSS("#param-steps"), "3"), chromedp.SetValue(chromedp.CSS("#samples-n"), "2"))
	b.click("#restore")
	b.wait(`visible("#looks") && visible("#divider") && all("#strip button").length === 2`)

	b.do(chromedp.Focus(chromedp.CSS("#divider")), chromedp.KeyEvent(kb.ArrowLeft))
	b.wait(`document.querySelector("#divider").ariaValueNow === "48"`)
	zoom := eval[int](b, `parseInt(document.querySelector("#job-stage .percent").textContent)`)
	b.keys("+")
	b.wait(fmt.Sprintf(`parseInt(text("#job-stage .percent")) > %d`, zoom))
	b.keys("0")
	b.wait(fmt.Sprintf(`parseInt(text("#job-stage .percent")) === %d`, zoom))

	b.do(chromedp.Focus(chromedp.CSS(`#looks [data-look="compare"]`)), chromedp.KeyEvent(kb.ArrowRight))
	b.wait(`visible("#sheet") && all("#sheet img").every((i) => i.complete && i.naturalWidth === 16)`)
	b.accessible("side by side")
	b.click("#sheet figure:nth-child(2) button")
	b.wait(`document.querySelector("#download").href.includes("sample=1")`)
	b.click(`#looks [data-look="spread"]`)
	b.wait(`text("#tag-after") === "Differences" && visible("#divider")`)
	b.accessible("where they differ")

	first := eval[string](b, "location.hash")
	b.click("#again")
	b.wait(fmt.Sprintf(`location.hash !== %q && visible("#looks")`, first))
	s.mu.Lock()
	seeds := map[uint64]bool{}
	for _, j := range s.jobs {
		c, _ := j.look()
		seeds[c.Options.Seed] = true
		require.Equal(t, 2, c.Options.Samples)
	}
	s.mu.Unlock()
	require.Len(t, seeds, 2)
	b.click("#home")
	b.wait(`all("#history-list .card").length === 2`)
	b.click("#history-list li:nth-child(2) .card")
	b.wait(fmt.Sprintf(`location.hash === %q && visible("#divider")`, first))
}
