package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// tiles are the tile registers and their configuration in one thread; the zero value is the state after
// TILERELEASE. What lies outside of a tile's configured rows and bytes is zero.
type tiles struct {
	configured bool
	rows       [8]int
	colsb      [8]int // bytes of a row
	data       [8][16][64]byte
}

var errNotConfigured = errors.New("tiles are not configured")

// configure does LDTILECFG.
func (t *tiles) configure(cfg *[64]byte) error {
	*t = tiles{}
	if cfg[0] == 0 {
		return nil
	}
	if cfg[0] != 1 {
		return fmt.Errorf("LDTILECFG: palette %d", cfg[0])
	}
	for i, v := range cfg {
		if v != 0 && (1 <= i && i < 16 || 32 <= i && i < 48 || 56 <= i) { // start_row is only for restarts
			return fmt.Errorf("LDTILECFG: byte %d is %d, want 0", i, v)
		}
	}
	for i := range 8 {
		rows, colsb := int(cfg[48+i]), int(binary.LittleEndian.Uint16(cfg[16+2*i:]))
		if rows > 16 || colsb > 64 || (rows == 0) != (colsb == 0) {
			*t = tiles{}
			return fmt.Errorf("LDTILECFG: tile %d of %d rows, %d bytes", i, rows, colsb)
		}
		t.rows[i], t.colsb[i] = rows, colsb
	}
	t.configured = true
	return nil
}

// configuration does STTILECFG.
func (t *tiles) configuration() (cfg [64]byte) {
	if t.configured {
		cfg[0] = 1
		for i := range 8 {
			cfg[48+i] = byte(t.rows[i])
			binary.LittleEndian.PutUint16(cfg[16+2*i:], uint16(t.colsb[i]))
		}
	}
	return cfg
}

// usable is an error where an instruction that names the tiles i would fault.
func (t *tiles) usable(list ...int) error {
	if !t.configured {
		return errNotConfigured
	}
	for _, i := range list {
		if t.rows[i] == 0 {
			return fmt.Errorf("tile %d is not configured", i)
		}
	}
	return nil
}

// tdpBF16 adds the product of tile a (rows of pairs) and tile b (row k holds pair k of every
// column) to tile c, in the order of the manual: sums of the first elements of all pairs and of the second ones, from
// zero, by fused multiply-adds; the two are added; then that is added to c. Subnormal numbers count as zero.
func (t *tiles) tdpBF16(c, a, b int) error {
	if err := t.usable(c, a, b); err != nil {
		return err
	}
	if c == a || c == b || a == b {
		return fmt.Errorf("TDPBF16PS: tiles %d, %d, %d are not different", c, a, b)
	}
	if t.rows[c] != t.rows[a] || t.colsb[c] != t.colsb[b] || t.colsb[a]/4 != t.rows[b] ||
		(t.colsb[a]|t.colsb[b]|t.colsb[c])%4 != 0 {
		return fmt.Errorf("TDPBF16PS: %dx%d += %dx%d * %dx%d (rows x bytes)", t.rows[c], t.colsb[c], t.rows[a], t.colsb[a],
			t.rows[b], t.colsb[b])
	}
	var factors [16][32]float32
	for k := range t.rows[b] {
		for n := range t.colsb[b] / 2 {
			factors[k][n] = bfloat16(t.data[b][k][2*n:])
		}
	}
	for m := range t.rows[c] {
		var sum [32]float32
		for k := range t.rows[b] {
			for odd := range 2 {
				x := bfloat16(t.data[a][m][4*k+2*odd:])
				for n := range t.colsb[c] / 4 {
					sum[2*n+odd] = fma(x, factors[k][2*n+odd], sum[2*n+odd])
				}
			}
		}
		for n := range t.colsb[c] / 4 {
			out := t.data[c][m][4*n:]
			old := flush(math.Float32frombits(binary.LittleEndian.Uint32(out)))
			binary.LittleEndian.PutUint32(out, math.Float32bits(flush(old+flush(sum[2*n]+sum[2*n+1]))))
		}
	}
	return nil
}

const minNormal = 0x1p-126

// flush turns subnormal numbers into zeros of their sign.
func flush(v float32) float32 {
	if v < minNormal && v > -minNormal {
		return math.Float32frombits(math.Float32bits(v) & (1 << 31))
	}
	return v
}

func bfloat16(b []byte) float32 {
	return flush(math.Float32frombits(uint32(b[0])<<16 | uint32(b[1])<<24))
}

// fma is x*y + z with one rounding for x and y in bfloat16. Their product has at most 16 bits, so that a
// float32 holds it unless it is very small; then the sum is rounded once in float64, whose
// range it cannot leave, and once more.
func fma(x, y, z float32) float32 {
	p := float32(x * y)
	if p < 0x1p-100 && p > -0x1p-100 && x != 0 && y != 0 {
		return flush(roundOnce(float64(x)*float64(y), float64(z)))
	}
	return flush(p + z)
}

// roundOnce gives p + z as if rounded from the exact sum: a float64 sum that is not exact is made odd in its last
// bit, so that it cannot lie halfway between two float32.
func roundOnce(p, z float64) float32 {
	s := p + z
	back := s - p
	if e := (p - (s - back)) + (z - back); e != 0 {
		if bits := math.Float64bits(s); bits&1 == 0 {
			if (e > 0) == (s > 0) {
				bits++
			} else {
				bits--
			}
			s = math.Float64frombits(bits)
		}
	}
	return float32(s)
}
