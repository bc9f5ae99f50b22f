package server

import (
	"math"
	"reflect"

	"psld/psld/client"
	"psld/psld/param"
	"psld/psld/solver"
	"psld/psld/task"
)

// Tasks lists the kinds of damage as the API does.
func Tasks() []client.Task {
	list := []client.Task{}
	for _, t := range task.All() {
		list = append(list, client.Task{Name: string(t.Name), Lost: t.Lost, Looks: t.Looks, Does: t.Does,
			Needs: map[task.Need]string{task.Nothing: "nothing", task.Mask: "mask", task.Kernel: "kernel"}[t.Needs],
			Scale: t.Scale, Tryable: t.Draw != nil, Guesses: t.Guess != nil || t.Needs == task.Mask})
	}
	return list
}

// Methods lists the methods with their parameters as the API does.
func Methods() []client.Method {
	list := []client.Method{}
	for _, spec := range solver.Specs() {
		m := client.Method{Name: spec.Name, Description: spec.Doc, Fields: []client.Field{}}
		for _, f := range param.Fields(spec.New()) {
			field := client.Field{Name: f.Name, Help: f.Help, Kind: kindOf[f.Kind], Default: f.Default, Choices: f.Choices}
			if !math.IsInf(f.Min, 0) {
				field.Min, field.MinOpen = &f.Min, f.MinOpen
			}
			if !math.IsInf(f.Max, 0) {
				field.Max = &f.Max
			}
			m.Fields = append(m.Fields, field)
		}
		list = append(list, m)
	}
	return list
}

// kindOf names the kinds of parameters for the API.
var kindOf = map[reflect.Kind]string{reflect.Int: "integer", reflect.Float64: "number", reflect.Bool: "boolean",
	reflect.String: "text"}
