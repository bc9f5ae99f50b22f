//go:build arm64 && !noasm

#include "textflag.h"

// func Pause()
TEXT ·Pause(SB), NOSPLIT, $0-0
	MOVD $16, R0
loop:
	ISB  $15
	SUBS $1, R0
	BNE  loop
	RET
