package weights

import (
	"encoding/json"
	"fmt"
	"math"

	"psld/internal/betas"
)

// trainSteps is the number of noise levels of all models that are read here.
const trainSteps = 1000

// alphasOf reads the schedule of a single file, nil when it has none that is
// precise enough.
func alphasOf(f *File) ([]float32, error) {
	const name = "alphas_cumprod"
	info, ok := f.Info(name)
	if !ok || (info.DType != F32 && info.DType != F64) || len(info.Shape) != 1 || info.Shape[0] != trainSteps {
		return nil, nil
	}
	a, err := f.Float32(name)
	if err != nil {
		return nil, err
	}
	if err := checkAlphas(a); err != nil {
		return nil, fmt.Errorf("%s: tensor %q: %w", f.name, name, err)
	}
	return a, nil
}

// checkAlphas wants values that fall from below 1 to above 0.
func checkAlphas(a []float32) error {
	last := float32(1)
	for i, v := range a {
		if !(v > 0 && v < last) {
			return fmt.Errorf("element %d is %v after %v: a noise schedule falls from 1 towards 0", i, v, last)
		}
		last = v
	}
	return nil
}

// noiseConfig is the noise schedule as diffusers' scheduler_config.json has it.
type noiseConfig struct {
	Schedule string    `json:"beta_schedule"`
	Start    float64   `json:"beta_start"`
	End      float64   `json:"beta_end"`
	Steps    int       `json:"num_train_timesteps"`
	Trained  []float64 `json:"trained_betas"`
}

// alphasOfScheduler computes the schedule that a scheduler_config.json names.
func alphasOfScheduler(config json.RawMessage) ([]float32, error) {
	b := noiseConfig{Schedule: "linear", Start: 1e-4, End: 0.02, Steps: trainSteps} // diffusers' defaults
	if err := json.Unmarshal(config, &b); err != nil {
		return nil, fmt.Errorf("scheduler_config.json: %w", err)
	}
	if b.Trained == nil {
		if b.Steps != trainSteps {
			return nil, fmt.Errorf("scheduler_config.json: num_train_timesteps %d, want %d", b.Steps, trainSteps)
		}
		if b.Schedule != "linear" && b.Schedule != "scaled_linear" {
			return nil, fmt.Errorf("scheduler_config.json: beta_schedule %q, want linear or scaled_linear", b.Schedule)
		}
		b.Trained = betas.Linear(b.Start, b.End, trainSteps)
		if b.Schedule == "scaled_linear" {
			b.Trained = betas.ScaledLinear(b.Start, b.End, trainSteps)
		}
	}
	if len(b.Trained) != trainSteps {
		return nil, fmt.Errorf("scheduler_config.json: %d trained_betas, want %d", len(b.Trained), trainSteps)
	}
	a := betas.Alphas(b.Trained)
	if err := checkAlphas(a); err != nil {
		return nil, fmt.Errorf("scheduler_config.json: %w", err)
	}
	return a, nil
}

// betasOf turns a schedule back into betas: the two ends of a scaled_linear one
// where these give it, else all of them.
func betasOf(a []float32) noiseConfig {
	all, last := make([]float64, len(a)), 1.0
	for i, v := range a {
		all[i] = 1 - float64(v)/last
		last = float64(v)
	}
	round := func(v float64) float64 { return math.Round(v*1e5) / 1e5 }
	b := noiseConfig{Schedule: "scaled_linear", Start: round(all[0]), End: round(all[len(a)-1]), Steps: len(a)}
	for i, v := range betas.Alphas(betas.ScaledLinear(b.Start, b.End, trainSteps)) {
		if math.Abs(float64(v/a[i])-1) > 1e-4 {
			b.Trained = all
			break
		}
	}
	return b
}
