package tensor

// Device does the arithmetic of forward and backward passes, so that a backend is one more
// implementation of this interface and nothing in autograd, nn or the networks
// changes. Package cpu has those that always exist; devicetest checks one.
//
// Rules for all methods: the first arguments are written, the rest are read;
// outputs have their final shape already and undefined contents; outputs do not
// overlap inputs unless the comment says so; shapes are checked by the caller
// (autograd), which panics on a programmer's mistake. Each forward op stands next
// to its gradients.
//
// A device knows its memory by [Tensor.Storage], which views share; one whose memory is not the host's keeps its
// buffer there and leaves Data nil. What it writes to comes from its own Get. What it reads may lie in host memory
// as well, such as the inputs of a graph and weights that were neither packed nor placed: it copies them at each
// use, or once for a weight or a sparse matrix, with Keep. A weight that is trained is a tensor of Get that AdamW and
// Upload write to: products after them see the new elements. Work may be queued: Host, the sums and Sync wait for it.
// An operation that a device does not have panics with [NotImplemented], one that finds no memory with *[OutOfMemory].
type Device interface {
	Name() string

	// Get returns a tensor with undefined contents. Put takes it, or any view of it, back: neither it nor a view
	// may be used afterwards. Put of a tensor that is not from Get does nothing.
	Get(shape ...int) *Tensor
	Put(t *Tensor)
	// Pack turns a frozen weight [O,I] or [O,I,KH,KW] into the layout that this device multiplies by and lets its
	// elements go: Data is nil afterwards, and only Conv2d, Conv2dGradInput and Host of this device take the
	// tensor. Place moves another frozen tensor, such as a bias, into the device's memory; where that is the host's
	// it does nothing.
	Pack(w *Tensor)
	Place(t *Tensor)
	// Host returns the elements in ordinary memory, for reading; Upload writes them, and is done with data when it
	// returns. Sync returns when all is computed that was asked for.
	Host(t *Tensor) []float32
	Upload(t *Tensor, data []float32)
	Sync()

	// Conv2d: y[N,OH,OW,O] = conv(x[N,H,W,I], w[O,I,KH,KW]) + b[O] (b may be nil), and then e.
	// GradInput: dx from dy of the sum without e. GradWeight: dw and db (db may be nil) are overwritten.
	Conv2d(y, x, w, b *Tensor, p Conv, e Epilogue)
	Conv2dGradInput(dx, dy, w *Tensor, p Conv)
	Conv2dGradWeight(dw, db, x, dy *Tensor, p Conv)

	// Attention: o[N,L,heads*d] = softmax(q k'/sqrt(d)) v for each head, with
	// q[N,L,heads*d], k and v[N,M,heads*d]. stats[N,heads,2,L], which may be nil, receives what the gradient
	// needs to make the weights again.
	Attention(o, stats, q, k, v *Tensor, heads int, causal bool)
	AttentionGrad(dq, dk, dv, do, o, stats, q, k, v *Tensor, heads int, causal bool)

	// GroupNorm over x[N,...,C] with gamma, beta[C], or [N,C] for each item its own; stats[N,groups,2] receives mean
	// and 1/sqrt(var+eps). With silu, y = silu(norm(x)). LayerNorm is over the last axis, stats[rows,2]. dgamma and
	// dbeta may both be nil; they are overwritten. In GroupNormGrad and SoftmaxGrad dx may be dy.
	GroupNorm(y, stats, x, gamma, beta *Tensor, groups int, eps float32, silu bool)
	GroupNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma, beta *Tensor, groups int, silu bool)
	LayerNorm(y, stats, x, gamma, beta *Tensor, eps float32)
	LayerNormGrad(dx, dgamma, dbeta, dy, x, stats, gamma *Tensor)
	Softmax(y, x *Tensor)
	SoftmaxGrad(dx, dy, y *Tensor)

	// Unary applies f to every element; UnaryGrad is dx = dy*f'(x). y may be x, dx may be dy.
	Unary(f Func, y, x *Tensor)
	UnaryGrad(f Func, dx, dy, x *Tensor)
	// GEGLU: y[...,C] = x[...,:C] * gelu(x[...,C:]).
	GEGLU(y, x *Tensor)
	GEGLUGrad(dx, dy, x *Tensor)

	// Element-wise; y may be an input. Axpy: y += alpha*x. Scale: y = alpha*x.
	Add(y, a, b *Tensor)
	Mul(y, a, b *Tensor)
	Axpy(y *Tensor, alpha float32, x *Tensor)
	Scale(y *Tensor, alpha float32, x *Tensor)
	Clamp(y, x *Tensor, lo, hi float32)
	ClampGrad(dx, dy, x *Tensor, lo, hi float32)
	Fill(y *Tensor, v float32)
	// AddChannels: y[n,...,c] = x[n,...,c] + e[n,c]; SumPixels: de[n,c] = sum of dy[n,...,c].
	AddChannels(y, x, e *Tensor)
	SumPixels(de, dy *Tensor)
	// Enlarge2x: y[N,2H,2W,C] holds each pixel of x[N,H,W,C] four times. Mean2x2: y[N,H,W,C] has the means of
	// the squares of two by two pixels of x[N,2H,2W,C].
	Enlarge2x(y, x *Tensor)
	Mean2x2(y, x *Tensor)
	// CopyCols copies n columns of the last axis, from column sCol of src to column dCol of dst.
	CopyCols(dst *Tensor, dCol int, src *Tensor, sCol, n int)
	// Windows copies the window at each offset {row, column} of x[1,H,W,C] into
	// y[len(at),h,w,C]; AddWindows adds windows into y at their offsets.
	Windows(y, x *Tensor, at [][2]int)
	AddWindows(y, x *Tensor, at [][2]int)
	// Sparse: y[Outer,Rows,Inner] = m x[Outer,In], see [Sparse]. Both may be in any shape of that length. The sums are
	// float32 in the order of the entries; a row without any is zero, whatever x holds.
	Sparse(y, x *Tensor, m *Sparse)
	// Embedding: y[i] = w[ids[i]]; EmbeddingGrad overwrites dw.
	Embedding(y, w *Tensor, ids []int)
	EmbeddingGrad(dw, dy *Tensor, ids []int)

	// AdamW steps a weight w against its gradient g, updates its moments m and v and moves average, which is used as a
	// weight at times, towards w.
	AdamW(w, m, v, average, g *Tensor, p AdamW)

	Sum(x *Tensor) float64
	SumSquares(x *Tensor) float64
	Dot(a, b *Tensor) float64
}

// RowPacker is implemented by devices that pack a frozen weight without seeing all of it at once: read writes the
// elements of outputs from, from+1, ... to dst, as many as fit, and is called from several goroutines. Afterwards w is
// as after Pack; an error of read is returned, and w is as before.
type RowPacker interface {
	PackRows(w *Tensor, read func(dst []float32, from int) error) error
}

// Conv is the geometry of a convolution: window KH x KW, stride in both
// directions, zero padding on each side. Upsample enlarges the input two-fold by
// nearest neighbours first, without storing it.
type Conv struct {
	KH, KW, Stride                       int
	PadTop, PadLeft, PadBottom, PadRight int
	Upsample                             bool
}

// SameConv is a k x k convolution of stride 1 that keeps the size (k odd).
func SameConv(k int) Conv {
	return Conv{KH: k, KW: k, Stride: 1, PadTop: k / 2, PadLeft: k / 2, PadBottom: k / 2, PadRight: k / 2}
}

// Out is the output size for an input of h x w.
func (p Conv) Out(h, w int) (oh, ow int) {
	if p.Upsample {
		h, w = 2*h, 2*w
	}
	return (h+p.PadTop+p.PadBottom-p.KH)/p.Stride + 1, (w+p.PadLeft+p.PadRight-p.KW)/p.Stride + 1
}

// Pointwise tells that every output pixel sees just its own input pixel.
func (p Conv) Pointwise() bool {
	return p == Conv{KH: 1, KW: 1, Stride: 1}
}

// Epilogue is what Conv2d does to its sums s on their way to memory: y = Func(Scale*s + Add). It saves the passes over
// memory that operations of their own would take, and gives the same bits. The zero value does nothing.
type Epilogue struct {
	Scale float32 // 0 stands for 1
	// GEGLU halves the channels: Scale*s[...,:O] * gelu(Scale*s[...,O:]) takes the place of Scale*s.
	GEGLU bool
	Add   *Tensor // another tensor in y's shape; nil for nothing
	Func  Func
}

// AdamW are the numbers of one step of Adam with decoupled weight decay (Loshchilov and Hutter 2019), in this order:
//
//	m = Beta1*m + (1-Beta1)*g
//	v = Beta2*v + (1-Beta2)*g*g
//	w -= Rate*((m/Correct1)/(sqrt(v/Correct2)+Eps) + Decay*w)
//	average += Mix*(w-average)
//
// Correct1 and Correct2 are 1-Beta^t in step t = 1, 2, ...
type AdamW struct {
	Rate, Beta1, Beta2, Eps, Decay, Correct1, Correct2, Mix float32
}

// Func names an element-wise function.
type Func int

// The element-wise functions. GELU is the exact form x*Phi(x), QuickGELU is
// x*sigmoid(1.702x).
const (
	Identity Func = iota
	SiLU
	GELU
	QuickGELU
	Exp
	Abs
	ReLU
	Tanh
)
