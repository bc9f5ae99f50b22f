package task_test

import (
	"fmt"

	"psld/psld/operator"
	"psld/psld/picture"
	"psld/psld/task"
)

// A task of your own: pictures whose pixels were meaned over blocks of 2 x 2.
func Example() {
	half := &task.Task{
		Name: "half", Scale: 2, TV: 0.01,
		Lost:  "every other row and column",
		Looks: "The picture is small.",
		Does:  "enlarge two times",
		Operator: func(h, w int, _ task.Damage) (operator.Linear, error) {
			return operator.NewAveragePool(h, w, 3, 2)
		},
		Draw: func(_, _ int, _ task.Values, _ uint64) (task.Damage, error) { return task.Damage{}, nil },
	}
	remove, err := task.Register(half)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer remove()
	d, err := task.New("half", 24, 32, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	y, err := task.Measure(picture.New(32, 24), d, 0.05, 1)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(d.Task, y.W, y.H)
	// Output: half 16 12
}
