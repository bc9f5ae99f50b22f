package picture

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxText is how many bytes the texts of a PNG may have in all, unpacked.
const maxText = 4 << 20

const pngSignature = "\x89PNG\r\n\x1a\n"

// Texts reads the texts of a PNG file (chunks tEXt, zTXt and iTXt) in their order; values are UTF-8. Another file than
// a PNG has none. Damaged texts, and more than 4 MiB of them, are errors that name the file.
func Texts(path string) ([]Text, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	defer f.Close()
	texts, err := ReadTexts(f)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return texts, nil
}

// ReadTexts is Texts of what r gives.
func ReadTexts(r io.Reader) (texts []Text, err error) {
	if r == nil {
		return nil, errors.New("r is nil, want a reader")
	}
	in := bufio.NewReader(r)
	head := make([]byte, len(pngSignature))
	if _, err := io.ReadFull(in, head); err != nil || string(head) != pngSignature {
		return nil, nil
	}
	left := maxText
	for {
		var h [8]byte // length, kind
		if _, err := io.ReadFull(in, h[:]); err == io.EOF {
			return texts, nil // without an end, as some programs leave it
		} else if err != nil {
			return nil, errors.New("the PNG is cut off")
		}
		n, kind := int64(binary.BigEndian.Uint32(h[:])), string(h[4:])
		switch kind {
		case "IEND":
			return texts, nil
		case "tEXt", "zTXt", "iTXt":
		default:
			if m, err := io.CopyN(io.Discard, in, n+4); err != nil || m != n+4 {
				return nil, errors.New("the PNG is cut off")
			}
			continue
		}
		if n > int64(left) {
			return nil, fmt.Errorf("its texts have more than %d MiB", maxText>>20)
		}
		body := make([]byte, n+4)
		if _, err := io.ReadFull(in, body); err != nil {
			return nil, errors.New("the PNG is cut off")
		}
		sum := binary.BigEndian.Uint32(body[n:])
		if body = body[:n]; crc32.Update(crc32.ChecksumIEEE(h[4:]), crc32.IEEETable, body) != sum {
			return nil, fmt.Errorf("a text (chunk %s) is damaged", kind)
		}
		t, err := textOf(kind, body, left)
		if err != nil {
			return nil, fmt.Errorf("a text (chunk %s): %w", kind, err)
		}
		if left -= max(len(body), len(t.Value)); left < 0 {
			return nil, fmt.Errorf("its texts have more than %d MiB", maxText>>20)
		}
		texts = append(texts, t)
	}
}

// textOf reads the body of a chunk (PNG specification 11.3.3), whose value may have most bytes.
func textOf(kind string, body []byte, most int) (t Text, err error) {
	wrong := errors.New("it is not as the format has it")
	key, body, ok := bytes.Cut(body, []byte{0})
	if !ok || len(key) == 0 || len(key) > 79 {
		return t, wrong
	}
	t.Key = fromLatin1(key)
	packed := kind == "zTXt"
	switch kind {
	case "zTXt":
		if len(body) < 1 || body[0] != 0 { // method
			return t, wrong
		}
		body = body[1:]
	case "iTXt":
		if len(body) < 2 || body[0] > 1 || body[0] == 1 && body[1] != 0 {
			return t, wrong
		}
		packed = body[0] == 1
		_, rest, ok := bytes.Cut(body[2:], []byte{0}) // language
		if _, body, _ = bytes.Cut(rest, []byte{0}); !ok || !bytes.Contains(rest, []byte{0}) {
			return t, wrong
		}
	}
	if packed {
		z, err := zlib.NewReader(bytes.NewReader(body))
		if err != nil {
			return t, fmt.Errorf("it cannot be unpacked: %w", err)
		}
		if body, err = io.ReadAll(io.LimitReader(z, int64(most)+1)); err != nil {
			return t, fmt.Errorf("it cannot be unpacked: %w", err)
		}
		if len(body) > most {
			return t, fmt.Errorf("it has more than %d MiB", maxText>>20)
		}
	}
	switch {
	case kind != "iTXt":
		t.Value = fromLatin1(body)
	case !utf8.Valid(body):
		return t, wrong
	default:
		t.Value = string(body)
	}
	return t, nil
}

// fromLatin1 decodes ISO 8859-1.
func fromLatin1(b []byte) string {
	var s strings.Builder
	for _, c := range b {
		s.WriteRune(rune(c))
	}
	return s.String()
}
