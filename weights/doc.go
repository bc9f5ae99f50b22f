// Package weights reads and writes model weights: safetensors files and
// checkpoints of PyTorch, the two key layouts of Stable Diffusion 1.x (a
// diffusers folder, or one CompVis file), the unconditional models of the
// latent-diffusion repository, and the checks that stand between a file and a
// network.
//
// [Open] reads one file, [OpenModel] a whole model, [OpenVAE] an autoencoder
// alone; [FindModel] looks a model up in the Hugging Face cache. A network loads
// from a [Source], which hands out float32 tensors by their diffusers name and
// checks shape and values on the way. [Write] stores tensors, [SaveSingle] and
// [SaveDiffusers] a model in either layout.
//
// Nothing in a file is trusted: a damaged or hostile file gives one error that
// names the file and the tensor, never a panic, and no code in it is ever run.
package weights
