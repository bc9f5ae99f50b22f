package client_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"

	"psld/psld/client"
	"psld/psld/picture"
	"psld/psld/prior"
	"psld/psld/server"
)

// Restore a picture over the network. The server is one of this process here; elsewhere URL is the address that
// `psld serve` prints.
func Example() {
	dir, err := os.MkdirTemp("", "psld")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	s, err := server.New(server.Options{Data: dir, Models: []server.Model{{
		Model: client.Model{Name: "tiny", Kind: "latent"},
		Open:  func(context.Context, bool) (prior.Prior, error) { return prior.RandomTiny(1), nil },
	}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close(context.Background())
	web := httptest.NewServer(s.Handler())
	defer web.Close()

	var noisy bytes.Buffer
	if err := picture.EncodePNG(&noisy, picture.New(32, 32)); err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	c := &client.Client{URL: web.URL}
	job, err := c.Create(ctx, client.Input{Picture: &noisy}, client.JobOptions{Task: "denoise", Quality: "preview"})
	if err != nil {
		fmt.Println(err)
		return
	}
	job, err = c.Wait(ctx, job.ID, func(j *client.Job) {}) // j.Step of j.Steps is done
	if err != nil {
		fmt.Println(err)
		return
	}
	var restored bytes.Buffer
	if err := c.Picture(ctx, &restored, job.ID, "result", 0); err != nil {
		fmt.Println(err)
		return
	}
	x, err := picture.Decode(&restored)
	fmt.Println(job.State, x.W, x.H, err)
	// Output: done 32 32 <nil>
}
