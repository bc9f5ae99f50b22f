package bench

import (
	"slices"

	"psld/tensor"
)

// Groups of operations that share a bar, and the directions that follow their names.
const (
	groupLinear      = "matrix product"
	groupConv        = "convolution"
	groupConvThin    = "convolution, 3 or 4 channels"
	groupFused       = "product with its epilogue"
	groupUnfused     = "product, then the same"
	groupAttention   = "attention"
	groupNorm        = "norms, softmax"
	groupElementwise = "element-wise"

	forward    = ""
	gradInput  = ", to the input"
	gradWeight = ", to the weights"
	backward   = ", backward"
)

const (
	epsUNet, epsVAE  = 1e-5, 1e-6
	groupsOfChannels = 32 // of group norms
)

// cases is the list of problems: the shapes of SD 1.5 for 512 x 512 pixels (latent 64 x 64), or a few
// small ones of them.
func cases(quick bool) []problem {
	same, one := tensor.SameConv(3), tensor.Conv{KH: 1, KW: 1, Stride: 1}
	down, downVAE, up := same, tensor.Conv{KH: 3, KW: 3, Stride: 2, PadBottom: 1, PadRight: 1}, same
	down.Stride, up.Upsample = 2, true
	if quick {
		return []problem{
			linear(64, 1280, 1280, true), conv(8, 1280, 1280, same, false), conv(16, 64, 64, down, true),
			attention(8, 256, 256, 160), attention(8, 256, 77, 160),
			groupNormOp(16, 16, 1280, true, epsUNet), layerNormOp(256, 1280), softmaxOp(512, 256),
			epilogues("Linear", "GEGLU", "64x320x2560", 1, 64, 320, 2560, one, tensor.Epilogue{GEGLU: true}, false),
			unary("SiLU", tensor.SiLU, 16, 1280), geglu(256, 1280), add(256, 1280), conversions(1 << 18),
		}
	}
	linears := []problem{
		linear(4096, 320, 320, true), linear(4096, 320, 1280, true), linear(4096, 320, 2560, true), linear(4096,
			1280, 320, true),
		linear(1024, 640, 640, true), linear(1024, 640, 5120, true), linear(1024, 2560, 640, true),
		linear(256, 1280, 1280, true), linear(256, 1280, 10240, true), linear(256, 5120, 1280, true),
		linear(64, 1280, 1280, true),
		linear(77, 768, 320, true), linear(77, 768, 640, true), linear(77, 768, 1280, true), // keys and values of the prompt
		linear(77, 768, 768, false), linear(77, 768, 3072, false), // the text encoder
	}
	convs := []problem{
		conv(64, 4, 320, same, false),
		conv(64, 320, 320, same, true), conv(64, 960, 320, same, false),
		conv(32, 640, 640, same, true), conv(32, 1920, 640, same, false),
		conv(16, 1280, 1280, same, true), conv(16, 2560, 1280, same, true),
		conv(8, 1280, 1280, same, true), conv(8, 2560, 1280, same, false),
		conv(64, 320, 320, down, true), conv(32, 640, 640, down, false), conv(16, 1280, 1280, down, false),
		conv(8, 1280, 1280, up, false), conv(16, 1280, 1280, up, false), conv(32, 640, 640, up, false),
		conv(64, 960, 320, one, true), conv(32, 1920, 640, one, false), conv(16, 2560, 1280, one, false),
		// The VAE.
		conv(64, 512, 512, same, false), conv(128, 512, 512, same, false), conv(256, 256, 256, same,
			false), conv(512, 128, 128, same, false),
		conv(512, 3, 128, same, false), conv(512, 128, 3, same, false),
		conv(512, 128, 128, downVAE, false), conv(128, 512, 512, up, false), conv(256, 512, 256, one, false),
	}
	attentions := []problem{
		attention(8, 4096, 4096, 40), attention(8, 1024, 1024, 80), attention(8, 256, 256, 160), attention(8, 64, 64, 160),
		attention(8, 4096, 77, 40), attention(8, 1024, 77, 80), attention(8, 256, 77, 160),
		attention(1, 4096, 4096, 512),
	}
	rest := []problem{
		groupNormOp(64, 64, 320, true, epsUNet), groupNormOp(32, 32, 640, true, epsUNet), groupNormOp(16, 16, 1280,
			true, epsUNet),
		groupNormOp(64, 64, 320, false, epsUNet),
		groupNormOp(64, 64, 512, true, epsVAE), groupNormOp(256, 256, 256, true, epsVAE), groupNormOp(512, 512, 128,
			true, epsVAE),
		layerNormOp(4096, 320), layerNormOp(1024, 640), layerNormOp(256, 1280),
		softmaxOp(4096, 4096), softmaxOp(32768, 77),
		unary("SiLU", tensor.SiLU, 4096, 320), unary("SiLU", tensor.SiLU, 262144, 128),
		unary("GELU", tensor.GELU, 4096, 1280), unary("Exp", tensor.Exp, 4096, 1280),
		geglu(4096, 1280), geglu(1024, 2560),
		add(4096, 320), add(262144, 128), addChannels(4096, 320), concat(4096, 640, 320),
		conversions(4096 * 320), conversions(1 << 25),
	}
	residual, gated, sigmoid := tensor.Epilogue{}, tensor.Epilogue{GEGLU: true}, tensor.Epilogue{Func: tensor.SiLU}
	fused := []problem{
		epilogues("Linear", "Add", "4096x320x320", 1, 4096, 320, 320, one, residual, true),
		epilogues("Linear", "Add", "4096x1280x320", 1, 4096, 1280, 320, one, residual, true),
		epilogues("Linear", "Add", "1024x2560x640", 1, 1024, 2560, 640, one, residual, true),
		epilogues("Linear", "GEGLU", "4096x320x2560", 1, 4096, 320, 2560, one, gated, false),
		epilogues("Linear", "GEGLU", "1024x640x5120", 1, 1024, 640, 5120, one, gated, false),
		epilogues("Linear", "GEGLU", "256x1280x10240", 1, 256, 1280, 10240, one, gated, false),
		epilogues("Linear", "SiLU", "4096x320x1280", 1, 4096, 320, 1280, one, sigmoid, false),
		epilogues("Conv2d", "Add", "64x64x320_320_k3", 64, 64, 320, 320, same, residual, true),
		epilogues("Conv2d", "Add", "256x256x256_256_k3", 256, 256, 256, 256, same, residual, true),
		epilogues("Conv2d", "Add", "512x512x128_128_k3", 512, 512, 128, 128, same, residual, true),
	}
	return slices.Concat(linears, convs, fused, attentions, rest)
}
