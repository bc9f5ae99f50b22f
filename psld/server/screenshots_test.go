package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// screenshotsOf and screenshotsIn are the variables by which docs/serve.sh has TestScreenshots take pictures: the
// address of a server with the embedded model, and the folder for them.
const screenshotsOf, screenshotsIn = "PSLD_SCREENSHOTS_OF", "PSLD_SCREENSHOTS_IN"

// TestScreenshots goes through the page as a visitor who tries the samples, and takes pictures for people to look at:
// on a desk and on a phone, light and dark.
func TestScreenshots(t *testing.T) {
	url, dir := os.Getenv(screenshotsOf), os.Getenv(screenshotsIn)
	if url == "" || dir == "" {
		t.Skipf("%s and %s are not set: docs/serve.sh sets them", screenshotsOf, screenshotsIn)
	}
	b := newTab(t, time.Hour)
	look := func(name string) {
		for _, scheme := range []string{"light", "dark"} {
			b.size(1280, 800, scheme)
			b.shoot(filepath.Join(dir, name+"-desk-"+scheme+".png"))
			b.size(390, 844, scheme, chromedp.EmulateTouch)
			b.shoot(filepath.Join(dir, name+"-phone-"+scheme+".png"))
		}
		b.size(1280, 800, "light")
	}
	b.size(1280, 800, "light")
	b.open(url)
	b.wait(`all("#sample-list img").length >= 6 && all("#sample-list img").every((i) => i.complete)`)
	look("start")
	sample := func(title string) {
		b.click(chromedp.CSS(`#sample-list li:nth-child(` + eval[string](b, `String(1 + [...document.querySelectorAll(
			"#sample-list strong")].findIndex((e) => e.textContent === "`+title+`"))`) + `) .card`))
		b.wait(`visible("#restore") && text("[data-time=good]").startsWith("about")`)
	}

	sample("Scratched")
	look("scratched")
	b.click("#restore")
	b.wait(`visible("#download") && visible("#divider")`)
	look("result")

	// Each damage is mended by three clicks.
	for _, title := range []string{"Pixels lost", "Noisy", "Blurred", "Shaken", "Too small"} {
		b.click("#home")
		sample(title)
		b.click("#restore")
		b.wait(`visible("#download") && visible("#divider")`)
		b.shoot(filepath.Join(dir, strings.ReplaceAll(strings.ToLower(title), " ", "-")+"-result.png"))
	}

	b.click("#home")
	sample("Shaken")
	look("shaken")
	b.click("#home")
	sample("Noisy")
	b.click("#advanced summary")
	look("advanced")
	b.do(chromedp.SetValue(chromedp.CSS("#method"), "psld"))
	eval[bool](b, `document.querySelector("#method").dispatchEvent(new Event("change", {bubbles: true}))`)
	b.do(chromedp.SetValue(chromedp.CSS("#samples-n"), "3"), chromedp.SetValue(chromedp.CSS("#param-steps"), "8"))
	b.click("#restore")
	b.wait(`/^Sample 1 of 3, step [2-6] /.test(text("#progress-steps"))`)
	look("running")
	b.wait(`visible("#download") && visible("#looks")`)
	for _, name := range []string{"sheet", "spread"} {
		b.click(chromedp.CSS(`#looks [data-look="` + name + `"]`))
		b.wait(`document.querySelector('#looks [aria-checked="true"]').dataset.look === "` + name + `"`)
		look(name)
	}
	b.click("#home")
	b.wait(`visible("#history-list .card")`)
	b.box("#history-list")
	look("history")
}

// shoot takes a picture of the window, once nothing moves.
func (b *tab) shoot(path string) {
	b.Helper()
	eval[bool](b, `new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(true)), 400))`)
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	require.NoError(b, err)
	require.NoError(b, os.WriteFile(path, png, 0o644))
}
