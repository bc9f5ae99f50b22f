package rng

import (
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// f32 reads base64 of little-endian float32.
func f32(t *testing.T, s string) []float32 {
	b, err := base64.StdEncoding.DecodeString(s)
	require.NoError(t, err)
	x := make([]float32, len(b)/4)
	_, err = binary.Decode(b, binary.LittleEndian, x)
	require.NoError(t, err)
	return x
}

// TestTorch draws what testdata/torch.json holds: the uniform numbers equal,
// the normal ones within 5e-7.
func TestTorch(t *testing.T) {
	var ref struct {
		Cases []struct {
			Seed  uint64
			Sizes []int
			Randn []string
		}
		Uniform []struct {
			Seed uint64
			Rand string
		}
	}
	data, err := os.ReadFile("testdata/torch.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &ref))
	for _, c := range ref.Uniform {
		g := NewTorch(c.Seed)
		for i, want := range f32(t, c.Rand) {
			if got := g.uniform(); got != want {
				t.Fatalf("seed %d, uniform %d: %v, want %v", c.Seed, i, got, want)
			}
		}
	}
	require.NotEmpty(t, ref.Cases)
	for _, c := range ref.Cases {
		g := NewTorch(c.Seed)
		for k, n := range c.Sizes {
			x := make([]float32, n)
			g.Normal(x)
			stride := 1
			if n > 100 {
				stride = 257
			}
			want := f32(t, c.Randn[k])
			require.Len(t, want, (n+stride-1)/stride)
			for i, w := range want {
				limit := 5e-7
				if n < 16 { // double precision, rounded at the end
					limit = 1.2e-7 * math.Abs(float64(w))
				}
				require.InDelta(t, w, x[i*stride], limit, "seed %d, call %d of %v, number %d", c.Seed, k, c.Sizes, i*stride)
			}
		}
	}
}

// TestMT19937: number 10,000 from seed 5489, as the C++ standard requires of std::mt19937.
func TestMT19937(t *testing.T) {
	var m mt19937
	m.seed(5489)
	for range 9999 {
		m.next()
	}
	require.Equal(t, uint32(4123659995), m.next())
}

// TestPhilox: the known answers of Random123 (kat_vectors).
func TestPhilox(t *testing.T) {
	const all = 0xffffffff
	for _, c := range []struct {
		ctr  [4]uint32
		key  [2]uint32
		want [4]uint32
	}{
		{want: [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{all, all, all, all}, [2]uint32{all, all}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		require.Equal(t, c.want, philox(c.ctr, c.key))
	}
}

// TestCUDA: the numbers that AUTOMATIC1111's web UI documents for seed 0.
func TestCUDA(t *testing.T) {
	x := make([]float32, 12)
	NewCUDA(0).Normal(x)
	require.InDeltaSlice(t, []float32{-0.92466259, -0.42534415, -2.6438457, 0.14518388, -0.12086647, -0.57972564,
		-0.62285122, -0.32838709, -1.07454231, -0.36314407, -1.67105067, 2.26550497}, x, 1e-8)
}

// TestMoments: both kinds are standard normal, to four deviations of the mean
// and the variance of 65,536 numbers.
func TestMoments(t *testing.T) {
	const n = 1 << 16
	for _, kind := range []string{"torch", "cuda"} {
		g, err := New(kind, 3)
		require.NoError(t, err)
		x := make([]float32, n)
		g.Normal(x)
		var sum, sq float64
		for _, v := range x {
			sum += float64(v)
			sq += float64(v) * float64(v)
		}
		require.InDelta(t, 0, sum/n, 4/math.Sqrt(n), kind)
		require.InDelta(t, 1, sq/n, 4*math.Sqrt(2./n), kind)
	}
	_, err := New("numpy", 3)
	require.ErrorContains(t, err, `"numpy", want torch or cuda`)
}

// TestResume: a generator restored from bytes draws on as the first does, in
// the middle of a block and with a kept number.
func TestResume(t *testing.T) {
	for _, pair := range [][2]Source{{NewTorch(9), NewTorch(1)}, {NewCUDA(9), NewCUDA(1)}} {
		pair[0].Normal(make([]float32, 700))
		pair[0].Normal(make([]float32, 3))
		b, err := pair[0].(encoding.BinaryMarshaler).MarshalBinary()
		require.NoError(t, err)
		require.NoError(t, pair[1].(encoding.BinaryUnmarshaler).UnmarshalBinary(b))
		for _, n := range []int{5, 100} {
			x, y := make([]float32, n), make([]float32, n)
			pair[0].Normal(x)
			pair[1].Normal(y)
			require.Equal(t, x, y)
		}
		require.Error(t, pair[1].(encoding.BinaryUnmarshaler).UnmarshalBinary(b[1:]))
	}
}

// FuzzUnmarshal: bytes are refused or give a generator that draws finite
// numbers and is written as the same bytes.
func FuzzUnmarshal(f *testing.F) {
	t := NewTorch(1)
	t.Normal(make([]float32, 3))
	b, _ := t.MarshalBinary()
	f.Add(b)
	f.Add(append([]byte(nil), b[:len(b)-1]...))
	b, _ = NewCUDA(1).MarshalBinary()
	f.Add(b)
	f.Add([]byte("T"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, g := range []Source{&Torch{}, &CUDA{}} {
			if g.(encoding.BinaryUnmarshaler).UnmarshalBinary(b) != nil {
				continue
			}
			again, err := g.(encoding.BinaryMarshaler).MarshalBinary()
			require.NoError(t, err)
			require.Equal(t, b, again)
			x := make([]float32, 17)
			g.Normal(x[:3])
			g.Normal(x)
			for _, v := range x {
				require.False(t, math.IsNaN(float64(v)) || math.IsInf(float64(v), 0))
			}
		}
	})
}
