#include "textflag.h"

// prlimit64(0, RLIMIT_NOFILE, NULL, &openFiles), then what would have been first. The kernel
// leaves all registers but R0 as they are, and _rt0 takes argc and argv from the stack.
TEXT ·entry(SB),NOSPLIT|NOFRAME,$0
	MOVD $0, R0
	MOVD $7, R1
	MOVD $0, R2
	MOVD $·openFiles(SB), R3
	MOVD $261, R8
	SVC

	// prctl(PR_GET_TIMERSLACK), prctl(PR_SET_TIMERSLACK, 5 ms): see slack.go
	MOVD $30, R0
	MOVD $167, R8
	SVC
	CMP  $0, R0
	BLE  go
	MOVD $·timerSlack(SB), R1
	MOVD R0, (R1)
	MOVD $29, R0
	MOVD $5000000, R1
	SVC

go:
	JMP  _rt0_arm64_linux(SB)
