//go:build amd64 || arm64

package seal

// entry is the ELF entry point; see the package comment. It is never called from Go.
func entry()

// Linked keeps the entry point in the program: the linker drops what nothing refers to.
var Linked = entry
