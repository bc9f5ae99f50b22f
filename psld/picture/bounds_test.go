package picture

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/jpeg"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A JPEG of many scans makes little data much work: it is refused before it is decoded.
func TestScans(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = byte(rand.IntN(256))
	}
	var b bytes.Buffer
	require.NoError(t, jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}))
	data := b.Bytes()
	require.Greater(t, bytes.Count(data, []byte{0xff, 0}), 3) // codes that look like the begin of a segment
	require.Equal(t, 1, scans(data))
	start := bytes.Index(data, []byte{0xff, 0xda})
	scan := data[start : len(data)-2]
	many := append(bytes.Clone(data[:start]), bytes.Repeat(scan, 501)...)
	require.Equal(t, 501, scans(many))
	_, err := Decode(bytes.NewReader(append(many, 0xff, 0xd9)))
	require.ErrorContains(t, err, "500 scans")
	for n := range 200 { // cut off anywhere
		require.LessOrEqual(t, scans(data[:len(data)*n/200]), 1)
	}
}

// Of several colour profiles in a PNG the first is read, and the others are not unpacked.
func TestOneProfile(t *testing.T) {
	var packed [2]bytes.Buffer
	for i := range packed {
		z := zlib.NewWriter(&packed[i])
		_, err := z.Write(bytes.Repeat([]byte{byte('a' + i)}, 40))
		require.NoError(t, err)
		require.NoError(t, z.Close())
	}
	chunk := func(kind string, body []byte) []byte {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
		b = append(append(b, kind...), body...)
		return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
	}
	whole := encodePNG(t, image.NewGray(image.Rect(0, 0, 9, 9)))
	const head = 8 + 25 // signature and IHDR
	data := bytes.Clone(whole[:head])
	for i := range packed {
		data = append(data, chunk("iCCP", append([]byte("name\x00\x00"), packed[i].Bytes()...))...)
	}
	p := decode(t, append(data, whole[head:]...))
	require.Equal(t, bytes.Repeat([]byte("a"), 40), p.Meta.ICC)
}
