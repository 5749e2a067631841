#include "textflag.h"

// The kernel calls it with the number of the signal in DI; sigreturn restores all registers.
TEXT handler<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	SUBQ $8, SP
	MOVB DI, 0(SP)
	MOVQ $1, AX // write(writeEnd, SP, 1)
	MOVLQSX ·writeEnd(SB), DI
	MOVQ SP, SI
	MOVQ $1, DX
	SYSCALL
	ADDQ $8, SP
	RET // to the restorer

TEXT restorer<>(SB),NOSPLIT|NOFRAME|TOPFRAME,$0
	MOVQ $15, AX // rt_sigreturn
	SYSCALL
	INT $3

TEXT ·handlerPC(SB),NOSPLIT,$0-8
	LEAQ handler<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET

TEXT ·restorerPC(SB),NOSPLIT,$0-8
	LEAQ restorer<>(SB), AX
	MOVQ AX, ret+0(FP)
	RET
