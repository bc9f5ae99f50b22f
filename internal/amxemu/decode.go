package main

import "encoding/binary"

// The instructions of AMX-TILE and AMX-BF16.
const (
	ldTileCfg = iota
	stTileCfg
	tileRelease
	tileZero
	tileLoad // TILELOADD and TILELOADDT1, which differ by a hint
	tileStore
	tdpBF16
)

// instruction is a decoded AMX instruction. Registers of memory operands are numbered as in machine
// code (0 rax, 1 rcx, 2 rdx, 3 rbx, 4 rsp, ...); -1 is none.
type instruction struct {
	op          int
	dst, a, b   int // tiles; the stored one is dst
	base, index int
	scale, disp int64
	length      int
}

// decode reads one instruction, at most 15 bytes of code. ok is false for everything that is not AMX,
// or not valid.
//
// All have a three-byte VEX prefix: C4, then inverted R X B and the map 2, then W vvvv L pp.
func decode(code []byte) (in instruction, ok bool) {
	if len(code) < 5 || code[0] != 0xc4 || code[1]&0x1f != 2 || code[2]&0x84 != 0 { // W = 0, L = 0
		return in, false
	}
	high := func(bit int) int { return int(^code[1]>>bit&1) << 3 } // the fourth bit of a register
	vvvv, pp := int(^code[2]>>3&15), code[2]&3
	modrm := code[4]
	mod, reg, rm := modrm>>6, int(modrm>>3&7), int(modrm&7)
	in = instruction{dst: reg, base: -1, index: -1, scale: 1, length: 5}
	if code[3] == 0x5c { // TDPBF16PS dst, a, b
		in.op, in.a, in.b = tdpBF16, rm, vvvv
		return in, mod == 3 && pp == 2 && vvvv < 8 && code[1]>>5 == 7
	}
	if vvvv != 0 || high(7) != 0 {
		return in, false
	}
	switch {
	case code[3] == 0x49 && mod == 3:
		switch {
		case pp == 0 && modrm == 0xc0:
			in.op = tileRelease
		case pp == 3 && rm == 0:
			in.op = tileZero
		default:
			return in, false
		}
		return in, code[1]>>5 == 7
	case code[3] == 0x49 && reg == 0 && pp == 0:
		in.op = ldTileCfg
	case code[3] == 0x49 && reg == 0 && pp == 1:
		in.op = stTileCfg
	case code[3] == 0x4b && mod != 3 && rm == 4 && (pp == 1 || pp == 3):
		in.op = tileLoad
	case code[3] == 0x4b && mod != 3 && rm == 4 && pp == 2:
		in.op = tileStore
	default:
		return in, false
	}
	if mod == 0 && rm == 5 { // relative to the next instruction: not used
		return in, false
	}
	in.base = rm | high(5)
	if rm == 4 {
		if len(code) < 6 {
			return in, false
		}
		sib := code[5]
		in.length++
		in.base = int(sib&7) | high(5)
		if in.index = int(sib>>3&7) | high(6); in.index == 4 {
			in.index = -1
		}
		in.scale = 1 << (sib >> 6)
		if mod == 0 && sib&7 == 5 { // no base: not used
			return in, false
		}
	}
	rest := code[in.length:]
	switch {
	case mod == 1 && len(rest) >= 1:
		in.disp = int64(int8(rest[0]))
		in.length++
	case mod == 2 && len(rest) >= 4:
		in.disp = int64(int32(binary.LittleEndian.Uint32(rest)))
		in.length += 4
	case mod != 0:
		return in, false
	}
	return in, true
}
