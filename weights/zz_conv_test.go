package weights_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"psld/weights"
)

func TestZZConv(t *testing.T) {
	os.RemoveAll("/tmp/wconv")
	os.MkdirAll("/tmp/wconv", 0o755)
	ctx := context.Background()
	m, err := weights.OpenModelWith("../../shared/golden/tiny-sd/compvis/model.safetensors", weights.Options{Heads: 4, TextHeads: 4})
	require.NoError(t, err)
	m.TokenizerDir = "../../shared/golden/tiny-sd/diffusers/tokenizer"
	require.NoError(t, weights.SaveDiffusers(ctx, "/tmp/wconv/folder", m, weights.SaveOptions{}))
	m.TokenizerDir = ""
	require.NoError(t, weights.SaveDiffusers(ctx, "/tmp/wconv/notok", m, weights.SaveOptions{DType: weights.F32}))
	require.NoError(t, weights.SaveSingle(ctx, "/tmp/wconv/single.safetensors", m, weights.SaveOptions{DType: weights.F32}))
	fmt.Print(m.Summary())
	l, err := weights.OpenModel(writeLDM(t, ldmEntries()))
	require.NoError(t, err)
	require.NoError(t, weights.SaveDiffusers(ctx, "/tmp/wconv/ldm", l, weights.SaveOptions{}))
	fmt.Print(l.Summary())
}
