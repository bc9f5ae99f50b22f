package psld

import (
	"fmt"
	"strings"

	"psld/psld/param"
	"psld/psld/solver"
)

// MethodTitle is a method's name as its paper writes it, such as "PnP-ADMM" for pnp-admm. A name that this package
// does not know is given back as it is.
func MethodTitle(name string) string {
	spec, err := solver.Lookup(name)
	if err != nil {
		return name
	}
	title, _, _ := strings.Cut(spec.Doc, " (")
	plain := func(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "") }
	if strings.HasPrefix(plain(title), plain(name)) {
		return title
	}
	first, rest, two := strings.Cut(name, "-")
	if _, err := solver.Lookup(rest); two && err == nil { // one method, then another
		return MethodTitle(first) + "-" + MethodTitle(rest)
	}
	return strings.ToUpper(name) // the words do not begin with the name
}

// DescribeMethod tells a method with its parameters in words.
func DescribeMethod(m solver.Method) string {
	if isNil(m) {
		return "none"
	}
	words, of := []string{solver.SpecOf(m).Name}, ""
	if _, ok := m.(solver.Smaller); ok {
		of = " of psld" // which those of patches follow
	}
	for _, f := range param.Fields(m) {
		if f.Name == "steps" {
			unit := "steps"
			if f.Of(m) == 1 {
				unit = "step"
			}
			words = append(words, fmt.Sprintf("%v %s%s", f.Of(m), unit, of))
			continue
		}
		name, value := strings.ReplaceAll(f.Name, "_", " "), fmt.Sprint(f.Of(m))
		if x, ok := f.Of(m).(float64); ok {
			value = fmt.Sprintf("%.4g", x)
		}
		words = append(words, name+" "+value)
	}
	return strings.Join(words, ", ")
}

// MethodSettings tells a method, how many of its steps were done, and its parameters, in the form of a PNG's
// parameters: "Method: psld, Steps: 30, Done: 30 of 30, Eta: 0, ...".
func MethodSettings(m solver.Method, done, of int) string {
	if isNil(m) {
		return "Method: none"
	}
	first, rest := "Method: "+solver.SpecOf(m).Name, ""
	for _, f := range param.Fields(m) {
		name := strings.ReplaceAll(f.Name, "_", " ")
		text := fmt.Sprintf(", %s: %v", strings.ToUpper(name[:1])+name[1:], f.Of(m))
		if f.Name == "steps" {
			first += text
		} else {
			rest += text
		}
	}
	return fmt.Sprintf("%s, Done: %d of %d%s", first, done, of, rest)
}
