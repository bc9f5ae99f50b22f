package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"psld/weights"
)

// loraFlag is the repeatable flag --lora.
type loraFlag struct {
	texts []string // as given
	list  []weights.LoRA
}

func addLoRAFlag(fs *flag.FlagSet) *loraFlag {
	f := new(loraFlag)
	fs.Var(f, "lora", "`file[:weight]` of a LoRA to merge into the model (kohya, PEFT, diffusers), with a weight of 1 "+
		"unless given; may be repeated")
	return f
}

// String implements [flag.Value].
func (f *loraFlag) String() string { return strings.Join(f.texts, " ") }

// Set implements [flag.Value]: it adds one.
func (f *loraFlag) Set(text string) error {
	l, err := parseLoRA(text)
	if err != nil {
		return err
	}
	f.texts, f.list = append(f.texts, text), append(f.list, l)
	return nil
}

// All are the values as given, for a command line that repeats the flag.
func (f *loraFlag) All() []string { return f.texts }

// parseLoRA splits file and weight. A file whose own name ends so is taken as it is.
func parseLoRA(text string) (weights.LoRA, error) {
	if text == "" {
		return weights.LoRA{}, errors.New("want file or file:weight")
	}
	at := strings.LastIndexByte(text, ':')
	if _, err := os.Stat(text); err == nil || at < 0 {
		return weights.LoRA{Path: text, Weight: 1}, nil
	}
	weight, err := strconv.ParseFloat(text[at+1:], 64)
	if err != nil && strings.ContainsAny(text[at+1:], `/\`) { // C:\file
		return weights.LoRA{Path: text, Weight: 1}, nil
	}
	if err != nil || weight-weight != 0 {
		return weights.LoRA{}, fmt.Errorf("%q: weight %q is no number", text, text[at+1:])
	}
	return weights.LoRA{Path: text[:at], Weight: weight}, nil
}
