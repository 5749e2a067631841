package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/launch"
	"golang.org/x/sys/unix"
)

// criuMajor and criuMinor are the oldest criu that is used: it has external namespaces (3.11,
// 3.15), the v2 freezer (3.14), notification of lazy pages (3.15) and LSM profiles (3.16), so
// that none of them is asked for one by one.
const criuMajor, criuMinor = 3, 16

// criuServer is a criu that works for this program.
type criuServer struct {
	conn  *criu.Conn
	child *launch.Child
	dirs  []int // descriptors of ours, see criuStart
}

// criuStart says how criu is started.
type criuStart struct {
	stdio   bool             // criu gets our standard descriptors, to hand to the restored processes; otherwise /dev/null
	inherit []int            // descriptors of ours that become criu's 4, 5, …
	join    []string         // files of v1 cgroups to join
	cgroup  int              // v2 cgroup to be born into; 0 for none
	mounts  func(p *planner) // steps in a mount namespace of criu's own, which is made when this is set
	// dirs are opened by criu's process, in its mount namespace, and handed to us: criu goes through
	// our descriptors to get at its directories, and mounts on what it makes there, which it can
	// only in its own namespace.
	dirs []string
}

// firstHigh is above every descriptor number that a program started with extra ones gets.
const firstHigh = 64

// startCriu executes `criu swrk 3`. It returns when criu's program runs.
func (r *Runtime) startCriu(s criuStart) (server *criuServer, err error) {
	program, err := findCriu(r.Criu, os.Getenv("PATH"))
	if err != nil {
		return nil, err
	}
	var undo undoList
	defer undo.closeFDs()
	sock, err := socketPair(&undo)
	if err != nil {
		return nil, err
	}
	p := newPlanner()
	clone := launch.Clone{Cgroup: s.cgroup}
	p.joinCgroups(s.join)
	if s.mounts != nil {
		clone.Flags |= unix.CLONE_NEWNS
		// A criu that restores for nobody would hold on to what it has made: it dies with us. One that
		// dumps must not: when we hang up it puts the processes in order first.
		p.Doing("tie criu to", "this program")
		p.prctl("", launch.Int(unix.PR_SET_PDEATHSIG), launch.Int(int(unix.SIGKILL)), launch.Int(0), launch.Int(0), launch.Int(0))
		s.mounts(p)
	}
	for _, dir := range s.dirs {
		p.Doing("open for criu", dir)
		p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str(dir), launch.Hex(unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
		p.sendFD(sock[1], p.target)
	}
	p.Doing("give criu", "its descriptors")
	if !s.stdio {
		p.Call("openat", unix.SYS_OPENAT, launch.Int(unix.AT_FDCWD), p.Str("/dev/null"), launch.Hex(unix.O_RDWR|unix.O_CLOEXEC), launch.Int(0)).Out(p.target)
		for fd := range 3 {
			p.Call("dup3", unix.SYS_DUP3, launch.Of(p.target), launch.Int(fd), launch.Hex(0))
		}
	}
	given := append([]int{sock[1]}, s.inherit...)
	// The numbers that criu's descriptors get are taken, so that the report pipe is above them.
	for last := 0; last < 2+len(given); {
		if last, err = unix.FcntlInt(uintptr(sock[1]), unix.F_DUPFD_CLOEXEC, 3); err != nil {
			return nil, os.NewSyscallError("reserve a descriptor for criu: fcntl", err)
		}
		undo.fd(last)
	}
	for i, fd := range given {
		// Copied up first: one descriptor's new number can be another's old one.
		high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, firstHigh)
		if err != nil {
			return nil, os.NewSyscallError("copy a descriptor for criu: fcntl", err)
		}
		undo.fd(high)
		p.Call("dup3", unix.SYS_DUP3, p.FD(high, "given"), launch.Int(3+i), launch.Hex(0))
	}
	p.Call("close_range", unix.SYS_CLOSE_RANGE, launch.Int(3+len(given)), launch.Hex(0xffffffff), launch.Hex(unix.CLOSE_RANGE_CLOEXEC))
	p.Doing("execute", program)
	p.Call("execve", unix.SYS_EXECVE, p.Str(program), p.Strs([]string{"criu", "swrk", "3"}), p.Strs(criuEnvironment(os.Environ())))
	child, err := p.Start(clone)
	if err != nil {
		return nil, err
	}
	if _, err := child.Next(); err != io.EOF {
		child.Kill()
		return nil, err
	}
	server = &criuServer{child: child}
	for range s.dirs {
		fd, err := receiveFD(sock[0])
		if err != nil {
			server.release()
			child.Kill()
			return nil, err
		}
		server.dirs = append(server.dirs, fd)
	}
	fd, err := unix.FcntlInt(uintptr(sock[0]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		server.release()
		child.Kill()
		return nil, os.NewSyscallError("keep criu's socket: fcntl", err)
	}
	server.conn = criu.NewConn(fd)
	return server, nil
}

func (s *criuServer) release() {
	for _, fd := range s.dirs {
		unix.Close(fd)
	}
	s.dirs = nil
}

// version refuses a criu that is too old.
func (s *criuServer) version() error {
	v, err := s.conn.Version()
	if err == nil && !v.AtLeast(criuMajor, criuMinor) {
		err = fmt.Errorf("criu %s is too old: %d.%d or newer is needed", v, criuMajor, criuMinor)
	}
	return err
}

// end hangs up and waits for criu's end; one that does not end is killed.
func (s *criuServer) end() unix.WaitStatus {
	s.conn.Close()
	s.release()
	if waitEnd(s.child.PidFD, killTimeout) != nil {
		unix.PidfdSendSignal(s.child.PidFD, unix.SIGKILL, nil, 0)
	}
	var ws unix.WaitStatus
	for {
		if _, err := unix.Wait4(s.child.Pid, &ws, 0, nil); err != unix.EINTR {
			break
		}
	}
	s.child.Close()
	return ws
}

// findCriu is execvp's search. Directories that are not absolute are left out (R4).
func findCriu(name, path string) (string, error) {
	if name == "" {
		name = "criu"
	}
	if strings.Contains(name, "/") {
		return filepath.Abs(name)
	}
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" || dir[0] != '/' {
			continue
		}
		file := filepath.Join(dir, name)
		var st unix.Stat_t
		if unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG && unix.Access(file, unix.X_OK) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("find criu: %q: executable file not found in $PATH", name)
}

// criuEnvironment is what criu gets of ours: where to find tar, ip and iptables-restore, which it
// runs, and its own settings (R17: nothing else of the caller's).
func criuEnvironment(env []string) []string {
	out := []string{"LC_ALL=C"}
	for _, e := range env {
		if strings.HasPrefix(e, "PATH=") || strings.HasPrefix(e, "CRIU_") {
			out = append(out, e)
		}
	}
	return out
}

// criuFiles are the directories of a checkpoint.
type criuFiles struct {
	images, work int    // descriptors; work is 0 when it is images
	dir          string // of the log
}

// openFiles opens the images' directory and, when it is not the same, the one for logs, which it
// makes. make: the images' too.
func openFiles(images, work string, make bool, undo *undoList) (f criuFiles, err error) {
	if f.images, err = openDir(images, make, undo); err != nil {
		return f, fmt.Errorf("open the directory of the images: %w", err)
	}
	f.dir = images
	if work != "" {
		if f.work, err = openDir(work, true, undo); err != nil {
			return f, fmt.Errorf("open the working directory of criu: %w", err)
		}
		f.dir = work
	}
	return f, nil
}

func openDir(name string, make bool, undo *undoList) (int, error) {
	if make {
		if err := os.MkdirAll(name, 0o700); err != nil { // they hold the container's memory
			return -1, err
		}
	}
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	undo.fd(fd)
	return fd, nil
}

// logDir is the descriptor of the directory that criu logs to.
func (f criuFiles) logDir() int {
	if f.work != 0 {
		return f.work
	}
	return f.images
}

// forget removes the log of another time, so that [criuFiles.explain] does not quote it.
func (f criuFiles) forget(log string) { unix.Unlinkat(f.logDir(), log, 0) }

// explain adds to what went wrong what criu's log says, and where it is.
func (f criuFiles) explain(err error, log string, ws unix.WaitStatus) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		how := fmt.Sprintf("with status %d", ws.ExitStatus())
		if ws.Signaled() {
			how = "by signal " + itoa(uint64(ws.Signal()))
		}
		err = errors.New("criu ended " + how + " and gave no answer")
	}
	said := strings.Join(criu.LogErrors(f.logDir(), log), "; ")
	if failure := (*criu.Failure)(nil); said == "" && errors.As(err, &failure) {
		said = failure.Message
	}
	if said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return fmt.Errorf("%w; log file: %s", err, filepath.Join(f.dir, log))
}

// criuConfig is the configuration file that criu reads besides the options: that of the
// annotation org.criu.config, none when that is empty, or runc's, which holds what an
// administrator wants for containers. A file that does not exist is no error.
func criuConfig(annotations map[string]string) string {
	if name, ok := annotations["org.criu.config"]; ok {
		return name
	}
	return "/etc/criu/runc.conf"
}

// checkFeatures asks a criu of its own whether this host can do what a dump needs.
func (r *Runtime) checkFeatures(want criu.Features) error {
	s, err := r.startCriu(criuStart{})
	if err != nil {
		return err
	}
	has, err := s.conn.Check(want)
	s.end()
	if err != nil {
		return fmt.Errorf("CRIU feature check failed: %w; `criu check` says why", err)
	}
	var missing []string
	if want.MemTrack && !has.MemTrack {
		missing = append(missing, "MemTrack")
	}
	if want.LazyPages && !has.LazyPages {
		missing = append(missing, "LazyPages")
	}
	if len(missing) > 0 {
		return fmt.Errorf("criu is missing features: %v", missing)
	}
	return nil
}
