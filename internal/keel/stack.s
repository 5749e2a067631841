#include "textflag.h"

// func growStack()
TEXT ·growStack(SB),0,$40960-0
	RET
