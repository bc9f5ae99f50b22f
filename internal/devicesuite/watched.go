package devicesuite

import (
	"sync"

	"psld/tensor"
)

// watched is a device that counts what is lent and what is copied to the host, and that finds no memory when it is
// told to.
type watched struct {
	tensor.Device

	mu      sync.Mutex
	lent    map[*tensor.Storage]bool
	gets    int
	fails   int // the number of the Get that fails, 0: none
	largest int // numbers of the largest copy to the host
}

func watch(dev tensor.Device) *watched {
	return &watched{Device: dev, lent: map[*tensor.Storage]bool{}}
}

// Get implements [tensor.Device].
func (d *watched) Get(shape ...int) *tensor.Tensor {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gets++; d.gets == d.fails {
		panic(&tensor.OutOfMemory{Device: d.Name(), Bytes: 4 * int64(tensor.Len(shape))})
	}
	t := d.Device.Get(shape...)
	d.lent[t.Storage()] = true
	return t
}

// Put implements [tensor.Device].
func (d *watched) Put(t *tensor.Tensor) {
	d.mu.Lock()
	delete(d.lent, t.Storage())
	d.mu.Unlock()
	d.Device.Put(t)
}

// Host implements [tensor.Device].
func (d *watched) Host(t *tensor.Tensor) []float32 {
	d.mu.Lock()
	if d.lent[t.Storage()] {
		d.largest = max(d.largest, t.Len())
	}
	d.mu.Unlock()
	return d.Device.Host(t)
}

// failAt lets the n-th Get from now on fail, 0 none.
func (d *watched) failAt(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.gets, d.fails = 0, n
}

// live is how many tensors are lent.
func (d *watched) live() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.lent)
}

// copied is the size in numbers of the largest copy to the host since the last call.
func (d *watched) copied() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.largest
	d.largest = 0
	return n
}
