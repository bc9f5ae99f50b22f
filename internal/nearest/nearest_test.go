package nearest

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHint(t *testing.T) {
	names := []string{"restore", "sr2", "sr4", "inpaint", "inpaint-random", "psld", "steps", "--size"}
	for name, want := range map[string]string{
		"resotre": "restore", "restroe": "restore", "RESTORE": "restore", "retsore": "restore", "sr5": "sr2", "rs4": "sr4",
		"inpaint-randm": "inpaint-random", "inp": "inpaint", "Inpaint-": "inpaint", "in": "",
		"pdsl": "", "psdl": "psld", "step": "steps", "quux": "", "": "", "--hide": "", "--sise": "--size",
		strings.Repeat("x", 1000): "",
	} {
		got := Hint(name, names)
		if want == "" {
			require.Empty(t, got, name)
		} else {
			require.Equal(t, `; did you mean "`+want+`"?`, got, name)
		}
	}
}

// TestDistance: known values, and the laws of a distance.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"kitten", "sitting", 3}, {"", "abc", 3}, {"ab", "ba", 1}, {"abcd", "acbd", 1}, {"ca", "abc", 3}, {"x", "x", 0}} {
		require.Equal(t, c.want, distance(c.a, c.b), c)
		require.Equal(t, c.want, distance(c.b, c.a), c)
	}
}
