package picture

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	tiffs "golang.org/x/image/tiff"

	"psld/internal/memstat"
	"psld/psld/operator"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	var b bytes.Buffer
	require.NoError(t, png.Encode(&b, img))
	return b.Bytes()
}

func decode(t testing.TB, b []byte) *Picture {
	p, err := Decode(bytes.NewReader(b))
	require.NoError(t, err)
	return p
}

// TestDecodeKinds: one known pixel at (3, 5) through every colour model.
func TestDecodeKinds(t *testing.T) {
	r := image.Rect(0, 0, 9, 11)
	palette := color.Palette{color.Black, color.NRGBA{10, 20, 30, 255}, color.NRGBA{10, 20, 30, 0}}
	want := func(r, g, b, a float64) [4]float64 { return [4]float64{r, g, b, a} }
	level := func(v float64) [4]float64 { return want(v/65535, v/65535, v/65535, 1) }
	tests := map[string]struct {
		img  interface{ Set(x, y int, c color.Color) }
		c    color.Color
		want [4]float64 // 0..1, not premultiplied
		grey bool
	}{
		"grey":   {image.NewGray(r), color.Gray{200}, [4]float64{200. / 255, 200. / 255, 200. / 255, 1}, true},
		"grey16": {image.NewGray16(r), color.Gray16{12345}, level(12345), true},
		"nrgba":  {image.NewNRGBA(r), color.NRGBA{1, 2, 3, 128}, want(1./255, 2./255, 3./255, 128./255), false},
		"under":  {image.NewNRGBA(r), color.NRGBA{10, 20, 30, 0}, want(10./255, 20./255, 30./255, 0), false},
		"nrgba64": {image.NewNRGBA64(r), color.NRGBA64{1, 2000, 65535, 40000},
			want(1./65535, 2000./65535, 1, 40000./65535), false},
		"palette":       {image.NewPaletted(r, palette), palette[1], want(10./255, 20./255, 30./255, 1), false},
		"palette under": {image.NewPaletted(r, palette), palette[2], want(10./255, 20./255, 30./255, 0), false},
	}
	for name, tt := range tests {
		tt.img.Set(3, 5, tt.c)
		if pal, ok := tt.img.(*image.Paletted); ok {
			pal.SetColorIndex(3, 5, uint8(map[bool]int{true: 2, false: 1}[name == "palette under"]))
		}
		p := decode(t, encodePNG(t, tt.img.(image.Image)))
		require.Equal(t, [2]int{9, 11}, [2]int{p.W, p.H})
		i := 5*9 + 3
		for c := range 3 {
			require.InDelta(t, 2*tt.want[c]-1, p.Pix[3*i+c], 1e-7, name)
		}
		if tt.want[3] < 1 {
			require.InDelta(t, tt.want[3], p.Alpha[i], 1e-7, name)
		}
		require.Equal(t, tt.grey, p.Grey, name)
	}
}

// losslessWebP is a 8x9 picture: red 255|16 split at x=4, green 255|32 split at y=4, blue 64, the last pixel half
// clear.
const losslessWebP = "5249464640000000574542505650384c340000002f070002102720104852d91f720d810061c17fa404032420213c" +
	"97e5e24f04201104012429ac30c20cfb63bd4244ff03a4ddda37"

func TestDecodeWebP(t *testing.T) {
	b, err := hex.DecodeString(losslessWebP)
	require.NoError(t, err)
	p := decode(t, b)
	require.Equal(t, [2]int{8, 9}, [2]int{p.W, p.H})
	for i := range 72 {
		x, y := i%8, i/8
		want := [3]float32{-1 + 32./255, -1 + 64./255, -1 + 128./255}
		if x < 4 {
			want[0] = 1
		}
		if y < 4 {
			want[1] = 1
		}
		require.InDeltaSlice(t, want[:], p.Pix[3*i:3*i+3], 1e-6)
	}
	require.InDelta(t, 128./255, p.Alpha[71], 1e-6)
}

// exifJPEG puts an EXIF block with an orientation behind the start marker of a JPEG.
func exifJPEG(jpg []byte, o uint16, order binary.AppendByteOrder) []byte {
	tiff := map[binary.AppendByteOrder]string{binary.LittleEndian: "II", binary.BigEndian: "MM"}[order]
	b := order.AppendUint16([]byte(tiff), 42)
	b = order.AppendUint32(b, 8)
	b = order.AppendUint16(b, 1) // one entry: tag, type SHORT, count 1, value
	b = order.AppendUint16(b, 0x112)
	b = order.AppendUint16(b, 3)
	b = order.AppendUint32(b, 1)
	b = order.AppendUint16(b, o)
	b = order.AppendUint16(b, 0)
	b = order.AppendUint32(b, 0)
	app := append([]byte("Exif\x00\x00"), b...)
	out := append([]byte{}, jpg[:2]...)
	out = append(out, 0xff, 0xe1)
	out = binary.BigEndian.AppendUint16(out, uint16(len(app)+2))
	return append(append(out, app...), jpg[2:]...)
}

// TestOrientation: for each EXIF orientation the stored rows and columns are laid out as the standard words it ("the
// 0th row is the visual ..., the 0th column the visual ..."); decoding gives the visual picture back.
func TestOrientation(t *testing.T) {
	const w, h, block = 3, 2, 16 // visual picture of blocks
	shade := func(x, y int) uint8 { return uint8(30 + 40*(y*w+x)) }
	words := []struct{ row0, col0 string }{
		{"top", "left"}, {"top", "right"}, {"bottom", "right"}, {"bottom", "left"},
		{"left", "top"}, {"right", "top"}, {"right", "bottom"}, {"left", "bottom"},
	}
	for o, word := range words {
		sw, sh := w, h
		if o >= 4 {
			sw, sh = h, w
		}
		img := image.NewGray(image.Rect(0, 0, sw*block, sh*block))
		for py := range sh * block {
			for px := range sw * block {
				var x, y int
				for side, k := range map[string]int{word.row0: py / block, word.col0: px / block} {
					switch side {
					case "top":
						y = k
					case "bottom":
						y = h - 1 - k
					case "left":
						x = k
					case "right":
						x = w - 1 - k
					}
				}
				img.SetGray(px, py, color.Gray{shade(x, y)})
			}
		}
		var buf bytes.Buffer
		require.NoError(t, jpeg.Encode(&buf, img, &jpeg.Options{Quality: 95}))
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			p := decode(t, exifJPEG(buf.Bytes(), uint16(o+1), order))
			require.Equal(t, [2]int{w * block, h * block}, [2]int{p.W, p.H}, "orientation %d", o+1)
			require.True(t, p.Grey)
			for y := range h {
				for x := range w {
					i := (y*block+block/2)*p.W + x*block + block/2
					require.InDelta(t, float64(shade(x, y))/127.5-1, p.Pix[3*i], 0.03,
						"orientation %d at %d,%d", o+1, x, y)
				}
			}
		}
		// An orientation out of range and a broken block leave the picture as it is stored.
		p := decode(t, exifJPEG(buf.Bytes(), 77, binary.BigEndian))
		require.Equal(t, sw*block, p.W)
	}
	q := &Picture{W: 2, H: 1, Pix: make([]float32, 6), Alpha: []float32{0, 1}}
	require.Equal(t, []float32{1, 0}, q.upright(8).Alpha)
}

func TestDecodeErrors(t *testing.T) {
	good := encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 20, 20)))
	huge := append([]byte{}, good...)
	binary.BigEndian.PutUint32(huge[16:], 10000)
	binary.BigEndian.PutUint32(huge[20:], 6001)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	var g, j bytes.Buffer
	require.NoError(t, gif.Encode(&g, image.NewPaletted(image.Rect(0, 0, 20, 20), color.Palette{color.Black}), nil))
	noise := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(i * i)
	}
	require.NoError(t, jpeg.Encode(&j, noise, nil))
	tests := map[string][]byte{
		"not a PNG, JPEG, WebP, TIFF, BMP or GIF":                  []byte("hello, this is no picture"),
		"not a PNG, JPEG, WebP, TIFF, BMP or GIF ":                 nil,
		"truncated or damaged gif picture":                         g.Bytes()[:g.Len()-4],
		"it is an AVIF picture, which is not read: save it as PNG": []byte("\x00\x00\x00\x20ftypavif\x00\x00\x00\x00"),
		"it is a HEIC picture":                                     []byte("\x00\x00\x00\x20ftypheic\x00\x00\x00\x00"),
		"camera's RAW " +
			"file": []byte("II*\x00\x08\x00\x00\x00\x01\x00\xfe\x00\x04\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00"),
		"truncated or damaged png picture":         good[:len(good)-30],
		"truncated or damaged picture":             good[:20],
		"truncated or damaged jpeg picture":        j.Bytes()[:j.Len()/2],
		"10000x6001: at most 60 megapixels":        huge,
		"7x300: each side must be at least 8 pixe": encodePNG(t, image.NewGray(image.Rect(0, 0, 7, 300))),
	}
	dir := t.TempDir()
	for want, data := range tests {
		path := filepath.Join(dir, "x.png")
		require.NoError(t, os.WriteFile(path, data, 0o600))
		_, err := Load(path)
		require.ErrorContains(t, err, strings.TrimSpace(want))
		require.ErrorContains(t, err, "x.png")
	}
	_, err := Load(filepath.Join(dir, "none.jpg"))
	require.ErrorContains(t, err, "none.jpg")
	_, err = Load(dir)
	require.Error(t, err)
}

// TestSaveRounds: values go to the nearest byte, and what was loaded from bytes is saved as the same bytes.
func TestSaveRounds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.png")
	p := New(16, 16)
	for i := range p.Pix {
		p.Pix[i] = float32(i%256)/127.5 - 1 + 0.0035*float32(i%3-1) // off by up to 0.45 of a step
	}
	p.Pix[0], p.Pix[1], p.Pix[2] = 7, -7, float32(math.NaN())
	require.NoError(t, Save(path, p))
	q, err := Load(path)
	require.NoError(t, err)
	for i, v := range q.Pix {
		if i > 2 {
			require.InDelta(t, float64(i%256)/127.5-1, v, 1e-6)
		}
	}
	require.Equal(t, []float32{1, -1, -1}, q.Pix[:3])
	require.NoError(t, Save(path, q))
	again, err := Load(path)
	require.NoError(t, err)
	require.Equal(t, q, again)
	files, err := os.ReadDir(filepath.Dir(path))
	require.NoError(t, err)
	require.Len(t, files, 1) // no temporary file left
}

func TestSaveKinds(t *testing.T) {
	dir := t.TempDir()
	p := New(20, 10)
	p.Grey = true
	p.Pix[0], p.Pix[1], p.Pix[2] = 0.5, 0.5, 0.5
	require.NoError(t, Save(filepath.Join(dir, "g.png"), p))
	q, err := Load(filepath.Join(dir, "g.png"))
	require.NoError(t, err)
	require.True(t, q.Grey)
	require.InDelta(t, 0.5, q.Pix[2], 1/254.)

	p.Alpha = make([]float32, 200)
	p.Alpha[0] = 1
	require.NoError(t, Save(filepath.Join(dir, "a.png"), p))
	q, err = Load(filepath.Join(dir, "a.png"))
	require.NoError(t, err)
	require.Equal(t, p.Alpha, q.Alpha)
	require.NoError(t, Save(filepath.Join(dir, "a.JPG"), p)) // transparent black shows the white below
	q, err = Load(filepath.Join(dir, "a.JPG"))
	require.NoError(t, err)
	require.Nil(t, q.Alpha)
	require.InDelta(t, 1, q.Pix[3*150], 0.03)

	require.ErrorContains(t, Save(filepath.Join(dir, "a.gif"), p), `".gif", use .png or .jpg`)
	err = Save(filepath.Join(dir, "no", "such", "a.png"), p)
	require.ErrorContains(t, err, "cannot write")
	require.ErrorContains(t, err, "a.png")
	p.Pix = p.Pix[1:]
	require.ErrorContains(t, Save(filepath.Join(dir, "b.png"), p), "does not fit 599 values")
	require.ErrorContains(t, Save(filepath.Join(dir, "b.png"), nil), "no picture")
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 3)
}

// TestText walks the chunks of a saved PNG.
func TestText(t *testing.T) {
	var b bytes.Buffer
	value := "a café\nSteps: 200, Seed: 42"
	require.NoError(t, EncodePNG(&b, New(9, 9), Text{"parameters", value}, Text{"title", "Łódź"}))
	decode(t, b.Bytes()) // CRCs are right
	var kinds []string
	for rest := b.Bytes()[8:]; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		body := rest[8 : 8+n]
		require.Equal(t, binary.BigEndian.Uint32(rest[8+n:]), crc32.ChecksumIEEE(rest[4:8+n]))
		kinds = append(kinds, string(rest[4:8]))
		switch string(rest[4:8]) {
		case "tEXt":
			require.Equal(t, "parameters\x00"+strings.Replace(value, "é", "\xe9", 1), string(body))
		case "iTXt":
			require.Equal(t, "title\x00\x00\x00\x00\x00Łódź", string(body))
		}
		rest = rest[12+n:]
	}
	require.Equal(t, "IHDR tEXt iTXt IDAT IEND", strings.Join(kinds, " "))
	for _, bad := range []Text{{"", "x"}, {strings.Repeat("k", 80), "x"}, {"a\x00", "x"}, {"a", "x\x00"}} {
		require.Error(t, EncodePNG(&b, New(9, 9), bad))
	}
}

func TestMask(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "m.png")
	write := func(img image.Image) { require.NoError(t, os.WriteFile(path, encodePNG(t, img), 0o600)) }
	grey := image.NewGray(image.Rect(0, 0, 12, 8))
	copy(grey.Pix, []uint8{0, 127, 128, 255})
	write(grey)
	keep, note, err := LoadMask(path, 12, 8, false)
	require.NoError(t, err)
	require.Equal(t, []bool{true, true, false, false, true}, keep[:5]) // white = repaint
	require.Empty(t, note)
	keep, _, err = LoadMask(path, 12, 8, true)
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true, true, false}, keep[:5])
	_, _, err = LoadMask(path, 8, 12, false)
	require.ErrorContains(t, err, "m.png")
	require.ErrorContains(t, err, "mask is 12x8, the picture is 8x12")

	rgba := image.NewNRGBA(image.Rect(0, 0, 12, 8)) // transparent = repaint, whatever the colour
	for i := range rgba.Pix {
		rgba.Pix[i] = 255
	}
	rgba.Pix[3], rgba.Pix[7], rgba.Pix[11] = 0, 127, 128
	write(rgba)
	keep, note, err = LoadMask(path, 12, 8, false)
	require.NoError(t, err)
	require.Equal(t, []bool{false, false, true, true}, keep[:4])
	require.Contains(t, note, "colours do not count")

	for i := range 96 { // opaque: white and black count
		v := uint8(255 * (i % 2))
		copy(rgba.Pix[4*i:], []uint8{v, v, v, 255})
	}
	rgba.Pix[3], rgba.Pix[7] = 250, 240
	write(rgba)
	keep, note, err = LoadMask(path, 12, 8, false)
	require.NoError(t, err)
	require.Empty(t, note)
	require.Equal(t, []bool{true, false, true, false}, keep[:4])

	for i := range 96 { // a red photo with a white stroke
		copy(rgba.Pix[4*i:], []uint8{200, 60, 40, 255})
	}
	copy(rgba.Pix, []uint8{255, 255, 255})
	write(rgba)
	_, _, err = LoadMask(path, 12, 8, false)
	require.ErrorContains(t, err, "99 % of its pixels are coloured")
	for i := range grey.Pix {
		grey.Pix[i] = uint8(60 + i)
	}
	write(grey)
	_, _, err = LoadMask(path, 12, 8, false)
	require.ErrorContains(t, err, "of its pixels are grey")
	_, _, err = LoadMask(filepath.Join(dir, "none.png"), 8, 8, false)
	require.ErrorContains(t, err, "none.png")
}

func TestResizeAndCrop(t *testing.T) {
	p := New(12, 8)
	for i := range p.Pix {
		p.Pix[i] = float32(i/3%12)/12 - 0.5
	}
	p.Alpha = make([]float32, 96)
	q, err := CropCentre(p, 3, 2)
	require.NoError(t, err)
	require.Equal(t, p.Pix[3*(3*12+4):3*(3*12+7)], q.Pix[:9])
	require.Len(t, q.Alpha, 6)
	_, err = CropCentre(p, 13, 2)
	require.ErrorContains(t, err, "cannot crop 13x2 out of 12x8")

	q, err = Resize(p, 6, 4, operator.Area)
	require.NoError(t, err)
	require.Equal(t, [2]int{6, 4}, [2]int{q.W, q.H})
	require.InDelta(t, (p.Pix[0]+p.Pix[3])/2, q.Pix[0], 1e-6)
	require.Len(t, q.Alpha, 24)
	_, err = Resize(p, 0, 4, operator.Area)
	require.ErrorContains(t, err, "resize to 0x4")
	for i := range p.Pix {
		p.Pix[i] = float32(2*(i/3/6%2) - 1)
	}
	q, err = Resize(p, 48, 8, operator.CubicSmall)
	require.NoError(t, err)
	for _, v := range q.Pix {
		require.True(t, v >= -1 && v <= 1)
	}
}

// TestCover: circles stay circles, whatever the shape of the result.
func TestCover(t *testing.T) {
	p := New(581, 218)
	for i := range p.W * p.H {
		x, y := float64(i%p.W)-290, float64(i/p.W)-108.5
		if math.Hypot(x, y) < 80 {
			p.Pix[3*i], p.Pix[3*i+1], p.Pix[3*i+2] = 1, 1, 1
		}
	}
	for _, size := range [][2]int{{576, 192}, {256, 256}, {581, 218}} {
		q, err := Cover(p, size[0], size[1], operator.Area)
		require.NoError(t, err)
		require.Equal(t, size, [2]int{q.W, q.H})
		var n, xx, yy float64
		for i := range q.W * q.H {
			x, y, v := float64(i%q.W)-float64(q.W-1)/2, float64(i/q.W)-float64(q.H-1)/2, float64(q.Pix[3*i]+1)/2
			n, xx, yy = n+v, xx+v*x*x, yy+v*y*y
		}
		require.InDelta(t, 1, math.Sqrt(xx/yy), 0.02, "%v", size)
		scale := math.Max(float64(size[0])/581, float64(size[1])/218)
		require.InDelta(t, math.Pi*80*80*scale*scale, n, 0.03*n, "%v", size)
	}
}

func TestSheetAndGrid(t *testing.T) {
	big, small := New(64, 64), New(16, 16)
	sheet, err := Sheet([]Panel{{"truth", "", big}, {"measurement", "16x16\nsigma 0.05", small}, {"x", "", big}}, 2)
	require.NoError(t, err)
	require.Greater(t, sheet.W, 2*256)
	require.Greater(t, sheet.H, 2*256)
	// The black panels cover 3*256*256 pixels, enlarged to the cells; the rest is light.
	black := 0
	for i := 0; i < len(sheet.Pix); i += 3 {
		if sheet.Pix[i] == -1 {
			black++
		}
	}
	require.Equal(t, 3*256*256, black)
	_, err = Sheet(nil, 0)
	require.ErrorContains(t, err, "at least one panel")
	_, err = Sheet([]Panel{{Title: "lost"}}, 0)
	require.ErrorContains(t, err, `no picture (panel 0, "lost")`)
	_, err = Sheet([]Panel{{strings.Repeat("a very long title ", 20), "", small}}, 0)
	require.NoError(t, err)

	g, err := Grid([]*Picture{big, big, big}, 2)
	require.NoError(t, err)
	require.Equal(t, [2]int{2 + 2*66, 2 + 2*66}, [2]int{g.W, g.H})
	require.Equal(t, float32(-1), g.Pix[3*(2*g.W+2)])
	_, err = Grid([]*Picture{big, small}, 2)
	require.ErrorContains(t, err, "picture 1 is 16x16, the first is 64x64")
	_, err = Grid(nil, 2)
	require.Error(t, err)
}

// FuzzDecode: no input may panic, and what decodes has a size that fits and saves again.
func FuzzDecode(f *testing.F) {
	img := image.NewNRGBA(image.Rect(0, 0, 9, 9))
	img.Pix[3] = 7
	f.Add(encodePNG(f, img))
	f.Add(encodePNG(f, image.NewPaletted(image.Rect(0, 0, 9, 9), color.Palette{color.Black, color.White})))
	var b bytes.Buffer
	require.NoError(f, jpeg.Encode(&b, img, nil))
	f.Add(exifJPEG(b.Bytes(), 6, binary.LittleEndian))
	w, err := hex.DecodeString(losslessWebP)
	require.NoError(f, err)
	f.Add(w)
	for _, name := range []string{"anim.webp", "exif6.webp", "icc.jpg", "icc.png", "g16.png"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		require.NoError(f, err)
		f.Add(b)
	}
	var other bytes.Buffer
	require.NoError(f, tiffs.Encode(&other, img, nil))
	f.Add(other.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if cfg, _, err := image.DecodeConfig(bytes.NewReader(data)); err == nil && cfg.Width*cfg.Height > 1<<16 {
			t.Skip("too slow to fuzz")
		}
		p, err := Decode(bytes.NewReader(data))
		if err != nil {
			return
		}
		require.NoError(t, p.check())
		require.Len(t, p.Mask(false), p.W*p.H)
		require.NoError(t, EncodePNG(&bytes.Buffer{}, p, Text{"parameters", fmt.Sprintf("%q", data)}))
	})
}

// TestSteps: the steps of a JPEG of quality 50 are the table of the standard (T.81, table K.1), turned with the
// picture.
func TestSteps(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 24, 16))
	var file bytes.Buffer
	require.NoError(t, jpeg.Encode(&file, img, &jpeg.Options{Quality: 50}))
	p, err := Decode(bytes.NewReader(file.Bytes()))
	require.NoError(t, err)
	require.NotNil(t, p.Steps)
	for at, want := range map[int]float64{0: 16, 1: 11, 2: 10, 7: 61, 8: 12, 9: 12, 16: 14, 56: 72, 57: 92, 63: 99} {
		require.InDelta(t, want/127.5, p.Steps[at], 1e-9, "%d", at)
	}
	turned := p.upright(6)
	require.InDelta(t, 61/127.5, turned.Steps[56], 1e-9)
	require.InDelta(t, 72/127.5, turned.Steps[7], 1e-9)
	file.Reset()
	require.NoError(t, EncodePNG(&file, p))
	p, err = Decode(&file)
	require.NoError(t, err)
	require.Nil(t, p.Steps)
}

func TestRoom(t *testing.T) {
	require.NoError(t, room(image.Config{Width: 1999, Height: 2000}))
	if _, free := memstat.System(); free > 0 {
		require.ErrorContains(t, room(image.Config{Width: 1 << 24, Height: 1 << 24}), "GiB are available")
	}
}
