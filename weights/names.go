package weights

import (
	"fmt"
	"slices"
	"strings"
)

// The parts of a model, named as the folders of the diffusers layout.
const (
	UNetPart = "unet"
	VAEPart  = "vae"
	TextPart = "text_encoder"
)

// Layout is the geometry on which the numbering of blocks in the CompVis
// layout depends.
type Layout struct {
	UNetAttention []bool // one per resolution, finest first: has it attention?
	SelfAttention bool   // the UNet attends to itself only, as in an unconditional LDM
	UNetLayers    int    // residual blocks per resolution on the way down
	VAELevels     int    // resolutions
	VAELayers     int    // residual blocks per resolution in the encoder
}

// SD15 is the layout of Stable Diffusion 1.x.
var SD15 = Layout{
	UNetAttention: []bool{true, true, true, false}, UNetLayers: 2,
	VAELevels: 4, VAELayers: 2,
}

// Names translates tensor names between the diffusers layout (a folder per
// part) and the CompVis layout (one file). Make it with [NewNames].
//
// Both directions come from one table of module names. A name is translated by
// its longest prefix in the table; what follows is the same in both layouts.
//
// One module of an LDM has no twin in diffusers: "qkv" holds what to_q, to_k
// and to_v are there, and is called to_qkv here.
type Names struct {
	toDiffusers, toCompVis map[string]string
}

// NewNames makes the table for a layout.
func NewNames(l Layout) *Names {
	n := &Names{map[string]string{}, map[string]string{}}
	n.addUNet(l)
	n.addVAE(l)
	n.add("cond_stage_model.transformer.text_model", TextPart+"/text_model")
	return n
}

func (n *Names) add(compvis, diffusers string) {
	n.toDiffusers[compvis] = diffusers
	n.toCompVis[diffusers] = compvis
}

// addTable adds rows of (CompVis, diffusers) below two prefixes.
func (n *Names) addTable(compvis, diffusers string, rows [][2]string) {
	for _, r := range rows {
		n.add(compvis+"."+r[0], diffusers+r[1])
	}
}

var unetOutside = [][2]string{
	{"time_embed.0", "time_embedding.linear_1"}, {"time_embed.2", "time_embedding.linear_2"},
	{"input_blocks.0.0", "conv_in"}, {"out.0", "conv_norm_out"}, {"out.2", "conv_out"},
}

var unetResnet = [][2]string{
	{"in_layers.0", ".norm1"}, {"in_layers.2", ".conv1"}, {"emb_layers.1", ".time_emb_proj"},
	{"out_layers.0", ".norm2"}, {"out_layers.3", ".conv2"}, {"skip_connection", ".conv_shortcut"},
}

// Of an LDM. A transformer block's modules are named alike in both layouts.
var unetSelfAttention = [][2]string{{"norm", ".group_norm"}, {"qkv", ".to_qkv"}, {"proj_out", ".to_out.0"}}

// addUNet numbers the blocks as CompVis does: input_blocks and output_blocks
// count residual blocks and down-samplers through all resolutions; the second
// number of a name is the place inside such a block.
func (n *Names) addUNet(l Layout) {
	const cv, df = "model.diffusion_model", UNetPart + "/"
	n.addTable(cv, df, unetOutside)
	resnet := func(cvBlock, dfBlock string, j int) {
		n.addTable(cv+"."+cvBlock, fmt.Sprintf("%s%s.resnets.%d", df, dfBlock, j), unetResnet)
	}
	attention := func(cvBlock, dfBlock string, j int) {
		dfBlock = fmt.Sprintf("%s%s.attentions.%d", df, dfBlock, j)
		if l.SelfAttention {
			n.addTable(cv+"."+cvBlock, dfBlock, unetSelfAttention)
		} else {
			n.add(cv+"."+cvBlock, dfBlock)
		}
	}
	resnet("middle_block.0", "mid_block", 0)
	attention("middle_block.1", "mid_block", 0)
	resnet("middle_block.2", "mid_block", 1)

	levels := len(l.UNetAttention)
	for i, hasAttention := range l.UNetAttention {
		down := fmt.Sprintf("down_blocks.%d", i)
		first := 1 + i*(l.UNetLayers+1)
		for j := range l.UNetLayers {
			block := fmt.Sprintf("input_blocks.%d", first+j)
			resnet(block+".0", down, j)
			if hasAttention {
				attention(block+".1", down, j)
			}
		}
		if i < levels-1 {
			n.add(fmt.Sprintf("%s.input_blocks.%d.0.op", cv, first+l.UNetLayers), df+down+".downsamplers.0.conv")
		}
	}
	for i := range levels { // coarsest first, one residual block more than on the way down
		hasAttention := l.UNetAttention[levels-1-i]
		up := fmt.Sprintf("up_blocks.%d", i)
		for j := range l.UNetLayers + 1 {
			block := fmt.Sprintf("output_blocks.%d", i*(l.UNetLayers+1)+j)
			resnet(block+".0", up, j)
			place := 1
			if hasAttention {
				attention(block+".1", up, j)
				place = 2
			}
			if j == l.UNetLayers && i < levels-1 {
				n.add(fmt.Sprintf("%s.%s.%d.conv", cv, block, place), df+up+".upsamplers.0.conv")
			}
		}
	}
}

var vaeResnet = [][2]string{
	{"norm1", ".norm1"}, {"conv1", ".conv1"}, {"norm2", ".norm2"}, {"conv2", ".conv2"}, {"nin_shortcut",
		".conv_shortcut"},
}

var vaeAttention = [][2]string{
	{"norm", ".group_norm"}, {"q", ".to_q"}, {"k", ".to_k"}, {"v", ".to_v"}, {"proj_out", ".to_out.0"},
}

// addVAE: the decoder's resolutions are numbered from the finest in CompVis and
// from the coarsest in diffusers.
func (n *Names) addVAE(l Layout) {
	const cv, df = "first_stage_model", VAEPart + "/"
	n.addTable(cv, df, [][2]string{
		{"quant_conv", "quant_conv"}, {"post_quant_conv", "post_quant_conv"},
		{"quantize.embedding", "quantize.embedding"}, // of a VQModel
	})
	for _, half := range []string{"encoder", "decoder"} {
		cv, df := cv+"."+half, df+half+"."
		n.addTable(cv, df, [][2]string{{"conv_in", "conv_in"}, {"norm_out", "conv_norm_out"}, {"conv_out", "conv_out"}})
		n.addTable(cv+".mid.block_1", df+"mid_block.resnets.0", vaeResnet)
		n.addTable(cv+".mid.attn_1", df+"mid_block.attentions.0", vaeAttention)
		n.addTable(cv+".mid.block_2", df+"mid_block.resnets.1", vaeResnet)
	}
	resnets := func(cvLevel, dfLevel string, count int) {
		for j := range count {
			n.addTable(fmt.Sprintf("%s.block.%d", cvLevel, j), fmt.Sprintf("%s.resnets.%d", dfLevel, j), vaeResnet)
		}
	}
	for i := range l.VAELevels {
		down, downDf := fmt.Sprintf("%s.encoder.down.%d", cv, i), fmt.Sprintf("%sencoder.down_blocks.%d", df, i)
		resnets(down, downDf, l.VAELayers)
		up, upDf := fmt.Sprintf("%s.decoder.up.%d", cv, l.VAELevels-1-i), fmt.Sprintf("%sdecoder.up_blocks.%d", df, i)
		resnets(up, upDf, l.VAELayers+1)
		if i < l.VAELevels-1 {
			n.add(down+".downsample.conv", downDf+".downsamplers.0.conv")
			n.add(up+".upsample.conv", upDf+".upsamplers.0.conv")
		}
	}
}

// translate replaces the longest prefix of name, up to a dot, that is in table.
func translate(table map[string]string, name string) (string, bool) {
	for end := strings.LastIndexByte(name, '.'); end > 0; end = strings.LastIndexByte(name[:end], '.') {
		if to, ok := table[name[:end]]; ok {
			return to + name[end:], true
		}
	}
	return "", false
}

// Diffusers gives the part and the diffusers name of a CompVis tensor; ok is
// false for one that the diffusers layout does not have (schedule buffers).
func (n *Names) Diffusers(compvis string) (part, name string, ok bool) {
	full, ok := translate(n.toDiffusers, compvis)
	if !ok {
		return "", "", false
	}
	part, name, _ = strings.Cut(full, "/")
	return part, name, true
}

// CompVis gives the CompVis name of a diffusers tensor of a part. The older
// names of the VAE's attention are taken as well.
func (n *Names) CompVis(part, name string) (compvis string, ok bool) {
	return translate(n.toCompVis, part+"/"+canonical(part, name))
}

// legacy are the names that attention without a context had before diffusers
// 0.13: that of a VAE and of an LDM's UNet.
var legacy = strings.NewReplacer(
	".query.", ".to_q.", ".key.", ".to_k.", ".value.", ".to_v.", ".proj_attn.", ".to_out.0.",
)

// textModules are what "text_model." has in it; some tools leave that out.
var textModules = []string{"embeddings.", "encoder.", "final_layer_norm."}

// canonical gives the present-day diffusers name of a tensor.
func canonical(part, name string) string {
	if part != TextPart && strings.Contains(name, ".attentions.") {
		return legacy.Replace(name)
	}
	if part == TextPart && slices.ContainsFunc(textModules, func(m string) bool { return strings.HasPrefix(name, m) }) {
		return "text_model." + name
	}
	return name
}

// maxCount is more than the levels, and the layers of one level, of any model;
// a hostile file may claim so many that a table of their names fills the memory.
const maxCount = 64

// count is how many of the names with 0, 1, 2.. filled into format exist.
func count(has func(string) bool, format string) int {
	for i := range maxCount {
		if !has(fmt.Sprintf(format, i)) {
			return i
		}
	}
	return maxCount
}

// layoutOf reads the geometry off the names of a CompVis file.
func layoutOf(has func(compvis string) bool) Layout {
	const blocks = "model.diffusion_model.input_blocks.%d"
	l := Layout{
		SelfAttention: has("model.diffusion_model.middle_block.1.qkv.weight"),
		VAELevels:     count(has, "first_stage_model.encoder.down.%d.block.0.conv1.weight"),
		VAELayers:     count(has, "first_stage_model.encoder.down.0.block.%d.conv1.weight"),
	}
	attention := blocks + ".1.proj_in.weight"
	if l.SelfAttention {
		attention = blocks + ".1.qkv.weight"
	}
	// Residual blocks have in_layers, down-samplers have op.
	for l.UNetLayers < maxCount && has(fmt.Sprintf(blocks+".0.in_layers.0.weight", 1+l.UNetLayers)) {
		l.UNetLayers++
	}
	for i := 1; len(l.UNetAttention) < maxCount &&
		has(fmt.Sprintf(blocks+".0.in_layers.0.weight", i)); i += l.UNetLayers + 1 {
		l.UNetAttention = append(l.UNetAttention, has(fmt.Sprintf(attention, i)))
	}
	return l
}

// layout reads the geometry off the diffusers names of a model.
func (m *Model) layout() Layout {
	l := Layout{
		SelfAttention: m.UNet.Has("mid_block.attentions.0.to_q.weight"),
		UNetLayers:    count(m.UNet.Has, "down_blocks.0.resnets.%d.conv1.weight"),
		VAELevels:     count(m.VAE.Has, "encoder.down_blocks.%d.resnets.0.conv1.weight"),
		VAELayers:     count(m.VAE.Has, "encoder.down_blocks.0.resnets.%d.conv1.weight"),
	}
	attention := "down_blocks.%d.attentions.0.proj_in.weight"
	if l.SelfAttention {
		attention = "down_blocks.%d.attentions.0.to_q.weight"
	}
	for i := range count(m.UNet.Has, "down_blocks.%d.resnets.0.conv1.weight") {
		l.UNetAttention = append(l.UNetAttention, m.UNet.Has(fmt.Sprintf(attention, i)))
	}
	return l
}

// notWeights are parts of a CompVis training checkpoint that no network needs.
var notWeights = []string{
	"model_ema.", "first_stage_model.loss.", "betas", "alphas_", "sqrt_", "log_one_minus_",
	"posterior_", "logvar", "lvlb_weights", "model.betas", vMarker, zeroSNRMarker,
}

// ignored tells names that never belong to a network: copies of the training,
// schedule buffers (they are computed), and what CLIP has beside the text
// encoder: the buffer position_ids, and the projection to its common space.
func ignored(name string) bool {
	switch name[strings.LastIndexByte("."+name, '.'):] {
	case "position_ids", "logit_scale", "text_projection":
		return true
	}
	return strings.HasSuffix("."+name, ".text_projection.weight") ||
		slices.ContainsFunc(notWeights, func(p string) bool { return strings.HasPrefix(name, p) })
}
