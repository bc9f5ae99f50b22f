package train

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/mat"
	"gonum.org/v1/gonum/stat"

	"psld/tensor"
	"psld/vae"
)

// TestStartFromPCA: before any training, the error of the autoencoder on the patches that it was made from is the sum
// of the eigenvalues of their covariance that it leaves out.
func TestStartFromPCA(t *testing.T) {
	photos, err := LoadPhotos(64, fakePhotos(t, 6, 96))
	require.NoError(t, err)
	m := vae.New(vae.Config{InChannels: 3, LatentChannels: 5, BlockOutChannels: []int{16}, LayersPerBlock: 1,
		ScalingFactor: 1, PatchSize: 2})
	m.Params.Init(3)
	zeroLayers(m.Params, "conv2.")
	require.NoError(t, startFromPCA(m, photos, 7))

	x := photos.Batch(rand.New(rand.NewPCG(7, 0)), 256, 64)
	rows := patches(x, 2)
	var cov mat.SymDense
	stat.CovarianceMatrix(&cov, rows, nil)
	var eig mat.EigenSym
	require.True(t, eig.Factorize(&cov, false))
	want := 0.0
	for _, v := range eig.Values(nil)[:7] { // ascending: 12 - 5 are left out
		want += v / 12
	}
	part := tensor.From(x.Data, x.Shape...)
	task := &vaeTask{model: m}
	y, z := task.reconstruct(part)
	got := 0.0
	for i, v := range y {
		d := float64(v - x.Data[i])
		got += d * d / float64(len(y))
	}
	require.Len(t, z, 256*32*32*5)
	require.InEpsilon(t, want, got, 1e-3)

	m = vae.New(vae.Config{InChannels: 3, LatentChannels: 13, BlockOutChannels: []int{32}, LayersPerBlock: 1,
		ScalingFactor: 1, PatchSize: 2})
	require.ErrorContains(t, startFromPCA(m, photos, 7), "13 latent channels")
}
