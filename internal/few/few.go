// Package few words long lists: the first of many, and how many there are.
package few

import (
	"errors"
	"fmt"
	"strings"
)

// most is how many are named.
const most = 3

// Names lists names with commas between, the first ones and how many more there are.
func Names(names []string) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// Errors joins the errors that are not nil: the first ones, in a line each, and a line with the number of the others.
func Errors(errs []error) error {
	var list []error
	n := 0
	for _, err := range errs {
		if err == nil {
			continue
		}
		if n++; n <= most {
			list = append(list, err)
		}
	}
	if n > most {
		list = append(list, fmt.Errorf("and %d more errors of this kind", n-most))
	}
	return errors.Join(list...)
}
