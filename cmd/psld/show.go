package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/ansi/iterm2"
	"github.com/charmbracelet/x/ansi/kitty"
	"github.com/charmbracelet/x/ansi/sixel"

	"psld/psld/operator"
	"psld/psld/picture"
)

// showKinds are the ways in which terminals show pictures; blocks are characters in two colours.
var showKinds = []string{"auto", "kitty", "iterm2", "sixel", "blocks"}

// showFlag is --show or --show=KIND.
type showFlag struct{ kind string }

func (f *showFlag) String() string   { return f.kind }
func (f *showFlag) IsBoolFlag() bool { return true }

// Set implements [flag.Value].
func (f *showFlag) Set(text string) error {
	switch {
	case text == "true":
		text = "auto"
	case text == "false":
		text = ""
	case !slices.Contains(showKinds, text):
		return fmt.Errorf("want %s", strings.Join(showKinds, ", "))
	}
	f.kind = text
	return nil
}

// screen shows pictures in a terminal, one in the place of the other.
type screen struct {
	w        io.Writer
	kind     string
	shown    time.Time // the last one
	cost     time.Duration
	rows     int // of the last one, from whose end the cursor has not moved on
	interval time.Duration
}

// screen is that of --show; nil for none. auto finds out what the terminal can do, and shows nothing where there is
// none.
func (c *console) screen(kind string) *screen {
	if kind == "auto" {
		kind = ""
		if isTerminal(c.log) {
			kind = terminalKind(os.Getenv)
		}
	}
	if kind == "" {
		return nil
	}
	s := &screen{w: c.log, kind: kind, interval: 3 * time.Second, shown: time.Now()}
	if kind == "sixel" || !isTerminal(c.log) { // how many rows they take is not known: each below the other
		s.interval = 30 * time.Second
	}
	return s
}

// terminalKind tells by the environment what a terminal shows; "" for nothing, since blocks need colours.
func terminalKind(env func(string) string) string {
	term, program := env("TERM"), env("TERM_PROGRAM")
	switch {
	case env("TMUX") != "" || env("STY") != "": // passes none of them on as they are
	case env("KITTY_WINDOW_ID") != "" || term == "xterm-kitty" || term == "xterm-ghostty" || program == "ghostty":
		return "kitty"
	case program == "iTerm.app" || program == "WezTerm" || env("LC_TERMINAL") == "iTerm2":
		return "iterm2"
	case strings.HasPrefix(term, "foot") || strings.HasPrefix(term, "mlterm") || strings.Contains(term, "sixel"):
		return "sixel"
	}
	if env("NO_COLOR") != "" || term == "dumb" || term == "" {
		return ""
	}
	return "blocks"
}

// due tells whether it is time for another preview, of which none may take a tenth of the run.
func (s *screen) due() bool { return s != nil && time.Since(s.shown) > max(s.interval, 10*s.cost) }

// Size of what is shown, in rows and columns of characters, which are taken to be twice as high as wide.
const (
	showRows    = 20
	showColumns = 76
)

// show draws the picture over the last one.
func (s *screen) show(p *picture.Picture) error {
	start := time.Now()
	rows := showRows
	columns := max(1, 2*rows*p.W/p.H)
	if columns > showColumns {
		columns = showColumns
		rows = max(1, columns*p.H/p.W/2)
	}
	w, h := columns, 2*rows
	if s.kind != "blocks" { // a character has some 10x20 pixels
		w, h = min(10*columns, p.W), min(20*rows, p.H)
	}
	small := &picture.Picture{W: p.W, H: p.H, Pix: p.Pix}
	if w != p.W || h != p.H {
		var err error
		if small, err = picture.Resize(small, w, h, operator.CubicSmall); err != nil {
			return err
		}
	}
	var b bytes.Buffer
	if s.rows > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", s.rows)
	}
	if err := s.draw(&b, small, columns, rows); err != nil {
		return err
	}
	if s.rows > 0 {
		b.WriteString("\x1b[J") // what is left of the lines below
	}
	if _, err := s.w.Write(b.Bytes()); err != nil {
		return err
	}
	if s.rows = rows; s.kind == "sixel" || !isTerminal(s.w) {
		s.rows = 0
	}
	s.shown, s.cost = time.Now(), time.Since(start)
	return nil
}

// draw writes the picture, and leaves the cursor at the beginning of the line below it.
func (s *screen) draw(b *bytes.Buffer, p *picture.Picture, columns, rows int) (err error) {
	img := p.ToImage()
	switch s.kind {
	case "kitty":
		err = kitty.EncodeGraphics(b, img, &kitty.Options{Action: kitty.TransmitAndPut, Transmission: kitty.Direct,
			Format: kitty.PNG, ID: 77, Quiet: 2, Chunk: true, Columns: columns, Rows: rows})
		b.WriteString("\r\n")
	case "iterm2":
		var png bytes.Buffer
		if err := picture.EncodePNG(&png, p); err != nil {
			return err
		}
		content := base64.StdEncoding.EncodeToString(png.Bytes())
		b.WriteString(ansi.ITerm2(iterm2.File{Size: int64(png.Len()), Width: iterm2.Cells(columns),
			Height: iterm2.Cells(rows), Inline: true, IgnoreAspectRatio: true, Content: []byte(content)}))
		b.WriteString("\r\n")
	case "sixel":
		var body bytes.Buffer
		if err := new(sixel.Encoder).Encode(&body, img); err != nil {
			return err
		}
		b.WriteString(ansi.SixelGraphics(0, 1, 0, body.Bytes()))
		b.WriteString("\r\n")
	default: // the upper half of a character in one colour, what is behind it in another
		for y := 0; y < p.H; y += 2 {
			for x := range p.W {
				r, g, bl, _ := img.At(x, y).RGBA()
				r2, g2, b2, _ := img.At(x, y+1).RGBA()
				fmt.Fprintf(b, "\x1b[38;2;%d;%d;%dm\x1b[48;2;%d;%d;%dm▀", r>>8, g>>8, bl>>8, r2>>8, g2>>8, b2>>8)
			}
			b.WriteString("\x1b[0m\r\n")
		}
	}
	return err
}
