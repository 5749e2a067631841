package seccomp

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// x32Bit marks a call through x32; it shares AUDIT_ARCH_X86_64 with x86_64. See arch/x86/include/uapi/asm/unistd.h.
const x32Bit = 0x40000000

// abi is one way to make system calls.
type abi struct {
	name    string // SCMP_ARCH_*
	audit   uint32 // seccomp_data.arch
	numbers *[numNames]uint16
	bit     uint32 // ORed to every number
	wide    bool   // arguments have 64 bits
	mux     bool   // has socketcall(2) and ipc(2)
}

var abis = [...]abi{
	{name: "SCMP_ARCH_X86_64", audit: unix.AUDIT_ARCH_X86_64, numbers: &numbersAMD64, wide: true},
	{name: "SCMP_ARCH_X86", audit: unix.AUDIT_ARCH_I386, numbers: &numbersX86, mux: true},
	{name: "SCMP_ARCH_X32", audit: unix.AUDIT_ARCH_X86_64, numbers: &numbersX32, bit: x32Bit},
	{name: "SCMP_ARCH_AARCH64", audit: unix.AUDIT_ARCH_AARCH64, numbers: &numbersARM64, wide: true},
	{name: "SCMP_ARCH_ARM", audit: unix.AUDIT_ARCH_ARM, numbers: &numbersARM},
}

// arches holds the names that the runtime-spec defines, sorted.
var arches = [...]string{
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_MIPS",
	"SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32", "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PARISC", "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE",
	"SCMP_ARCH_RISCV64", "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_SH", "SCMP_ARCH_SHEB",
	"SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64",
}

// nativeName returns the ABI of this binary, or "" if the package has no table for it.
func nativeName() string {
	switch runtime.GOARCH {
	case "amd64":
		return "SCMP_ARCH_X86_64"
	case "386":
		return "SCMP_ARCH_X86"
	case "arm64":
		return "SCMP_ARCH_AARCH64"
	case "arm":
		return "SCMP_ARCH_ARM"
	}
	return ""
}

// findABI returns nil for an ABI without a table.
func findABI(name string) *abi {
	for i := range abis {
		if abis[i].name == name {
			return &abis[i]
		}
	}
	return nil
}

// findName returns the index of a system call's name in the tables, -1 if no ABI has it.
func findName(name string) int {
	lo, hi := 0, numNames
	for lo < hi {
		mid := (lo + hi) / 2
		if nameAt(mid) < name {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < numNames && nameAt(lo) == name {
		return lo
	}
	return -1
}

func nameAt(i int) string {
	start := uint16(0)
	if i > 0 {
		start = nameEnd[i-1]
	}
	return allNames[start:nameEnd[i]]
}

// number returns the number of the call with index i (findName) on this ABI; false if the ABI lacks it.
func (a *abi) number(i int) (uint32, bool) {
	switch n := uint32(a.numbers[i]); {
	case n == 0xFFFF:
		return 0, false
	case n >= 0x8000: // __ARM_NR_BASE, see gen
		return 0xF0000 + n - 0x8000, true
	default:
		return n | a.bit, true
	}
}

// Numbers of the multiplexers on x86 (asm/unistd_32.h).
const (
	x86Socketcall = 102
	x86IPC        = 117
)

// multiplexed returns the multiplexer's number and the selector of the call with index i on x86; 0, 0 if it has none.
func multiplexed(i int) (nr, selector uint32) {
	switch s := uint32(selectors[i]); {
	case s == 0:
		return 0, 0
	case s > 100: // see gen
		return x86IPC, s - 100
	default:
		return x86Socketcall, s
	}
}
