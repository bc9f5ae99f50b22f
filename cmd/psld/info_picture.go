package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"psld/psld/picture"
)

// pictureFacts are what is known of a picture, for --json.
type pictureFacts struct {
	Width   int               `json:"width"`
	Height  int               `json:"height"`
	Depth   int               `json:"depth"` // bits a channel
	Grey    bool              `json:"grey"`
	Alpha   bool              `json:"alpha"`
	Profile string            `json:"profile"` // "" for none
	DPI     float64           `json:"dpi"`     // 0 for unknown
	EXIF    int               `json:"exif"`    // bytes
	Texts   map[string]string `json:"texts"`   // of a PNG
}

// pictureInfo prints what is known of a picture: size, depth, colours, and the texts of a PNG.
func pictureInfo(c *console, path string, asJSON bool) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder, want a picture (--model names models)", path)
	}
	p, err := c.loadPicture(path)
	if err != nil {
		return err
	}
	texts, err := picture.Texts(path)
	if err != nil {
		return err
	}
	depth := 8
	if p.Deep {
		depth = 16
	}
	if asJSON {
		f := pictureFacts{Width: p.W, Height: p.H, Depth: depth, Grey: p.Grey, Alpha: p.Alpha != nil,
			EXIF: len(p.Meta.EXIF), DPI: float64(p.Meta.PerMetre[0]) * 0.0254, Texts: map[string]string{}}
		if len(p.Meta.ICC) > 0 {
			f.Profile = cmp.Or(p.Meta.ProfileName(), "without a name")
		}
		for _, t := range texts {
			f.Texts[t.Key] = t.Value
		}
		return json.NewEncoder(c.out).Encode(f)
	}
	line := func(name, format string, args ...any) {
		text := message(fmt.Errorf(format, args...)) // files may not steer the terminal
		fmt.Fprintf(c.out, "%-10s %s\n", name, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 11)))
	}
	line("picture", "%s", path)
	line("size", "%dx%d pixels, %.3g megapixels", p.W, p.H, float64(p.W)*float64(p.H)/1e6)
	colours := "colour"
	if p.Grey {
		colours = "grey"
	}
	if p.Alpha != nil {
		colours += " with transparency"
	}
	line("depth", "%d bits a channel, %s", depth, colours)
	switch name := p.Meta.ProfileName(); {
	case len(p.Meta.ICC) == 0:
		line("profile", "none (taken for sRGB)")
	case name == "":
		line("profile", "%d bytes, without a name", len(p.Meta.ICC))
	default:
		line("profile", "%s, %d bytes", name, len(p.Meta.ICC))
	}
	if r := p.Meta.PerMetre; r[0] > 0 {
		line("resolution", "%.0f pixels an inch", float64(r[0])*0.0254)
	}
	if n := len(p.Meta.EXIF); n > 0 {
		line("exif", "%d bytes", n)
	}
	for _, t := range texts {
		line("text", "%s", t.Key)
		line("", "%s", t.Value)
	}
	return nil
}
