// Package weights reads and writes model weights: safetensors files, the two
// key layouts of Stable Diffusion 1.x (a diffusers folder, or one CompVis
// file), and the checks that stand between a file and a network.
//
// [Open] reads one file, [OpenModel] a whole model. A network loads from a
// [Source], which hands out float32 tensors by their diffusers name and checks
// shape and values on the way. [Write] stores tensors.
//
// Nothing in a file is trusted: a damaged or hostile file gives one error that
// names the file and the tensor, never a panic.
package weights
