package main

import (
	"errors"
	"flag"
	"fmt"
	"image"
	"strconv"
	"strings"
)

// boxFlag is a rectangle of pixels, as x,y,width,height from the picture's upper left corner; empty for none.
type boxFlag struct{ image.Rectangle }

// String implements [flag.Value].
func (f *boxFlag) String() string {
	if f.Empty() {
		return ""
	}
	return fmt.Sprintf("%d,%d,%d,%d", f.Min.X, f.Min.Y, f.Dx(), f.Dy())
}

// Set implements [flag.Value]. Whether the box lies in the picture is seen later.
func (f *boxFlag) Set(text string) error {
	const most = 1 << 20 // a side, so that sums stay small
	want := errors.New("want x,y,width,height in pixels, such as 40,60,128,96")
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		return want
	}
	var n [4]int
	for i, part := range parts {
		var err error
		if n[i], err = strconv.Atoi(strings.TrimSpace(part)); err != nil || n[i] < 0 || n[i] > most || i > 1 && n[i] == 0 {
			return want
		}
	}
	f.Rectangle = image.Rect(n[0], n[1], n[0]+n[2], n[1]+n[3])
	return nil
}

// addBoxFlag adds the mask that needs no file.
func addBoxFlag(fs *flag.FlagSet) *boxFlag {
	f := new(boxFlag)
	fs.Var(f, "mask-box", "`rectangle` in place of --mask, x,y,width,height in pixels from the upper left corner")
	return f
}
