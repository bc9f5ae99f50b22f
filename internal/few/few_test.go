package few_test

import (
	"errors"
	"fmt"

	"psld/internal/few"
)

func ExampleNames() {
	fmt.Println(few.Names([]string{"a", "b"}))
	fmt.Println(few.Names([]string{"a", "b", "c", "d", "e"}))
	// Output:
	// a, b
	// a, b, c and 2 more
}

func ExampleErrors() {
	err := errors.New("wrong")
	fmt.Println(few.Errors([]error{nil, nil}))
	fmt.Println(few.Errors([]error{nil, err, err, nil, err, err}))
	// Output:
	// <nil>
	// wrong
	// wrong
	// wrong
	// and 1 more errors of this kind
}
