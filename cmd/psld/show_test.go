package main

import (
	"bytes"
	"encoding/base64"
	"image"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi/sixel"
	"github.com/stretchr/testify/require"

	"psld/psld/picture"
)

// TestShow: what terminals are sent is the picture.
func TestShow(t *testing.T) {
	p := picture.New(40, 24)
	for i := range p.Pix {
		p.Pix[i] = float32(i%7)/3 - 1
	}
	drawn := func(kind string) string {
		var b bytes.Buffer
		s := &screen{w: &b, kind: kind}
		require.NoError(t, s.show(p))
		require.True(t, strings.HasSuffix(b.String(), "\r\n"))
		return b.String()
	}
	decoded := func(text string) *picture.Picture {
		data, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		q, err := picture.Decode(bytes.NewReader(data))
		require.NoError(t, err)
		return q
	}
	var want bytes.Buffer
	require.NoError(t, picture.EncodePNG(&want, p))
	same, err := picture.Decode(&want)
	require.NoError(t, err)

	var chunks strings.Builder
	for _, m := range regexp.MustCompile(`\x1b_G[^;]*;([^\x1b]*)\x1b\\`).FindAllStringSubmatch(drawn("kitty"), -1) {
		chunks.WriteString(m[1])
	}
	require.Equal(t, same.Pix, decoded(chunks.String()).Pix)

	m := regexp.MustCompile(`\x1b\]1337;File=([^:]*):([^\x07]*)\x07`).FindStringSubmatch(drawn("iterm2"))
	require.Len(t, m, 3)
	require.Contains(t, m[1], "inline=1")
	require.Equal(t, same.Pix, decoded(m[2]).Pix)

	text := drawn("sixel")
	body := text[strings.IndexByte(text, 'q')+1 : strings.LastIndex(text, "\x1b\\")]
	img, err := new(sixel.Decoder).Decode(strings.NewReader(body))
	require.NoError(t, err)
	require.True(t, image.Rect(0, 0, 40, 24).In(img.Bounds()), img.Bounds())

	grey := picture.New(16, 16)
	for i := range grey.Pix {
		grey.Pix[i] = 1
	}
	var b bytes.Buffer
	s := &screen{w: &b, kind: "blocks"}
	require.NoError(t, s.show(grey))
	const white = "\x1b[38;2;255;255;255m\x1b[48;2;255;255;255m▀"
	require.Equal(t, strings.Repeat(strings.Repeat(white, 40)+"\x1b[0m\r\n", 20), b.String())
}

func TestTerminalKind(t *testing.T) {
	for env, want := range map[string]string{"TERM=xterm-kitty": "kitty", "TERM_PROGRAM=iTerm.app": "iterm2",
		"TERM=foot": "sixel", "TERM=xterm-256color": "blocks", "TERM=dumb": "", "TERM=xterm NO_COLOR=1": "",
		"TERM=xterm-kitty NO_COLOR=1": "kitty",
		"TERM=screen TMUX=x":          "blocks"} {
		values := map[string]string{}
		for _, pair := range strings.Fields(env) {
			name, value, _ := strings.Cut(pair, "=")
			values[name] = value
		}
		require.Equal(t, want, terminalKind(func(name string) string { return values[name] }), env)
	}
}

func TestRestoreShow(t *testing.T) {
	at := filepath.Join(t.TempDir(), "in.png")
	writePicture(t, at, 24, 20)
	args := []string{"restore", "--task", "denoise", "--in", at, "--method", "tv", "--out", at + ".png"}
	_, stderr := must(t, append(args, "--show")...) // no terminal
	require.NotContains(t, stderr, "\x1b")
	_, stderr = must(t, append(args, "--show=blocks")...)
	require.Contains(t, stderr, "▀")
	require.NotContains(t, pngTexts(t, at+".png")["psld"], "show")
	require.Contains(t, failure(t, append(args, "--show=paper")...), "want auto, kitty")
}
