//go:build race

package cpu

// race: pools lose what they hold at random.
const race = true
