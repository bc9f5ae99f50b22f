package weights

// FileShape is fileShape, for the test of all full-size shapes.
var FileShape = fileShape

// SchedulerAlphas reads a scheduler_config.json, for the fuzzer.
func SchedulerAlphas(text []byte) ([]float32, error) {
	d, _, err := readScheduler(text)
	return d.AlphasCumprod, err
}

// ApplyLoRA adds all layers of a LoRA file to a weight, as if each were meant for it, for the fuzzer.
func ApplyLoRA(data []byte, dst []float32, shape []int) error {
	f, err := Parse(data)
	if err != nil {
		return err
	}
	layers, err := loraLayers(f)
	if err != nil {
		return err
	}
	for name, layer := range layers {
		c, err := layer.change(f, name, loraSetting{})
		if err == nil {
			err = c.fits(shape)
		}
		if err == nil {
			err = c.add(dst, shape)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
