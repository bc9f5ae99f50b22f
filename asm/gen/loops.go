//go:build ignore

package main

import (
	"fmt"
	"strings"
)

// inGo has the loop in Go of each kernel: what it computes, for the comment of its declaration. Functions of one
// number are those of the exported function's comment.
var inGo = map[string]string{
	"add":   each("dst[i] = a[i] + b[i]"),
	"sub":   each("dst[i] = a[i] - b[i]"),
	"mul":   each("dst[i] = a[i] * b[i]"),
	"axpy":  each("dst[i] += t * x[i]"),
	"scale": each("dst[i] = t * x[i]"),
	"lerp":  each("dst[i] += t * (x[i] - dst[i])"),

	"dot":       sums("a[i] * b[i]", "a"),
	"sum":       sums("x[i]", "x"),
	"sumSq":     sums("x[i] * x[i]", "x"),
	"zeroTimes": sums("0 * x[i]", "x"),

	"exp":           each("dst[i] = exp(x[i])"),
	"expGrad":       each("dst[i] = dy[i] * exp(x[i])"),
	"silu":          each("dst[i] = x[i] / (1 + exp(-x[i]))"),
	"siluGrad":      each("s := 1 / (1 + exp(-x[i]))", "dst[i] = dy[i] * s * (1 + x[i]*(1-s))"),
	"gelu":          each("dst[i] = x[i] * (1 + erf(x[i]/sqrt2)) / 2"),
	"geluGrad":      each("phi := exp(-x[i]*x[i]/2) / sqrt(2*pi)", "dst[i] = dy[i] * ((1+erf(x[i]/sqrt2))/2 + x[i]*phi)"),
	"quickGELU":     each("dst[i] = x[i] / (1 + exp(-1.702*x[i]))"),
	"quickGELUGrad": each("s := 1 / (1 + exp(-1.702*x[i]))", "dst[i] = dy[i] * s * (1 + 1.702*x[i]*(1-s))"),
	"tanh":          each("dst[i] = tanh(x[i])"),
	"tanhGrad":      each("dst[i] = dy[i] * (1 - tanh(x[i])*tanh(x[i]))"),
	"abs":           each("dst[i] = abs(x[i])"),
	"absGrad":       each("dst[i] = dy[i] * sign(x[i]) // 0 at 0"),
	"relu":          each("dst[i] = max(x[i], 0)"),
	"reluGrad":      each("dst[i] = 0", "if x[i] > 0 {", "\tdst[i] = dy[i]", "}"),
	"clamp":         each("dst[i] = min(max(x[i], lo), hi)"),
	"clampGrad":     each("dst[i] = 0", "if lo <= x[i] && x[i] <= hi {", "\tdst[i] = dy[i]", "}"),

	"scaleShiftRows":     columns("scale", "dst[i] = x[i]*scale[j] + shift[j]"),
	"scaleShiftSiLURows": columns("scale", "dst[i] = silu(x[i]*scale[j] + shift[j])"),
	"siluGradRows":       columns("scale", "dst[i] = dy[i] * siluGrad(x[i]*scale[j]+shift[j])"),
	"linearRows":         columns("a", "dst[i] = a[j]*u[i] + b[j]*v[i] + d[j]"),
	"mulRows":            columns("scale", "dst[i] *= scale[j]"),
	"addRows":            columns("v", "dst[i] = x[i] + v[j]"),
	"colSum":             over("x", "sum", "sum[j] += x[i]"),
	"colMoments":         over("x", "mean", "s1[j] += x[i] - mean[j]", "s2[j] += (x[i] - mean[j]) * (x[i] - mean[j])"),
	"colSum2":            over("x", "mean", "s1[j] += dy[i]", "s2[j] += dy[i] * (x[i] - mean[j])"),

	"softmaxRows": eachRow("x", "top, sum := max(x[r:r+c]...), 0", "for i := r; i < r+c; i++ {",
		"\ttmp[i-r] = exp(x[i] - top)", "\tsum += tmp[i-r]", "}", "for i := r; i < r+c; i++ {", "\tdst[i] = tmp[i-r] / sum",
		"}"),
	"softmaxGradRows": eachRow("y", "inner := dot(y[r:r+c], dy[r:r+c])", "for i := r; i < r+c; i++ {",
		"\tdst[i] = y[i] * (dy[i] - inner)", "}"),
	"layerNormRows": eachRow("x", "mean := sum(x[r:r+c]) * invC",
		"rstd := 1 / sqrt(sumOfSquares(x[r:r+c]-mean)*invC+eps)",
		"stats[2*r/c], stats[2*r/c+1] = mean, rstd", "for i := r; i < r+c; i++ {",
		"\tdst[i] = (x[i]-mean)*rstd*gamma[i-r] + beta[i-r]", "}"),
	"layerNormGradRows": eachRow("x", "mean, rstd, s1, s2 := stats[2*r/c], stats[2*r/c+1], 0, 0",
		"for i := r; i < r+c; i++ {",
		"\ts1 += dy[i] * gamma[i-r] * invC", "\ts2 += dy[i] * gamma[i-r] * (x[i] - mean) * rstd * invC", "}",
		"for i := r; i < r+c; i++ {", "\tdst[i] = rstd * (dy[i]*gamma[i-r] - s1 - (x[i]-mean)*rstd*s2)", "}"),
	"layerNormGammaRows": eachRow("x", "mean, rstd := stats[2*r/c], stats[2*r/c+1]", "for i := r; i < r+c; i++ {",
		"\tdst[i] = dy[i] * (x[i] - mean) * rstd", "}"),
	"gegluRows":     halves("dst", "dst[i] = x[k] * gelu(gate[k])"),
	"gegluGradRows": halves("dy", "dx[k] = dy[i] * gelu(gate[k])", "dgate[k] = dy[i] * x[k] * geluGrad(gate[k])"),

	"f16ToF32":  each("dst[i] = float16ToFloat32(src[i])"),
	"f32ToF16":  each("dst[i] = float32ToFloat16(src[i]) // to nearest even"),
	"i8ToF32":   each("dst[i] = float32(src[i])"),
	"bf16ToF32": each("dst[i] = math.Float32frombits(uint32(src[i]) << 16)"),
	"f32ToBF16": each("dst[i] = uint16(roundToEven(math.Float32bits(src[i]) / 65536))"),
	"adamW": loop("for i := range p {", "\tm[i] = b1*m[i] + nb1*g[i]", "\tv[i] = b2*v[i] + nb2*g[i]*g[i]",
		"\tp[i] -= lr * (m[i]*ic1/(sqrt(v[i]*ic2)+eps) + wd*p[i])", "}"),

	// Panels are [rows][NR]; columns are queries.
	"softmaxPanel": loop("for j := range NR {", "\ttop := max(stats[0][j], p[0][j], p[1][j], ...)",
		"\tstats[2][j] = exp2(stats[0][j] - top)",
		"\tstats[0][j], stats[1][j] = top, stats[1][j]*stats[2][j]", "\tfor r := range rows {",
		"\t\tp[r][j] = exp2(p[r][j] - top)", "\t\tstats[1][j] += p[r][j]", "\t}", "}"),
	"softmaxPanelPairs": loop("for j := range NR { // top and stats[0], stats[2] as in softmaxPanel",
		"\tfor r := 0; r < rows; r += 2 {",
		"\t\te, o := exp2(p[r][j]-top), exp2(p[r+1][j]-top)", "\t\tstats[1][j] += e + o",
		"\t\tdst[r/2][j] = [2]uint16{bfloat16(e), bfloat16(o)}", "\t}", "}"),
	"weightsGradPanel": loop("for i := range rows * NR {", "\tp[i] = exp2(p[i])", "\tds[i] *= p[i]", "}"),
	"weightsGradPanelPairs": loop("for r := range rows {", "\tfor j := range NR {", "\t\tw := exp2(p[r][j])",
		"\t\tpRows[r][j/2][j%2] = bfloat16(w)", "\t\tdsRows[r][j/2][j%2] = bfloat16(w * ds[r][j])",
		"\t\tdsPairs[r/2][j][r%2] = bfloat16(w * ds[r][j])", "\t}", "}"),
	"scalePanel":      loop("for r := range rows {", "\tfor j := range NR {", "\t\tx[r][j] *= by[j]", "\t}", "}"),
	"interleavePairs": loop("for i := range n {", "\tdst[i] = [2]uint16{bfloat16(a[i]), bfloat16(b[i])}", "}"),

	// Tiles: C begins as its own values, the bias or 0, as Tile says. Strides here are in elements.
	"gemmN": loop("for s := range t.Segs {", "\tfor k := range t.K {", "\t\tfor i := range M {",
		"\t\t\tfor j := range NR {",
		"\t\t\t\tC[i*CRow+j] += A[i*ARow+s*ASeg+k] * B[(s*K+k)*NR+j]", "\t\t\t}", "\t\t}", "\t}", "}"),
	"gemmT": loop("for s := range t.Segs {", "\tfor k := range t.K {", "\t\tfor i := range M {",
		"\t\t\tfor j := range NR {",
		"\t\t\t\tC[i*CRow+j] += A[i+s*ASeg+k*ACol] * B[s*BSeg+k*BRow+j]", "\t\t\t}", "\t\t}", "\t}", "}"),
	"gemmBF16": loop("for s := range t.Segs {", "\tfor k := range t.K { // pairs of bfloat16", "\t\tfor i := range M {",
		"\t\t\tfor j := range NR {",
		"\t\t\t\ta, b := A[i*ARow+s*ASeg+k], B[(s*K+k)*NR+j]", "\t\t\t\tC[i*CRow+j] += low(a)*low(b) + high(a)*high(b)",
		"\t\t\t}", "\t\t}", "\t}", "}"),
	"runWide": loop("for s := range t.Segs {", "\tfor k := range t.K {", "\t\tfor i := range M {",
		"\t\t\tfor j := range NR + 8 {",
		"\t\t\t\tC[i*CRow+j] += A[i*ARow+s*ASeg+k] * B[(s*K+k)*(NR+8)+j]", "\t\t\t}", "\t\t}", "\t}", "}"),
	"runWidePairs": loop("for s := range t.Segs {", "\tfor k := range t.K { // pairs of bfloat16",
		"\t\tfor i := range M {", "\t\t\tfor j := range NR + 8 {",
		"\t\t\t\ta, b := A[i*ARow+s*ASeg+k], B[(s*K+k)*(NR+8)+j]", "\t\t\t\tC[i*CRow+j] += low(a)*low(b) + high(a)*high(b)",
		"\t\t\t}", "\t\t}", "\t}", "}"),
	"runPairsT": loop("for k := range t.K { // pairs of bfloat16", "\tfor i := range M {", "\t\tfor j := range NR {",
		"\t\t\ta, b := A[i+k*ACol], B[k*BRow+j]", "\t\t\tC[i*CRow+j] += low(a)*low(b) + high(a)*high(b)", "\t\t}", "\t}",
		"}"),

	"winogradInput":  square("B'", "6", "6"),
	"winogradWeight": square("G", "3", "6"),
	"winogradOutput": square("A'", "6", "4"),
}

func loop(lines ...string) string { return strings.Join(lines, "\n") }

func indented(lines []string, by string) string { return by + strings.Join(lines, "\n"+by) }

func each(lines ...string) string { return "for i := range dst {\n" + indented(lines, "\t") + "\n}" }

func sums(term, x string) string {
	return fmt.Sprintf("s := 0.0\nfor i := range %s {\n\ts += %s\n}\nreturn s", x, term)
}

// over runs through x in rows as long as row; j is the column.
func over(x, row string, lines ...string) string {
	return fmt.Sprintf("for i := range %s {\n\tj := i %% len(%s)\n%s\n}", x, row, indented(lines, "\t"))
}

func columns(row string, lines ...string) string { return over("dst", row, lines...) }

// eachRow runs through the rows of c numbers of x.
func eachRow(x string, lines ...string) string {
	return fmt.Sprintf("for r := 0; r < len(%s); r += c {\n%s\n}", x, indented(lines, "\t"))
}

// halves runs through rows of c numbers beside rows of 2c, whose halves two slices begin with.
func halves(x string, lines ...string) string {
	return fmt.Sprintf("for i := range %s {\n\tk := i/c*2*c + i%%c\n%s\n}", x, indented(lines, "\t"))
}

// square is a Winograd transform.
func square(matrix, in, out string) string {
	return fmt.Sprintf("for k := range grid.N {\n\ty := %s x %s' // x [%s][%s] at Src, of number k of each vector\n"+
		"\tfor i := range %s {\n\t\tfor j := range %s {\n\t\t\tDst[i][j][k] = y[i][j] // and Bias[k] in "+
		"winogradOutput\n\t\t}\n\t}\n}",
		matrix, matrix, in, in, out, out)
}

// declaration is the Go declaration of a kernel with its loop, which is that of inGo[base]. M there is m, how many
// rows a tile kernel computes.
func declaration(base, name, signature string, m int) string {
	text, ok := inGo[base]
	if !ok {
		panic("gen: no loop for " + base)
	}
	text = strings.ReplaceAll(text, "range M ", fmt.Sprintf("range %d ", m))
	return fmt.Sprintf("// %s computes\n//\n//\t%s\n//\n//go:noescape\nfunc %s%s\n", name,
		strings.ReplaceAll(text, "\n", "\n//\t"), name, signature)
}
