//go:build amd64 && !noasm

#include "textflag.h"

// func transpose8AVX2(dst, src *float32, ldd, lds, n int)
TEXT ·transpose8AVX2(SB), NOSPLIT, $0-40
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ ldd+16(FP), R8
	MOVQ lds+24(FP), R11
	MOVQ n+32(FP), CX
	SHLQ $2, R8
	SHLQ $2, R11
	LEAQ (R8)(R8*2), R9
	LEAQ (R11)(R11*2), R12
	LEAQ (SI)(R11*4), BX

square:
	// Rows i and i+4 side by side, 4 columns each, so that the rest works within halves.
	VMOVUPS (SI), X0
	VMOVUPS (SI)(R11*1), X1
	VMOVUPS (SI)(R11*2), X2
	VMOVUPS (SI)(R12*1), X3
	VINSERTF128 $1, (BX), Y0, Y0
	VINSERTF128 $1, (BX)(R11*1), Y1, Y1
	VINSERTF128 $1, (BX)(R11*2), Y2, Y2
	VINSERTF128 $1, (BX)(R12*1), Y3, Y3
	VUNPCKLPS Y1, Y0, Y4
	VUNPCKHPS Y1, Y0, Y5
	VUNPCKLPS Y3, Y2, Y6
	VUNPCKHPS Y3, Y2, Y7
	VUNPCKLPD Y6, Y4, Y8
	VUNPCKHPD Y6, Y4, Y9
	VUNPCKLPD Y7, Y5, Y10
	VUNPCKHPD Y7, Y5, Y11
	VMOVUPS Y8, (DI)
	VMOVUPS Y9, (DI)(R8*1)
	VMOVUPS Y10, (DI)(R8*2)
	VMOVUPS Y11, (DI)(R9*1)
	LEAQ (DI)(R8*4), DI
	VMOVUPS 16(SI), X0
	VMOVUPS 16(SI)(R11*1), X1
	VMOVUPS 16(SI)(R11*2), X2
	VMOVUPS 16(SI)(R12*1), X3
	VINSERTF128 $1, 16(BX), Y0, Y0
	VINSERTF128 $1, 16(BX)(R11*1), Y1, Y1
	VINSERTF128 $1, 16(BX)(R11*2), Y2, Y2
	VINSERTF128 $1, 16(BX)(R12*1), Y3, Y3
	VUNPCKLPS Y1, Y0, Y4
	VUNPCKHPS Y1, Y0, Y5
	VUNPCKLPS Y3, Y2, Y6
	VUNPCKHPS Y3, Y2, Y7
	VUNPCKLPD Y6, Y4, Y8
	VUNPCKHPD Y6, Y4, Y9
	VUNPCKLPD Y7, Y5, Y10
	VUNPCKHPD Y7, Y5, Y11
	VMOVUPS Y8, (DI)
	VMOVUPS Y9, (DI)(R8*1)
	VMOVUPS Y10, (DI)(R8*2)
	VMOVUPS Y11, (DI)(R9*1)
	LEAQ (DI)(R8*4), DI
	ADDQ $32, SI
	ADDQ $32, BX
	DECQ CX
	JNE  square
	VZEROUPPER
	RET

// func splitAVX2(even, odd, words *float32, n int)
TEXT ·splitAVX2(SB), NOSPLIT, $0-32
	MOVQ even+0(FP), DI
	MOVQ odd+8(FP), DX
	MOVQ words+16(FP), SI
	MOVQ n+24(FP), CX

loop:
	VMOVDQU (SI), Y0
	VPSLLD  $16, Y0, Y1
	VMOVDQU Y1, (DI)
	VPSRLD  $16, Y0, Y0
	VPSLLD  $16, Y0, Y0
	VMOVDQU Y0, (DX)
	ADDQ    $32, SI
	ADDQ    $32, DI
	ADDQ    $32, DX
	SUBQ    $8, CX
	JNE     loop
	VZEROUPPER
	RET

// func joinAVX2(words, even, odd *float32, n int)
TEXT ·joinAVX2(SB), NOSPLIT, $0-32
	MOVQ words+0(FP), DI
	MOVQ even+8(FP), SI
	MOVQ odd+16(FP), DX
	MOVQ n+24(FP), CX

loop:
	VMOVDQU  (SI), Y0
	VPSRLD   $16, Y0, Y0
	VMOVDQU  (DX), Y1
	VPBLENDW $0xaa, Y1, Y0, Y0
	VMOVDQU  Y0, (DI)
	ADDQ     $32, SI
	ADDQ     $32, DI
	ADDQ     $32, DX
	SUBQ     $8, CX
	JNE      loop
	VZEROUPPER
	RET

// func crossAVX2(dst, src *float32, width, n int)
TEXT ·crossAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ width+16(FP), R8
	MOVQ n+24(FP), CX

rows:
	MOVQ R8, BX
	LEAQ (SI)(R8*4), DX

loop:
	VMOVDQU    (SI), Y0
	VMOVDQU    (DX), Y1
	VPSLLD     $16, Y1, Y2
	VPBLENDW   $0xaa, Y2, Y0, Y3    // lower halves of both
	VPSRLD     $16, Y0, Y4
	VPBLENDW   $0xaa, Y1, Y4, Y5    // upper halves
	VPUNPCKLDQ Y5, Y3, Y6
	VPUNPCKHDQ Y5, Y3, Y7
	VPERM2I128 $0x20, Y7, Y6, Y8
	VPERM2I128 $0x31, Y7, Y6, Y9
	VMOVDQU    Y8, (DI)
	VMOVDQU    Y9, 32(DI)
	ADDQ       $32, SI
	ADDQ       $32, DX
	ADDQ       $64, DI
	SUBQ       $8, BX
	JNE        loop
	MOVQ       DX, SI
	DECQ       CX
	JNE        rows
	VZEROUPPER
	RET
