package solver

// glues tells whether a step, counted from 0, has the gluing term.
func (o *Options) glues(step int) bool { return o.GluingEvery <= 1 || step%o.GluingEvery == 0 }

// gluing is the weight of the gluing in the steps that have it.
func (o *Options) gluing() float64 { return o.Gamma * float64(max(1, o.GluingEvery)) }
