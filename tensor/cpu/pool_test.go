package cpu

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPoolClasses(t *testing.T) {
	seen := map[int]int{} // index -> size
	for n := range 5000 {
		size, i := class(n)
		require.GreaterOrEqual(t, size, n)
		require.LessOrEqual(t, size, max(64, n+n/4), "waste of more than a quarter")
		if old, ok := seen[i]; ok {
			require.Equal(t, old, size, "class %d", i)
		}
		seen[i] = size
		again, j := class(size)
		require.Equal(t, [2]int{size, i}, [2]int{again, j}, "a buffer goes back to its own class")
	}
	var p Pool
	for _, n := range []int{1 << 20, 1<<21 + 1, 1 << 26, 1<<40 + 1, 1 << 61} {
		size, i := class(n)
		require.GreaterOrEqual(t, size, n)
		require.Less(t, i, len(p.free), "%d elements", n)
	}
}

func TestPoolReuseAndAccounts(t *testing.T) {
	// 3e6 floats: activations of this size are the ones that matter.
	for _, n := range []int{1, 64, 65, 1000, 3 << 20} {
		var p Pool
		size, _ := class(n)
		bytes := int64(4 * size)
		a := p.Get(n)
		require.Equal(t, n, a.Len())
		require.Equal(t, []int{n}, a.Shape)
		b := p.Get(n)
		require.Equal(t, 2*bytes, p.Live(), "%d elements", n)
		first := &a.Data[0]
		p.Put(a)
		require.Nil(t, a.Data, "a tensor that was put back must not be usable")
		require.Equal(t, bytes, p.Live())
		require.Equal(t, 2*bytes, p.Peak())
		c := p.Get(1, n)
		require.Same(t, first, &c.Data[0], "reuse")
		p.Put(c)
		p.Put(c) // twice: the second does nothing
		p.Put(b)
		require.Zero(t, p.Live())
		p.ResetPeak()
		require.Zero(t, p.Peak())
		p.Drop()
		d := p.Get(n)
		require.NotNil(t, d.Data)
		require.Equal(t, bytes, p.Peak())
		// A second user of a smaller size of the same class gets the same buffer.
		buffer := &d.Data[0]
		p.Put(d)
		if n > 65 {
			require.Same(t, buffer, &p.Get(n - 1).Data[0])
		}
	}
}

func TestPoolEmptyTensor(t *testing.T) {
	var p Pool
	a := p.Get(0, 3)
	require.Zero(t, a.Len())
	p.Put(a)
	require.Zero(t, p.Live())
}

func TestPoolConcurrent(t *testing.T) {
	var p Pool
	var wg sync.WaitGroup
	for id := range 4 {
		wg.Go(func() {
			for i := range 500 {
				a := p.Get(1 + (i*37+id)%300)
				for j := range a.Data {
					a.Data[j] = float32(id)
				}
				for _, v := range a.Data {
					if v != float32(id) {
						t.Error("two users of one buffer")
						return
					}
				}
				p.Put(a)
			}
		})
	}
	wg.Wait()
	require.Zero(t, p.Live())
}
