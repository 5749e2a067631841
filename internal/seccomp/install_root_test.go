package seccomp

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// childEnv makes the test binary a child that installs the program in the named file and then does what its arguments
// say, see child.
const childEnv = "HULL_SECCOMP_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if file := os.Getenv(childEnv); file != "" {
		if err := child(file, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(120)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child installs the program for its thread and then either makes the raw system calls that its arguments give, each as
// number,argument,..., and prints the results, or executes the file after "exec".
func child(file string, args []string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	p, err := ParseBinary(b)
	if err != nil {
		return err
	}
	runtime.LockOSThread()
	if _, _, errno := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); errno != 0 {
		return errno
	}
	fprog := unix.SockFprog{Len: uint16(len(p.Filter)), Filter: &p.Filter[0]}
	listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, uintptr(p.Flags), uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("installing: %w", errno)
	}
	if p.Notify {
		go answer(int(listener)) // from another thread, which has no filter
	}
	if args[0] == "exec" {
		return unix.Exec(args[1], args[1:], nil)
	}
	for _, arg := range args {
		var call [7]uintptr
		for i, field := range strings.Split(arg, ",") {
			n, err := strconv.ParseUint(field, 0, 64)
			if err != nil {
				return err
			}
			call[i] = uintptr(n)
		}
		_, _, errno := unix.RawSyscall6(call[0], call[1], call[2], call[3], call[4], call[5], call[6])
		fmt.Printf("%d ", errno)
	}
	return nil
}

// answer lets one notified call fail with errno 99.
func answer(listener int) {
	var notif struct {
		id    uint64
		pid   uint32
		flags uint32
		data  [64]byte
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&notif))); errno != 0 {
		fmt.Fprintln(os.Stderr, "receiving:", errno)
		os.Exit(121)
	}
	resp := struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}{id: notif.id, error: -99}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&resp))); errno != 0 {
		fmt.Fprintln(os.Stderr, "answering:", errno)
		os.Exit(122)
	}
}

// TestRootInstall gives programs to the kernel and makes the calls.
func TestRootInstall(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	if runtime.GOARCH != "amd64" {
		t.Skip("has programs in x86 machine code")
	}
	elf32, elfX32 := filepath.Join(t.TempDir(), "elf32"), filepath.Join(t.TempDir(), "elfx32")
	for file, content := range map[string][]byte{elf32: mkdir32(), elfX32: getpidX32()} {
		if err := os.WriteFile(file, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	const (
		personality = unix.SYS_PERSONALITY
		query       = "0xffffffff" // personality(2) with it changes nothing
	)
	condition := func(op string, value, two uint64) string {
		return fmt.Sprintf(`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["prctl"],"action":"SCMP_ACT_ERRNO","errnoRet":77,"args":[
			{"index":0,"value":9999,"op":"SCMP_CMP_EQ"},{"index":4,"value":%d,"valueTwo":%d,"op":"SCMP_CMP_%s"}]}]}`, value, two, op)
	}
	// prctl(9999, ...) fails with EINVAL (22) if the filter lets it pass.
	calls := func(values ...uint64) []string {
		var list []string
		for _, v := range values {
			list = append(list, fmt.Sprintf("%d,9999,0,0,0,%d", unix.SYS_PRCTL, v))
		}
		return list
	}
	const one = uint64(1) << 32
	for _, test := range []struct {
		name    string
		profile string
		args    []string
		want    string // output, or how it ended
	}{
		{"errno", rules(`{"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":77}`), []string{rawCall(personality, query), rawCall(unix.SYS_GETPID)}, "77 0 "},
		{"errno default EPERM", rules(`{"names":["personality"],"action":"SCMP_ACT_ERRNO"}`), []string{rawCall(personality, query)}, "1 "},
		{"errno 4094", rules(`{"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":4094}`), []string{rawCall(personality, query)}, "4094 "},
		{"log lets pass", rules(`{"names":["personality"],"action":"SCMP_ACT_LOG"}`), []string{rawCall(personality, query)}, "0 "},
		{"trace without a tracer", rules(`{"names":["personality"],"action":"SCMP_ACT_TRACE"}`), []string{rawCall(personality, query)}, fmt.Sprintf("%d ", unix.ENOSYS)},
		{"notify", rules(`{"names":["personality"],"action":"SCMP_ACT_NOTIFY"}`), []string{rawCall(personality, query)}, "99 "},
		{"notify, killable", `{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"],"syscalls":[{"names":["personality"],"action":"SCMP_ACT_NOTIFY"}]}`, []string{rawCall(personality, query)}, "99 "},
		{"all flags", `{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW","SECCOMP_FILTER_FLAG_TSYNC"],"syscalls":[{"names":["personality"],"action":"SCMP_ACT_ERRNO"}]}`, []string{rawCall(personality, query)}, "1 "},
		{"kill process", rules(`{"names":["personality"],"action":"SCMP_ACT_KILL_PROCESS"}`), []string{rawCall(personality, query)}, "signal: bad system call"},
		{"kill thread", rules(`{"names":["sync"],"action":"SCMP_ACT_KILL_THREAD"}`), []string{"exec", "/bin/busybox", "sync"}, "signal: bad system call"},
		{"kill", rules(`{"names":["sync"],"action":"SCMP_ACT_KILL"}`), []string{"exec", "/bin/busybox", "sync"}, "signal: bad system call"},
		{"trap", rules(`{"names":["sync"],"action":"SCMP_ACT_TRAP"}`), []string{"exec", "/bin/busybox", "sync"}, "signal: bad system call"},
		{"allowed program", rules(`{"names":["sync"],"action":"SCMP_ACT_TRAP"}`), []string{"exec", "/bin/busybox", "echo", "hello"}, "hello\n"},
		{"docker", show(dockerProfile(t, defaultCaps...)), []string{"exec", "/bin/busybox", "sh", "-c", "echo $((6*7))"}, "42\n"},
		{"stub", show(dockerProfile(t, defaultCaps...)), []string{rawCall(1000), rawCall(unix.SYS_ADD_KEY)}, fmt.Sprintf("%d %d ", unix.ENOSYS, unix.EPERM)},
		{"x32 is foreign", rules(``), []string{"exec", elfX32}, "signal: bad system call"},
		{"x32", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X32"],"syscalls":[{"names":["getpid"],"action":"SCMP_ACT_ERRNO","errnoRet":77}]}`, []string{"exec", elfX32}, "exit status 77"},
		{"-1 is not foreign", rules(``), []string{rawCall(^uintptr(0) & 0xFFFFFFFF)}, fmt.Sprintf("%d ", unix.ENOSYS)},
		{"x86", `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":77}]}`, []string{"exec", elf32}, "exit status 77"},
		{"x86 is foreign", rules(`{"names":["mkdir"],"action":"SCMP_ACT_ERRNO","errnoRet":77}`), []string{"exec", elf32}, "signal: bad system call"},
		{"EQ", condition("EQ", one|5, 0), calls(5, one|5, one|4, 2*one|5), "22 77 22 22 "},
		{"NE", condition("NE", one|5, 0), calls(5, one|5, one|4, 2*one|5), "77 22 77 77 "},
		{"LT", condition("LT", one|5, 0), calls(9, one|4, one|5, one|6, 2*one), "77 77 22 22 22 "},
		{"LE", condition("LE", one|5, 0), calls(9, one|4, one|5, one|6, 2*one), "77 77 77 22 22 "},
		{"GE", condition("GE", one|5, 0), calls(9, one|4, one|5, one|6, 2*one), "22 22 77 77 77 "},
		{"GT", condition("GT", one|5, 0), calls(9, one|4, one|5, one|6, 2*one), "22 22 22 77 77 "},
		{"MASKED_EQ", condition("MASKED_EQ", one|0xF0, one|0x30), calls(0x30, one|0x30, one|0x3F, one|0x70, 3*one|0x31), "22 77 77 22 77 "},
		{"GT is unsigned", condition("GT", 1<<63-1, 0), calls(1<<63-1, 1<<63, ^uint64(0)), "22 77 77 "},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s specs.LinuxSeccomp
			if err := json.Unmarshal([]byte(test.profile), &s); err != nil {
				t.Fatal(err)
			}
			p, err := Compile(&s, Options{})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "program")
			if err := os.WriteFile(file, p.AppendBinary(nil), 0o600); err != nil {
				t.Fatal(err)
			}
			// KILL_THREAD in the wrong place would leave a process without its main thread behind.
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			cmd := exec.CommandContext(ctx, "/proc/self/exe", test.args...)
			cmd.Env = []string{childEnv + "=" + file}
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err = cmd.Run()
			got := stdout.String()
			if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
				got = strings.TrimSuffix(exit.Error(), " (core dumped)")
			} else if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(stderr.String(), unix.ENOEXEC.Error()) {
				t.Skip("the kernel does not run 32-bit programs")
			}
			if got != test.want {
				t.Errorf("got %q, want %q\n%s", got, test.want, stderr.String())
			}
		})
	}
}

func rawCall(nr uintptr, args ...string) string {
	return strings.Join(append([]string{fmt.Sprint(nr)}, args...), ",")
}

// mkdir32 is a 32-bit x86 program that calls mkdir("", 0) through int 0x80 and exits with the errno.
func mkdir32() []byte {
	code := []byte{
		0xB8, 39, 0, 0, 0, // mov eax, mkdir
		0xBB, 0, 0, 0, 0, // mov ebx, the address of an empty string, see below
		0x31, 0xC9, // xor ecx, ecx
		0xCD, 0x80, // int 0x80
		0xF7, 0xD8, // neg eax
		0x89, 0xC3, // mov ebx, eax
		0xB8, 1, 0, 0, 0, // mov eax, exit
		0xCD, 0x80, // int 0x80
		0, // the string
	}
	const headers = 52 + 32
	binary.LittleEndian.PutUint32(code[6:], elfBase+headers+uint32(len(code))-1)
	size := uint32(headers + len(code))
	return elf("\x7fELF\x01\x01\x01", code,
		uint16(2), uint16(3), uint32(1), uint32(elfBase+headers), uint32(52), uint32(0), uint32(0), // executable, i386, entry
		uint16(52), uint16(32), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(0), uint32(elfBase), uint32(elfBase), size, size, uint32(5), uint32(0x1000)) // PT_LOAD
}

// getpidX32 is a 64-bit program that calls getpid through x32 and exits with the errno.
func getpidX32() []byte {
	code := []byte{
		0xB8, 39, 0, 0, 0x40, // mov eax, 1<<30 | getpid
		0x0F, 0x05, // syscall
		0xF7, 0xD8, // neg eax
		0x89, 0xC7, // mov edi, eax
		0xB8, 60, 0, 0, 0, // mov eax, exit
		0x0F, 0x05, // syscall
	}
	const headers = 64 + 56
	size := uint64(headers + len(code))
	return elf("\x7fELF\x02\x01\x01", code,
		uint16(2), uint16(62), uint32(1), uint64(elfBase+headers), uint64(64), uint64(0), uint32(0), // executable, x86_64, entry
		uint16(64), uint16(56), uint16(1), uint16(0), uint16(0), uint16(0),
		uint32(1), uint32(5), uint64(0), uint64(elfBase), uint64(elfBase), size, size, uint64(0x1000)) // PT_LOAD
}

const elfBase = 0x8048000

func elf(ident string, code []byte, headers ...any) []byte {
	b := append([]byte(ident), make([]byte, 16-len(ident))...)
	for _, field := range headers {
		b, _ = binary.Append(b, binary.LittleEndian, field)
	}
	return append(b, code...)
}
