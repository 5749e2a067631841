package launch

const canShare = true

// cloneShared is clone3(2) with a stack in args; it returns the child's pid or a negative
// errno. The child calls [runShared] on that stack and never returns.
func cloneShared(args *cloneArgs, prog *program) uintptr
