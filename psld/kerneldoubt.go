package psld

import (
	"fmt"
	"math"

	"psld/psld/blur"
	"psld/psld/picture"
)

// KernelDoubt is a line for whoever tells the kernel of a blur where the measurement y looks blurred by another one,
// "" where it does not, where d has no kernel, and for lossy files, which hide that. sigma is the deviation of y's
// noise. A wrong kernel fits its own measurement, but what it restores has ripples about edges.
func KernelDoubt(y *picture.Picture, d Damage, sigma float64) string {
	if y.Validate() != nil || y.Lossy || d.Kernel == nil {
		return ""
	}
	if !y.Grey {
		sigma /= math.Sqrt(3) // in the mean of the colours
	}
	a, found := blur.Doubt(y.Pix, y.H, y.W, d.Kernel.W, d.Kernel.Size, sigma)
	if !found {
		return ""
	}
	what := "turned"
	switch {
	case a.Scale < 1:
		what = "smaller"
	case a.Scale > 1:
		what = "larger"
	}
	if a.Scale != 1 && a.Turn != 0 {
		what += " and turned"
	}
	return fmt.Sprintf("the picture looks blurred by another kernel, %s: the result may have ripples about edges", what)
}
