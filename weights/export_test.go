package weights

// FileShape is fileShape, for the test of all full-size shapes.
var FileShape = fileShape

// SchedulerAlphas reads a scheduler_config.json, for the fuzzer.
func SchedulerAlphas(text []byte) ([]float32, error) {
	d, _, err := readScheduler(text)
	return d.AlphasCumprod, err
}
