package serve

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hull-dev/hull/internal/cgroup"
	"github.com/hull-dev/hull/internal/ociruntime"
	"github.com/hull-dev/hull/internal/ocispec"
	"github.com/hull-dev/hull/internal/shim/wire"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// foreign is another runtime, by the command line that runc, crun and runsc have in common.
//
// What it starts becomes this program's child when the command ends, since this program is the
// subreaper; so its end is waited for as our own runtime's is. The root is attached at
// DIR/rootfs in a mount namespace that only `create` runs in: on the host it is nowhere, and goes
// with the container.
type foreign struct {
	s       *server
	command []string
	id, dir string
	n       atomic.Int64 // names files
	pid     int
}

func newForeign(s *server, req *wire.CreateBody) *foreign {
	return &foreign{s: s, command: req.Runtime, id: req.ID, dir: req.Dir}
}

// commandTime bounds one command of a runtime.
const commandTime = 2 * time.Minute

// files in the container's directory that belong to one command.
func (f *foreign) file(kind string) string {
	return f.dir + "/" + kind + strconv.FormatInt(f.n.Add(1), 10)
}

// run executes a command of the runtime. Its standard descriptors are std, or /dev/null. The
// error has what it has written to its log, or else to standard error.
func (f *foreign) run(std ociruntime.Stdio, words ...string) error {
	log := f.file("log")
	defer unix.Unlink(log)
	var null, errs *os.File
	null, err := openNull()
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{Dir: f.dir, Env: []string{"PATH=" + os.Getenv("PATH")}, Files: []*os.File{null, null, null}}
	for i, fd := range std {
		if fd > 0 {
			dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
			if err != nil {
				return os.NewSyscallError("dup", err)
			}
			attr.Files[i] = os.NewFile(uintptr(dup), "stdio")
			defer attr.Files[i].Close()
		}
	}
	if std[2] == 0 { // nobody else hears it
		if errs, err = f.memory(); err != nil {
			return err
		}
		defer errs.Close()
		attr.Files[2] = errs
	}
	args := append(append([]string(nil), f.command...), "--log", log, "--log-format", "json")
	p, err := os.StartProcess(f.command[0], append(args, words...), attr)
	if err != nil {
		return fmt.Errorf("execute the runtime: %w", err)
	}
	kill := time.AfterFunc(commandTime, func() { p.Kill() })
	state, err := p.Wait()
	kill.Stop()
	if err != nil {
		return fmt.Errorf("wait for %s %s: %w", f.command[0], words[0], err)
	}
	if state.Success() {
		return nil
	}
	text := lastMessage(readSome(log))
	if text == "" && errs != nil {
		errs.Seek(0, io.SeekStart)
		b, _ := io.ReadAll(io.LimitReader(errs, 4096))
		text = strings.TrimSpace(string(b))
	}
	if text == "" {
		text = state.String()
	}
	if strings.Contains(text, "not running") || strings.Contains(text, "already finished") {
		return ociruntime.ErrNotRunning
	}
	return fmt.Errorf("%s %s: %s", f.command[0], words[0], text)
}

func (f *foreign) memory() (*os.File, error) {
	fd, err := unix.MemfdCreate("stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), "stderr"), nil
}

// readSome reads the end of a file that a runtime has written.
func readSome(name string) string {
	fd, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer fd.Close()
	b, _ := io.ReadAll(io.LimitReader(fd, 64<<10))
	return string(b)
}

// lastMessage is "msg" of the last line of a runtime's log that is an error.
func lastMessage(log string) string {
	text := ""
	for line := range strings.Lines(log) {
		level, _ := ocispec.StringMember(strings.TrimSpace(line), "level")
		if msg, ok := ocispec.StringMember(strings.TrimSpace(line), "msg"); ok && (level == "error" || text == "") {
			text = msg
		}
	}
	return text
}

func (f *foreign) create(b *wire.CreateBody, config *ocispec.Config, root, userns int, std ociruntime.Stdio) (pid, terminal int, err error) {
	if err := replaceFile(f.dir, configFile, b.Config); err != nil {
		return 0, -1, err
	}
	pidFile := f.file("pid")
	defer unix.Unlink(pidFile)
	words := []string{"create", "--bundle", f.dir, "--pid-file", pidFile}
	if b.NoPivot {
		words = append(words, "--no-pivot")
	}
	terminal, err = f.withConsole(config.Process.Terminal, words, func(words []string) error {
		return f.withRoot(root, func() error { return f.run(std, append(words, f.id)...) })
	})
	setSize(terminal, config.Process.ConsoleSize)
	if err == nil {
		pid, err = readPidFile(pidFile)
	}
	if err != nil {
		f.run(ociruntime.Stdio{}, "delete", "--force", f.id)
		if terminal >= 0 {
			unix.Close(terminal)
		}
		return 0, -1, err
	}
	f.pid = pid
	return pid, terminal, nil
}

// withRoot does do on a thread in a mount namespace of its own, in which the root is attached.
func (f *foreign) withRoot(root int, do func() error) (err error) {
	if root == 0 {
		return do()
	}
	rootfs := f.dir + "/" + rootfsDir
	if err := unix.Mkdir(rootfs, 0o755); err != nil && err != unix.EEXIST {
		return &os.PathError{Op: "mkdir", Path: rootfs, Err: err}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread, and its namespace, end with the goroutine
		if err = unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
			err = fmt.Errorf("make a mount namespace for the container's root: %w", err)
			return
		}
		if err = unix.MountSetattr(unix.AT_FDCWD, "/", unix.AT_RECURSIVE, &unix.MountAttr{Propagation: unix.MS_SLAVE}); err == nil {
			err = unix.MoveMount(root, "", unix.AT_FDCWD, rootfs, unix.MOVE_MOUNT_F_EMPTY_PATH)
		}
		if err != nil {
			err = fmt.Errorf("attach the container's root: %w", err)
			return
		}
		err = do()
	}()
	<-done
	return err
}

// withConsole gives the command a socket for the terminal's master, if there is one, and
// returns that; -1 for none.
func (f *foreign) withConsole(terminal bool, words []string, do func([]string) error) (master int, err error) {
	if !terminal {
		return -1, do(words)
	}
	dir, err := unix.Open(f.dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: f.dir, Err: err}
	}
	defer unix.Close(dir)
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	defer unix.Close(sock)
	name := "tty" + strconv.FormatInt(f.n.Add(1), 10)
	// By a descriptor of this program's: the path may be longer than a socket's may be.
	path := "/proc/" + strconv.Itoa(os.Getpid()) + "/fd/" + strconv.Itoa(dir) + "/" + name
	unix.Fchmod(sock, 0o600)
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: path}); err != nil {
		return -1, os.NewSyscallError("bind the console socket", err)
	}
	defer unix.Unlinkat(dir, name, 0)
	if err := unix.Listen(sock, 1); err != nil {
		return -1, os.NewSyscallError("listen", err)
	}
	if err := do(append(words, "--console-socket", path)); err != nil {
		return -1, err
	}
	unix.SetNonblock(sock, true) // it has connected and sent by now, or never will
	conn, _, err := unix.Accept4(sock, unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	if err != nil {
		return -1, fmt.Errorf("receive the terminal from the runtime: %w", err)
	}
	defer unix.Close(conn)
	fds, err := wire.ReceiveFiles(conn)
	if err == nil && len(fds) != 1 {
		err = errors.New("not one descriptor")
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return -1, fmt.Errorf("receive the terminal from the runtime: %w", err)
	}
	return fds[0], nil
}

// setSize sets the size of a terminal: crun does not for an exec process.
func setSize(terminal int, size *specs.Box) {
	if terminal >= 0 && size != nil {
		unix.IoctlSetWinsize(terminal, unix.TIOCSWINSZ, &unix.Winsize{Row: uint16(size.Height), Col: uint16(size.Width)})
	}
}

func readPidFile(name string) (int, error) {
	pid, err := strconv.Atoi(strings.TrimSpace(readSome(name)))
	if err != nil || pid <= 1 {
		return 0, errors.New("the runtime has not said which process it started")
	}
	return pid, nil
}

func (f *foreign) exec(id string, raw []byte, process *specs.Process, std ociruntime.Stdio) (pid, terminal int, err error) {
	name, pidFile := f.file("process"), f.file("pid")
	defer unix.Unlink(pidFile)
	if err := replaceFile(f.dir, name[len(f.dir)+1:], raw); err != nil {
		return 0, -1, err
	}
	defer unix.Unlink(name)
	terminal, err = f.withConsole(process.Terminal, []string{"exec", "--detach", "--process", name, "--pid-file", pidFile}, func(words []string) error {
		return f.run(std, append(words, f.id)...)
	})
	setSize(terminal, process.ConsoleSize)
	if err == nil {
		pid, err = readPidFile(pidFile)
	}
	if err != nil && terminal >= 0 {
		unix.Close(terminal)
		terminal = -1
	}
	return pid, terminal, err
}

func (f *foreign) start() error  { return f.run(ociruntime.Stdio{}, "start", f.id) }
func (f *foreign) pause() error  { return f.run(ociruntime.Stdio{}, "pause", f.id) }
func (f *foreign) resume() error { return f.run(ociruntime.Stdio{}, "resume", f.id) }

func (f *foreign) kill(sig unix.Signal, all bool) error {
	words := []string{"kill"}
	if all {
		words = append(words, "--all")
	}
	return f.run(ociruntime.Stdio{}, append(words, f.id, strconv.Itoa(int(sig)))...)
}

func (f *foreign) update(resources []byte) error {
	name := f.file("resources")
	if err := replaceFile(f.dir, name[len(f.dir)+1:], resources); err != nil {
		return err
	}
	defer unix.Unlink(name)
	return f.run(ociruntime.Stdio{}, "update", "--resources", name, f.id)
}

func (f *foreign) delete() error { return f.run(ociruntime.Stdio{}, "delete", "--force", f.id) }

func (f *foreign) group() (*cgroup.Group, error) {
	h, err := cgroup.Detect()
	if err != nil {
		return nil, err
	}
	return cgroup.OfProcess(h, f.pid)
}

func (f *foreign) processes() ([]int, error) {
	g, err := f.group()
	if err != nil {
		return nil, err
	}
	return g.Pids()
}
