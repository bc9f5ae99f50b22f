// Package psld restores pictures: it poses a damaged picture as a linear inverse
// problem y = A x + noise and samples x with a latent diffusion model (PSLD, Rout
// et al., NeurIPS 2023) or one of its relatives.
//
// A program needs three calls: prior.Default (or prior.Open) for the model,
// picture.Load for the measurement, and [Solve].
//
// The module's path, psld, has no host: a module that imports this package says in
// its go.mod where a clone of the repository lies,
//
//	require psld v0.0.0
//	replace psld => ../psld
//
// or lies with it in a workspace (go work init . ../psld).
package psld

import (
	"psld/psld/picture"
	"psld/psld/task"
)

// Task names a kind of damage; see package task, which has the list.
type Task = task.Name

// Damage says how a picture was, or is to be, damaged.
type Damage = task.Damage

// The tasks that come with the program.
const (
	Inpaint        = task.Inpaint
	InpaintRandom  = task.InpaintRandom
	InpaintBox     = task.InpaintBox
	Destripe       = task.Destripe
	SR2            = task.SR2
	SR4            = task.SR4
	SR4Mean        = task.SR4Mean
	SR8            = task.SR8
	DeblurGaussian = task.DeblurGaussian
	DeblurCircular = task.DeblurCircular
	DeblurMotion   = task.DeblurMotion
	Denoise        = task.Denoise
	Colourise      = task.Colourise
)

// DefaultSigma is the usual noise of the literature, a deviation on [-1,1].
const DefaultSigma = 0.05

// NewDamage makes the damage of a test measurement for h x w pictures; see [task.New].
func NewDamage(t Task, h, w int, seed uint64) (Damage, error) { return task.New(t, h, w, seed) }

// Measure damages a picture and adds Gaussian noise of deviation sigma on [-1,1]; see [task.Measure].
func Measure(x *picture.Picture, d Damage, sigma float64, seed uint64) (*picture.Picture, error) {
	return task.Measure(x, d, sigma, seed)
}
