//go:build vulkan

package vulkan

import (
	"embed"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"unsafe"

	"psld/internal/atomicfile"
)

// The kernels: shaders/NAME.comp in GLSL, and beside each what shaders/compile.sh makes of it.
//
//go:embed shaders/*.spv shaders/cooperative/*.spv
var shaders embed.FS

const maxBuffers = 10 // of a kernel

// pipelineKey names a kernel with the values of its specialization constants, 0, 1, ...; what is behind the last one
// is 0.
type pipelineKey struct {
	name string
	spec [8]uint32
}

// pipelines makes them at the first use.
type pipelines struct {
	cache   uint64
	path    string // of the cache's file; "" for none
	changed int    // pipelines made since it was written
	settled int    // the same at the last wait
	modules map[string]uint64
	layouts map[[2]int]layout // by the numbers of buffers and of texel buffers
	made    map[pipelineKey]uint64
}

type layout struct{ set, pipeline uint64 }

const pushBytes = 128

// newPipelines opens the cache, which saves drivers the compilation in the next process.
func (d *Device) newPipelines() error {
	p := &d.pipelines
	p.modules, p.made, p.layouts = map[string]uint64{}, map[pipelineKey]uint64{}, map[[2]int]layout{}
	var kept []byte
	if dir, err := os.UserCacheDir(); err == nil {
		v := d.physical.properties
		p.path = filepath.Join(dir, "psld", fmt.Sprintf("vulkan-%04x-%04x-%x.cache", v.vendorID, v.deviceID,
			v.pipelineCacheUUID))
		kept, _ = os.ReadFile(p.path) // the driver checks that it is its own
	}
	info := &pipelineCacheCreateInfo{sType: typePipelineCacheCreateInfo, initialDataSize: uintptr(len(kept)),
		pInitialData: first(kept)}
	return d.CreatePipelineCache.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(&p.cache))).check("pipeline cache")
}

// keepPipelines writes the cache when no pipeline was made between two waits. It is a help: errors do not matter.
func (d *Device) keepPipelines() {
	p := &d.pipelines
	if p.changed == 0 || p.path == "" {
		return
	}
	if p.settled != p.changed {
		p.settled = p.changed
		return
	}
	p.changed, p.settled = 0, 0
	size := new(uintptr)
	if d.GetPipelineCacheData.call(d.handle, uintptr(p.cache), uintptr(ref(size)), 0) != success || *size == 0 {
		return
	}
	data := make([]byte, *size)
	if d.GetPipelineCacheData.call(d.handle, uintptr(p.cache), uintptr(ref(size)), uintptr(ref(&data[0]))) != success {
		return
	}
	if os.MkdirAll(filepath.Dir(p.path), 0o755) == nil {
		_ = atomicfile.Write(p.path, func(w io.Writer) error {
			_, err := w.Write(data[:*size])
			return err
		})
	}
}

// Types of descriptors.
const texelBuffer, storageBuffer = 4, 7

// layout is that of kernels with n buffers and texels texel buffers behind them.
func (d *Device) layout(n, texels int) layout {
	l, ok := d.pipelines.layouts[[2]int{n, texels}]
	if ok {
		return l
	}
	const computeStage, push = 0x20, 1
	bindings := make([]descriptorSetLayoutBinding, n+texels)
	for i := range bindings {
		bindings[i] = descriptorSetLayoutBinding{binding: uint32(i), descriptorType: storageBuffer, descriptorCount: 1,
			stageFlags: computeStage}
		if i >= n {
			bindings[i].descriptorType = texelBuffer
		}
	}
	set := &descriptorSetLayoutCreateInfo{sType: typeSetLayoutCreateInfo, flags: push,
		bindingCount: uint32(len(bindings)), pBindings: first(bindings)}
	d.must(d.CreateDescriptorSetLayout.call(d.handle, uintptr(ref(set)), 0, uintptr(ref(&l.set))), "set layout")
	constants := &pushConstantRange{computeStage, 0, pushBytes}
	info := &pipelineLayoutCreateInfo{sType: typePipelineLayoutInfo, setLayoutCount: 1,
		pSetLayouts: unsafe.Pointer(&l.set), pushConstantRangeCount: 1, pPushConstantRanges: unsafe.Pointer(constants)}
	d.must(d.CreatePipelineLayout.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(&l.pipeline))), "pipeline layout")
	d.pipelines.layouts[[2]int{n, texels}] = l
	return l
}

// module is a kernel's SPIR-V for the driver.
func (d *Device) module(name string) uint64 {
	if m := d.pipelines.modules[name]; m != 0 {
		return m
	}
	code, err := shaders.ReadFile("shaders/" + name + ".spv")
	if err != nil {
		panic(fmt.Sprintf("vulkan: no kernel %s: %v", name, err))
	}
	words := make([]uint32, len(code)/4) // aligned
	copy(unsafe.Slice((*byte)(first(words)), len(code)), code)
	info := &shaderModuleCreateInfo{sType: typeShaderModuleCreateInfo, codeSize: uintptr(len(code)), pCode: first(words)}
	m := new(uint64)
	d.must(d.CreateShaderModule.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(m))), "kernel "+name)
	d.pipelines.modules[name] = *m
	return *m
}

// pipeline is a kernel that is ready to run.
func (d *Device) pipeline(key pipelineKey, l layout) uint64 {
	if p := d.pipelines.made[key]; p != 0 {
		return p
	}
	entries := make([]specializationMapEntry, len(key.spec))
	for i := range entries {
		entries[i] = specializationMapEntry{uint32(i), uint32(4 * i), 4}
	}
	spec := &specializationInfo{uint32(len(entries)), first(entries), unsafe.Sizeof(key.spec), unsafe.Pointer(&key.spec)}
	const computeStage = 0x20
	info := &computePipelineCreateInfo{sType: typeComputePipelineInfo, layout: l.pipeline,
		basePipelineIndex: -1,
		stage: pipelineShaderStageCreateInfo{sType: typeShaderStageCreateInfo, stage: computeStage,
			module: d.module(key.name), pName: unsafe.Pointer(cString("main")), pSpecializationInfo: unsafe.Pointer(spec)}}
	p := new(uint64)
	d.must(d.CreateComputePipelines.call(d.handle, uintptr(d.pipelines.cache), 1, uintptr(ref(info)), 0, uintptr(ref(p))),
		"compiling kernel "+key.name)
	d.pipelines.made[key] = *p
	d.pipelines.changed++
	return *p
}

// launch is one run of a kernel.
type launch struct {
	kernel string
	spec   []uint32
	// out are written, and may be read; in are read. They are the bindings 0, 1, ...: nil is an optional one.
	out, in []*piece
	// texels are read too, as texel buffers of four numbers, bound behind the others. The whole block of memory is
	// bound: see texels.at.
	texels []texels
	push   []uint32 // see f for numbers
	groups [3]int
}

// f is a float32 among the constants.
func f(v float32) uint32 { return math.Float32bits(v) }

// u is a count or a size among them.
func u(n int) uint32 { return uint32(n) }

// flag is 1 for true.
func flag(on bool) uint32 {
	if on {
		return 1
	}
	return 0
}

// texels is memory as a texel buffer of four numbers each, of float32 or float16.
type texels struct {
	*piece
	halves bool
}

// at is the place of the memory in its block's texel buffer, for the constants of a kernel.
func (t texels) at() uint32 {
	if t.halves {
		return uint32(t.piece.at / 8)
	}
	return uint32(t.piece.at / 16)
}

// view is the block of some memory as a texel buffer.
func (d *Device) view(t texels) *uint64 {
	const rgba16Float, rgba32Float = 97, 109
	view, format := &t.block.views[0], uint32(rgba32Float)
	if t.halves {
		view, format = &t.block.views[1], rgba16Float
	}
	if *view == 0 {
		info := &bufferViewCreateInfo{sType: typeBufferViewCreateInfo, buffer: t.buffer, format: format,
			size_: t.total}
		d.must(d.CreateBufferView.call(d.handle, uintptr(ref(info)), 0, uintptr(ref(view))), "texel buffer")
	}
	return view
}

// launch records the run of a kernel.
func (d *Device) launch(l launch) {
	for _, n := range l.groups {
		if n == 0 {
			return
		}
		if n < 0 || n > 65535 {
			panic(fmt.Sprintf("vulkan: %s in %v groups", l.kernel, l.groups))
		}
	}
	key := pipelineKey{name: l.kernel}
	copy(key.spec[:], l.spec)
	buffers := slices.Concat(l.out, l.in)
	layout := d.layout(len(buffers), len(l.texels))
	pipeline := d.pipeline(key, layout)
	b := d.begin()
	var infos [maxBuffers]descriptorBufferInfo
	var writes [maxBuffers]writeDescriptorSet
	touches := make([]touch, 0, maxBuffers)
	const compute, computeStage = 1, 0x20
	for i, p := range buffers {
		if p == nil {
			p = &d.nothing
		} else {
			touches = append(touches, touch{*p, i < len(l.out)})
		}
		infos[i] = descriptorBufferInfo{p.buffer, p.at, p.size}
		writes[i] = writeDescriptorSet{sType: typeWriteDescriptorSet, dstBinding: uint32(i), descriptorCount: 1,
			descriptorType: storageBuffer, pBufferInfo: unsafe.Pointer(&infos[i])}
	}
	for i, p := range l.texels {
		touches = append(touches, touch{*p.piece, false})
		writes[len(buffers)+i] = writeDescriptorSet{sType: typeWriteDescriptorSet, dstBinding: uint32(len(buffers) + i),
			descriptorCount: 1, descriptorType: texelBuffer, pTexelBufferView: unsafe.Pointer(d.view(p))}
	}
	n := len(buffers) + len(l.texels)
	d.uses(b, touches)
	d.stamp(b, l.kernel, func() {
		d.CmdBindPipeline.call(b.commands, compute, uintptr(pipeline))
		d.CmdPushDescriptorSetKHR.call(b.commands, compute, uintptr(layout.pipeline), 0, uintptr(n), uintptr(ref(&writes)))
		if len(l.push) > 0 {
			d.CmdPushConstants.call(b.commands, uintptr(layout.pipeline), computeStage, 0, uintptr(4*len(l.push)),
				uintptr(ref(&l.push[0])))
		}
		d.CmdDispatch.call(b.commands, uintptr(l.groups[0]), uintptr(l.groups[1]), uintptr(l.groups[2]))
	})
	d.recorded(b)
}
