//go:build amd64 && !noasm

#include "textflag.h"

// func Pause()
TEXT ·Pause(SB), NOSPLIT, $0-0
	MOVL $16, CX
loop:
	PAUSE
	DECL CX
	JNZ  loop
	RET
