package picture

// Validate is an error for a picture that is nil, has a side under 1, or whose Pix or Alpha do not fit its size.
func (p *Picture) Validate() error { return p.check() }
