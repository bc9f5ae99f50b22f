package metric_test

import (
	"fmt"

	"psld/psld/metric"
)

func Example() {
	const h, w, c = 16, 16, 3
	truth, restored := make([]float32, h*w*c), make([]float32, h*w*c)
	for i := range truth {
		truth[i] = float32(i%7)/7 - 0.5
		restored[i] = truth[i] + 0.02*float32(i%2)
	}
	a, b := metric.Unit(truth), metric.Unit(restored) // [-1,1] -> [0,1]
	ssim, err := metric.SSIM(a, b, h, w, c, 1, metric.Gauss11)
	fmt.Printf("%.2f dB, %.3f, %v\n", metric.PSNR(a, b, 1), ssim, err)
	// Output: 43.01 dB, 0.999, <nil>
}
