package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/image/bmp"
	tiffs "golang.org/x/image/tiff"
)

func load(t *testing.T, name string) *Picture {
	p, err := Load(filepath.Join("testdata", name))
	require.NoError(t, err)
	return p
}

// bytesAt is a pixel on the scale of bytes.
func bytesAt(p *Picture, x, y int) []float64 {
	c := p.ToImage().At(x, y)
	r, g, b, _ := c.RGBA()
	return []float64{float64(r >> 8), float64(g >> 8), float64(b >> 8)}
}

// TestLossyWebP: what libwebp makes of a lossy file of even patches (read by Pillow): the range of its numbers is that
// of video.
func TestLossyWebP(t *testing.T) {
	p := load(t, "solid.webp")
	require.True(t, p.Lossy)
	require.True(t, load(t, "icc.jpg").Lossy)
	for i, want := range [][]float64{{255, 255, 255}, {0, 255, 1}, {199, 151, 101}} {
		require.InDeltaSlice(t, want, bytesAt(p, []int{0, 224, 447}[i], 32), 1.01)
	}
	for _, c := range [][6]uint8{{235, 128, 128, 255, 255, 255}, {16, 128, 128, 0, 0, 0}, {255, 128, 128, 255, 255, 255},
		{126, 128, 128, 128, 128, 128}} {
		r, g, b := limited(c[0], c[1], c[2])
		require.Equal(t, [3]uint8(c[3:]), [3]uint8{r, g, b})
	}
}

// TestOrientationBehindPad: a chunk of odd length is followed by a pad byte, and an orientation may be a LONG.
func TestOrientationBehindPad(t *testing.T) {
	p := load(t, "exif6.webp")
	require.False(t, p.Lossy)
	require.Equal(t, [2]int{64, 96}, [2]int{p.W, p.H})
	// As stored, red grows along x: 0, 128, 255. Turned by orientation 6 it grows downwards.
	require.InDeltaSlice(t, []float64{0, 129, 40}, bytesAt(p, 31, 0), 2)
	require.InDeltaSlice(t, []float64{255, 129, 40}, bytesAt(p, 31, 95), 2)

	b, err := os.ReadFile("testdata/icc.jpg")
	require.NoError(t, err)
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		jpg := exifJPEG(b, 6, order)
		at := bytes.Index(jpg, order.AppendUint16(nil, 0x112))
		order.(binary.ByteOrder).PutUint16(jpg[at+2:], 4) // LONG
		order.(binary.ByteOrder).PutUint32(jpg[at+8:], 6)
		p := decode(t, jpg)
		require.Equal(t, [2]int{64, 96}, [2]int{p.W, p.H})
		info := inspect(append([]byte("\xff\xd8"), p.appendSegments(nil)...), "jpeg")
		require.Equal(t, 1, info.orientation, "the result is upright")
		require.NotEmpty(t, info.EXIF)
	}
}

// TestCarry: profile, EXIF and resolution come out of either format as they went in.
func TestCarry(t *testing.T) {
	dir := t.TempDir()
	a, b := load(t, "icc.jpg"), load(t, "icc.png")
	require.Len(t, a.Meta.ICC, 588) // as Pillow reads it
	require.Equal(t, a.Meta.ICC, b.Meta.ICC)
	a.Meta.PerMetre = [2]uint32{11811, 5906} // 300 and 150 an inch
	tiffBlock := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x0f\x01\x02\x00\x04\x00\x00\x00abc\x00\x00\x00\x00\x00")
	a.Meta.EXIF = tiffBlock
	for _, name := range []string{"a.png", "a.jpg"} {
		path := filepath.Join(dir, name)
		require.NoError(t, Save(path, a))
		q, err := Load(path)
		require.NoError(t, err)
		require.Equal(t, a.Meta, q.Meta, name)
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		_, _, err = image.Decode(bytes.NewReader(data))
		require.NoError(t, err)
	}
	// A profile of colours makes a grey picture one of three channels; one of grey makes a coloured one none.
	a.Grey = true
	require.IsType(t, &image.NRGBA{}, a.ToImage())
	a.Grey = false
	copy(a.Meta.ICC[16:], "GRAY")
	require.NoError(t, Save(filepath.Join(dir, "b.png"), a))
	q, err := Load(filepath.Join(dir, "b.png"))
	require.NoError(t, err)
	require.Nil(t, q.Meta.ICC)
}

func TestSixteenBits(t *testing.T) {
	p := load(t, "g16.png")
	require.True(t, p.Deep && p.Grey)
	var buf bytes.Buffer
	require.NoError(t, EncodePNG(&buf, p))
	got, err := png.Decode(&buf)
	require.NoError(t, err)
	f, err := os.Open("testdata/g16.png")
	require.NoError(t, err)
	defer f.Close()
	want, err := png.Decode(f)
	require.NoError(t, err)
	require.Equal(t, want, got)

	img := image.NewNRGBA64(image.Rect(0, 0, 9, 9))
	for i := range img.Pix {
		img.Pix[i] = byte(i * 37)
	}
	buf.Reset()
	require.NoError(t, EncodePNG(&buf, FromImage(img)))
	got, err = png.Decode(&buf)
	require.NoError(t, err)
	require.Equal(t, img, got)
}

// TestFrames: of an animation the first frame, on its canvas, with a word.
func TestFrames(t *testing.T) {
	p := load(t, "anim.webp")
	require.Equal(t, [2]int{96, 64}, [2]int{p.W, p.H})
	require.InDeltaSlice(t, []float64{0, 130, 35}, bytesAt(p, 0, 32), 6) // as Pillow reads it
	require.InDeltaSlice(t, []float64{255, 128, 43}, bytesAt(p, 95, 32), 6)
	require.Contains(t, p.Note, "first frame")

	small := image.NewPaletted(image.Rect(2, 3, 6, 7), color.Palette{color.White})
	g := &gif.GIF{Image: []*image.Paletted{small, small}, Delay: []int{1, 1},
		Config: image.Config{Width: 12, Height: 10, ColorModel: color.Palette{color.White}}}
	var buf bytes.Buffer
	require.NoError(t, gif.EncodeAll(&buf, g))
	p = decode(t, buf.Bytes())
	require.Contains(t, p.Note, "first frame")
	require.Equal(t, [2]int{12, 10}, [2]int{p.W, p.H})
	for i, a := range p.Alpha {
		inside := image.Pt(i%12, i/12).In(small.Rect)
		require.Equal(t, inside, a == 1, i)
	}
	g.Image, g.Delay = g.Image[:1], g.Delay[:1]
	buf.Reset()
	require.NoError(t, gif.EncodeAll(&buf, g))
	require.Empty(t, decode(t, buf.Bytes()).Note)
}

func TestOtherFormats(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 9, 8))
	for i := range img.Pix {
		img.Pix[i] = byte(40 * i)
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	want := FromImage(img)
	var b bytes.Buffer
	require.NoError(t, bmp.Encode(&b, img))
	require.Equal(t, want.Pix, decode(t, b.Bytes()).Pix)
	b.Reset()
	require.NoError(t, tiffs.Encode(&b, img, &tiffs.Options{Compression: tiffs.Deflate}))
	p := decode(t, b.Bytes())
	require.Equal(t, want.Pix, p.Pix)
	require.Equal(t, [2]uint32{2835, 2835}, p.Meta.PerMetre) // the encoder writes 72 dots an inch
	deep := image.NewGray16(image.Rect(0, 0, 9, 8))
	deep.Pix[5] = 77
	b.Reset()
	require.NoError(t, tiffs.Encode(&b, deep, nil))
	require.True(t, decode(t, b.Bytes()).Deep)
}

// TestColourChunks: what a PNG says of its colours without a profile is kept by a PNG, in front of the pixels, each
// kind once.
func TestColourChunks(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 9, 8))
	file := encodePNG(t, img)
	const head = 8 + 25
	var chunks []byte
	chunks = appendChunk(chunks, "cICP", []byte{9, 16, 0, 1})
	chunks = appendChunk(chunks, "gAMA", []byte{0, 1, 0x86, 0xa0})
	chunks = appendChunk(chunks, "cHRM", make([]byte, 32))
	twice := appendChunk(bytes.Clone(chunks), "gAMA", []byte{0, 0, 0, 1})
	p := decode(t, slices.Concat(file[:head], twice, file[head:]))
	require.Equal(t, chunks, p.Meta.PNGColours)
	var out bytes.Buffer
	require.NoError(t, EncodePNG(&out, p))
	require.Equal(t, chunks, out.Bytes()[head:head+len(chunks)])
	require.Equal(t, p.Meta, decode(t, out.Bytes()).Meta)
}

// TestBehindEnd: chunks behind a PNG's end are not carried; the decoder does not look at their checksums.
func TestBehindEnd(t *testing.T) {
	file := encodePNG(t, image.NewNRGBA(image.Rect(0, 0, 9, 8)))
	broken := appendChunk(nil, "gAMA", []byte{0, 0, 0, 1})
	broken[len(broken)-1]++
	require.Equal(t, Meta{}, decode(t, slices.Concat(file, broken)).Meta)
}

// TestQuickPNG: a large picture is packed quickly, a small one well, and both hold what they were made of.
func TestQuickPNG(t *testing.T) {
	p := uneven(64, 64)
	for _, level := range []png.CompressionLevel{png.DefaultCompression, png.BestSpeed} {
		var got, want bytes.Buffer
		require.NoError(t, EncodePNG(&got, p))
		require.NoError(t, (&png.Encoder{CompressionLevel: level}).Encode(&want, p.ToImage()))
		require.True(t, bytes.Equal(want.Bytes(), got.Bytes()))
		require.Equal(t, p.ToImage(), decode(t, got.Bytes()).ToImage())
		p = uneven(1<<11, quickPNG>>11+1)
	}
}

// uneven is a picture of which one packing is smaller than another one.
func uneven(w, h int) *Picture {
	p := New(w, h)
	for i := range p.Pix {
		p.Pix[i] = float32(i/3%w*(i/3/w)%(7+i%3))/7 - 0.9
	}
	return p
}

// TestBMPResolution: pixels a metre stand in the header.
func TestBMPResolution(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, bmp.Encode(&b, image.NewNRGBA(image.Rect(0, 0, 9, 8))))
	file := b.Bytes()
	binary.LittleEndian.PutUint32(file[38:], 11811)
	binary.LittleEndian.PutUint32(file[42:], 5906)
	require.Equal(t, [2]uint32{11811, 5906}, decode(t, file).Meta.PerMetre)
	binary.LittleEndian.PutUint32(file[38:], 1<<32-11811) // they have a sign
	require.Equal(t, [2]uint32{}, decode(t, file).Meta.PerMetre)
}

// TestKinds: what is not read of a format that is read is told from what is damaged.
func TestKinds(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, tiffs.Encode(&b, image.NewGray(image.Rect(0, 0, 9, 8)), nil))
	file := b.Bytes()
	d, ok := openTIFF(file)
	require.True(t, ok)
	for tag, v := range map[uint16]uint32{tagCompression: 7, tagPhotometric: 8} { // JPEG, Lab
		other := bytes.Clone(file)
		at, kind, _ := d.find(tag)
		tiff{data: other, order: d.order}.set(at, kind, v)
		_, err := Decode(bytes.NewReader(other))
		require.ErrorContains(t, err, "of a kind that is not read")
	}
	_, err := Decode(bytes.NewReader(file[:len(file)/2]))
	require.ErrorContains(t, err, "damaged")
	for mark, order := range tiffOrders { // channels one after the other
		short := func(tag, v uint16) field { return field{tag, 3, 1, order.AppendUint16(nil, v), nil} }
		three := field{258, 3, 3, bytes.Repeat(order.AppendUint16(nil, 8), 3), nil}
		at := field{273, 4, 3, slices.Repeat(order.AppendUint32(nil, 8), 3), nil}
		long := field{279, 4, 3, slices.Repeat(order.AppendUint32(nil, 72), 3), nil}
		data := append(order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8+72), make([]byte, 72)...)
		_, err = Decode(bytes.NewReader(withDirectory(data, order, []field{short(256, 9), short(257, 8), three,
			short(259, 1), short(262, 2), at, short(277, 3), short(278, 8), long, short(tagPlanar, 2)})))
		require.ErrorContains(t, err, "of a kind that is not read")
	}
	_, err = Decode(bytes.NewReader([]byte("II+\x00\x08\x00\x00\x00")))
	require.ErrorContains(t, err, "a BigTIFF, which is not read")
}

// TestFax: a fax has white runs in front, and its 0 is what the file says it is, as in libtiff: eight rows of eight
// white pixels (T.6: vertical mode 0, a bit of 1 a row).
func TestFax(t *testing.T) {
	for zero, want := range map[uint16]float32{0: 1, 1: -1} {
		for mark, order := range tiffOrders {
			short := func(tag, v uint16) field { return field{tag, 3, 1, order.AppendUint16(nil, v), nil} }
			data := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 12)
			data = append(data, 0xff, 0x00, 0x10, 0x01) // eight rows, and the end
			data = withDirectory(data, order, []field{short(256, 8), short(257, 8), short(258, 1), short(259, 4),
				short(262, zero), short(273, 8), short(277, 1), short(278, 8), short(279, 4)})
			for _, v := range decode(t, data).Pix {
				require.Equal(t, want, v)
			}
		}
	}
}
