package rng

// mtSize is the number of words of an MT19937.
const mtSize = 624

// mt19937 is the 32-bit Mersenne Twister (Matsumoto, Nishimura 1998).
type mt19937 struct {
	state [mtSize]uint32
	at    int // next word to give out, mtSize when all are used
}

func (m *mt19937) seed(s uint32) {
	m.state[0] = s
	for i := 1; i < mtSize; i++ {
		prev := m.state[i-1]
		m.state[i] = 1812433253*(prev^prev>>30) + uint32(i)
	}
	m.at = mtSize
}

func (m *mt19937) next() uint32 {
	if m.at == mtSize {
		m.twist()
	}
	y := m.state[m.at]
	m.at++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// twist makes the next 624 words out of the present ones.
func (m *mt19937) twist() {
	for i := range m.state {
		y := m.state[i]&0x80000000 | m.state[(i+1)%mtSize]&0x7fffffff
		w := m.state[(i+397)%mtSize] ^ y>>1
		if y&1 != 0 {
			w ^= 0x9908b0df
		}
		m.state[i] = w
	}
	m.at = 0
}
