//go:build !amd64

package launch

const canShare = false

func cloneShared(*cloneArgs, *program) uintptr {
	panic("launch: no shared memory on this architecture")
}
