package metric_test

import (
	"errors"
	"fmt"

	"psld/psld/metric"
	"psld/psld/picture"
)

// Measure restored pictures, in two parts that are put together.
func Example() {
	truth := picture.New(16, 16)
	parts := [2]metric.Accumulator{}
	psnr, err := metric.Open("psnr", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range parts {
		parts[i] = psnr.New()
		restored := picture.New(16, 16)
		for k := range restored.Pix {
			restored.Pix[k] += 0.02 * float32(i+1)
		}
		if err := parts[i].Add(restored, truth); err != nil {
			fmt.Println(err)
			return
		}
	}
	if err := parts[0].Merge(parts[1]); err != nil {
		fmt.Println(err)
		return
	}
	r := parts[0].Result()
	fmt.Printf("%d pictures, %s %s %s\n", r.N, psnr.Info().Title, r.Text(2), psnr.Info().Unit)

	_, err = metric.Open("lpips-alex", "") // the path of the network's weights, where there are some
	var missing *metric.Missing
	fmt.Println(errors.As(err, &missing), missing.Info.Title)
	// Output:
	// 2 pictures, PSNR 36.99 dB
	// true LPIPS AlexNet
}
