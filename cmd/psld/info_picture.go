package main

import (
	"fmt"
	"os"
	"strings"

	"psld/psld/picture"
)

// pictureInfo prints what is known of a picture: size, depth, colours, and the texts of a PNG.
func pictureInfo(c *console, path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder, want a picture (--model names models)", path)
	}
	p, err := c.loadPicture(path)
	if err != nil {
		return err
	}
	line := func(name, format string, args ...any) {
		text := message(fmt.Errorf(format, args...)) // files may not steer the terminal
		fmt.Fprintf(c.out, "%-10s %s\n", name, strings.ReplaceAll(text, "\n", "\n"+strings.Repeat(" ", 11)))
	}
	line("picture", "%s", path)
	line("size", "%dx%d pixels, %.2f megapixels", p.W, p.H, float64(p.W)*float64(p.H)/1e6)
	colours := "colour"
	if p.Grey {
		colours = "grey"
	}
	if p.Alpha != nil {
		colours += " with transparency"
	}
	depth := 8
	if p.Deep {
		depth = 16
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
	texts, err := picture.Texts(path)
	if err != nil {
		return err
	}
	for _, t := range texts {
		line("text", "%s", t.Key)
		line("", "%s", t.Value)
	}
	return nil
}
