package prior

import (
	"errors"
	"fmt"

	"psld/clip"
)

// Prompts encodes a prompt and a negative prompt; emphasis is that of [Generation]. warnings tell
// what was cut off a prompt that is too long. Empty prompts need no vocabulary. The scale is 1: guidance is the
// caller's matter.
func (p *LatentDiffusion) Prompts(prompt, negative string, emphasis bool) (c Conditions, warnings []string,
	err error) {
	c = Conditions{Prompt: p.Empty, Negative: p.Empty, Scale: 1}
	if prompt == "" && negative == "" {
		return c, nil, nil
	}
	switch {
	case p.Text == nil:
		return c, nil, errors.New("this model knows no prompts")
	case p.Tokenizer == nil:
		return c, nil, errors.New("the model brings no vocabulary (the folder tokenizer/ of the diffusers layout), which " +
			"prompts need; name one")
	}
	read := p.Tokenizer.Plain
	if emphasis {
		read = p.Tokenizer.Weighted
	}
	var both [2]clip.Prompt
	for i, text := range []string{prompt, negative} {
		if both[i], err = read(text); err != nil {
			return c, nil, err
		}
		if cut := both[i].Cut; len(cut) > 0 {
			warnings = append(warnings, fmt.Sprintf("the prompt is %d tokens too long and ends before %q", len(cut),
				p.Tokenizer.Decode(cut)))
		}
	}
	p.Tokenizer.Balance(&both[0], &both[1])
	if c.Prompt, err = p.Text.EncodePrompt(p.Device(), both[0]); err != nil {
		return c, nil, err
	}
	c.Negative = c.Prompt
	if prompt != negative {
		c.Negative, err = p.Text.EncodePrompt(p.Device(), both[1])
	}
	return c, warnings, err
}
