package picture

import (
	"bytes"
	"encoding/binary"
	"image"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	tiffs "golang.org/x/image/tiff"
)

// field is an entry of a TIFF directory for tests: the values as bytes, or a directory.
type field struct {
	tag, kind uint16
	count     uint32
	values    []byte
	inner     []field
}

// tiffOrder writes numbers in one of both orders.
type tiffOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

var tiffOrders = map[string]tiffOrder{"II": binary.LittleEndian, "MM": binary.BigEndian}

// describedTIFF is a grey picture of 9x8 pixels, 7 in its middle, with further fields in its directory. It does not
// use what it tests.
func describedTIFF(mark string, fields ...field) []byte {
	order := tiffOrders[mark]
	b := order.AppendUint16([]byte(mark), 42)
	b = order.AppendUint32(b, 8+72)
	pixels := make([]byte, 72)
	pixels[4*9+4] = 7
	b = append(b, pixels...)
	short := func(tag, v uint16) field { return field{tag, 3, 1, order.AppendUint16(nil, v), nil} }
	long := func(tag uint16, v uint32) field { return field{tag, 4, 1, order.AppendUint32(nil, v), nil} }
	all := append([]field{short(256, 9), short(257, 8), short(258, 8), short(259, 1), short(262, 1), long(273, 8),
		short(277, 1), short(278, 8), long(279, 72)}, fields...)
	return withDirectory(b, order, all)
}

func withDirectory(b []byte, order tiffOrder, list []field) []byte {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b field) int { return int(a.tag) - int(b.tag) })
	b = order.AppendUint16(b, uint16(len(list)))
	at := len(b)
	b = append(b, make([]byte, 12*len(list)+4)...)
	for i, f := range list {
		e := at + 12*i
		order.PutUint16(b[e:], f.tag)
		order.PutUint16(b[e+2:], f.kind)
		order.PutUint32(b[e+4:], f.count)
		switch {
		case f.inner != nil:
			order.PutUint32(b[e+8:], uint32(len(b)))
			b = withDirectory(b, order, f.inner)
		case len(f.values) > 4:
			order.PutUint32(b[e+8:], uint32(len(b)))
			b = append(b, f.values...)
		default:
			copy(b[e+8:], f.values)
		}
	}
	return b
}

// TestDescribedTIFF: what a TIFF file's own directory tells comes out in PNG and JPEG, in both byte orders.
func TestDescribedTIFF(t *testing.T) {
	profile := append(make([]byte, 16), "GRAYXYZ and more than four bytes"...)
	for mark, order := range tiffOrders {
		text := func(tag uint16, s string) field { return field{tag, 2, uint32(len(s) + 1), append([]byte(s), 0), nil} }
		ratio := func(tag uint16, a, b uint32) field {
			return field{tag, 5, 1, order.AppendUint32(order.AppendUint32(nil, a), b), nil}
		}
		data := describedTIFF(mark, text(tagDescription, "a grey picture"), text(tagMake, "Mk"), text(tagModel, "Model 7"),
			text(tagDateTime, "2020:01:02 03:04:05"), text(tagArtist, "somebody"), text(tagCopyright, "of somebody"),
			ratio(tagXResolution, 600, 2), ratio(tagYResolution, 150, 1),
			field{tagUnit, 3, 1, order.AppendUint16(nil, 2), nil},
			field{tagOrientation, 3, 1, order.AppendUint16(nil, 6), nil},
			field{tagICC, 7, uint32(len(profile)), profile, nil},
			field{tagEXIF, 4, 1, nil, []field{ratio(33434, 1, 60), text(tagMakerNote, "points elsewhere"),
				{34855, 3, 1, order.AppendUint16(nil, 400), nil}}},
			field{tagGPS, 4, 1, nil, []field{text(1, "N")}})
		p := decode(t, data)
		require.Equal(t, [2]int{8, 9}, [2]int{p.W, p.H})
		require.Equal(t, profile, p.Meta.ICC)
		require.Equal(t, [2]uint32{5906, 11811}, p.Meta.PerMetre, "turned")
		dir := t.TempDir()
		for _, name := range []string{"a.png", "a.jpg"} {
			require.NoError(t, Save(filepath.Join(dir, name), p))
			q, err := Load(filepath.Join(dir, name))
			require.NoError(t, err)
			require.Equal(t, p.Meta, q.Meta, name)
			require.Equal(t, [2]int{8, 9}, [2]int{q.W, q.H}, "upright")
		}
		block, ok := openTIFF(p.Meta.EXIF)
		require.True(t, ok)
		require.Equal(t, order, block.order)
		value := func(d tiff, tag uint16) string {
			at, kind, n := d.find(tag)
			require.NotZero(t, at, tag)
			return string(d.data[at : at+int(n*sizes[kind])])
		}
		for tag, want := range map[uint16]string{tagDescription: "a grey picture", tagMake: "Mk", tagModel: "Model 7",
			tagDateTime: "2020:01:02 03:04:05", tagArtist: "somebody", tagCopyright: "of somebody"} {
			require.Equal(t, want+"\x00", value(block, tag))
		}
		require.Equal(t, 8, block.n, "and no tag of how the pixels lie, or how it was turned")
		at, _ := block.number(tagEXIF)
		exif, ok := block.directory(at)
		require.True(t, ok)
		require.InDelta(t, 1.0/60, exif.rational(33434), 1e-9)
		iso, _ := exif.number(34855)
		require.Equal(t, uint32(400), iso)
		require.Equal(t, 2, exif.n, "maker notes would point elsewhere")
		at, _ = block.number(tagGPS)
		gps, ok := block.directory(at)
		require.True(t, ok)
		require.Equal(t, "N\x00", value(gps, 1))
	}
}

// hostileTIFFs are files whose directories point to themselves, into each other, beyond the file, or to too much.
func hostileTIFFs() (files [][]byte) {
	for mark, order := range tiffOrders {
		pointer := func(tag uint16, to uint32) field { return field{tag, 4, 1, order.AppendUint32(nil, to), nil} }
		first := uint32(8 + 72)
		files = append(files,
			describedTIFF(mark, pointer(tagEXIF, first)),
			describedTIFF(mark, pointer(tagEXIF, first), pointer(tagGPS, first)),
			describedTIFF(mark, pointer(tagEXIF, 1<<32-1), pointer(tagGPS, 1<<31)),
			describedTIFF(mark, field{tagEXIF, 4, 1 << 31, order.AppendUint32(nil, first), nil}),
			describedTIFF(mark, field{tagICC, 7, 1<<32 - 1, order.AppendUint32(nil, 8), nil},
				field{tagArtist, 2, 1<<32 - 1, order.AppendUint32(nil, 1<<32-1), nil},
				field{tagCopyright, 12, 1<<32 - 1, order.AppendUint32(nil, 0), nil},
				field{tagMake, 99, 3, []byte("abc"), nil}, field{tagModel, 2, 0, nil, nil}))
		long := bytes.Repeat([]byte("x"), 70000)
		many := make([]field, 3000)
		for i := range many {
			many[i] = field{uint16(i), 7, 60, long[:60], nil}
		}
		files = append(files, describedTIFF(mark, field{tagArtist, 2, 70000, long, nil},
			field{tagEXIF, 4, 1, nil, many}))
	}
	return files
}

// TestHostileTIFF: what points nowhere is left out, and nothing grows beyond what a JPEG holds.
func TestHostileTIFF(t *testing.T) {
	for i, data := range hostileTIFFs() {
		p := decode(t, data)
		require.Equal(t, [2]int{9, 8}, [2]int{p.W, p.H}, i)
		require.LessOrEqual(t, len(p.Meta.EXIF), mostEXIF, i)
		require.Nil(t, p.Meta.ICC, i)
		require.NoError(t, EncodePNG(&bytes.Buffer{}, p))
		require.NoError(t, EncodeJPEG(&bytes.Buffer{}, p))
	}
	var plain bytes.Buffer
	require.NoError(t, tiffs.Encode(&plain, image.NewGray(image.Rect(0, 0, 9, 9)), nil))
	require.Nil(t, decode(t, plain.Bytes()).Meta.EXIF, "it tells nothing")
}

// FuzzDescribedTIFF: any directory gives an EXIF block that is one, and no panic.
func FuzzDescribedTIFF(f *testing.F) {
	for _, data := range hostileTIFFs() {
		if len(data) < 5000 {
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		info := inspect(data, "tiff")
		require.LessOrEqual(t, len(info.EXIF), mostEXIF+100)
		if info.EXIF != nil {
			block, ok := openTIFF(info.EXIF)
			require.True(t, ok)
			require.Zero(t, block.next())
		}
		require.True(t, info.orientation >= 1 && info.orientation <= 8)
	})
}
