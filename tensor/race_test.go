//go:build race

package tensor

// race: pools lose what they hold at random.
const race = true
