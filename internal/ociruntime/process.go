package ociruntime

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	"github.com/hull-dev/hull/internal/sigpipe"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Process is a process of a container that this program has started.
type Process struct {
	child  *launch.Child
	c      *Container
	detach bool
	keep   bool
	exec   bool
	master int  // our end of the terminal, or -1
	took   bool // the terminal has been received
	sigs   int  // of catchSignals, or 0
	reap   bool
	notify *notifier
}

// Pid is the host's number of the process.
func (p *Process) Pid() int { return p.child.Pid }

func goAhead(sync int) error {
	if _, err := unix.Write(sync, []byte{1}); err != nil {
		return fmt.Errorf("tell the container process to go on: %w", err)
	}
	return nil
}

// follow answers the child's notices until its program runs, or until it waits for start.
func (p *Process) follow(s *specs.Spec, sync int, consoleSocket string, run bool) error {
	for {
		n, err := p.child.Next()
		switch {
		case err == io.EOF && run:
			return p.takeTerminal(s.Process.Terminal, sync, consoleSocket)
		case err == io.EOF:
			return errors.New("the container process ended before it was created")
		case err != nil:
			return explainMount(programError(err, s.Process.Args[0]))
		}
		switch n.Code {
		case noticeCreated:
			return p.takeTerminal(s.Process.Terminal, sync, consoleSocket)
		case noticeListener: // the terminal, if there is one, is in the socket before it
			if err := p.takeTerminal(s.Process.Terminal, sync, consoleSocket); err != nil {
				return err
			}
			if err := p.handOverListener(int(n.Value), sync, specs.StateCreating); err != nil {
				return err
			}
			if !run { // it waits for `start`
				return nil
			}
			if err := goAhead(sync); err != nil {
				return err
			}
		case noticeHooks:
			h := s.Hooks
			err := p.c.runHooks("prestart", h.Prestart, "creating")
			if err == nil {
				err = p.c.runHooks("createRuntime", h.CreateRuntime, "creating")
			}
			if err == nil {
				err = p.c.runHooks("createContainer", h.CreateContainer, "creating")
			}
			if err != nil {
				return err
			}
			if err := goAhead(sync); err != nil {
				return err
			}
		}
	}
}

// checkConsole: the terminal of a process that we do not stay for needs a place to go to, and no
// other has one. The texts are runc's.
func checkConsole(terminal, detach bool, socket string) error {
	switch {
	case terminal && detach && socket == "":
		return errors.New("cannot allocate tty if runc will detach without setting console socket: give --console-socket")
	case socket != "" && !(terminal && detach):
		return errors.New("cannot use console socket if runc will not detach or allocate tty")
	}
	return nil
}

func (p *Process) takeTerminal(terminal bool, sync int, consoleSocket string) error {
	if !terminal || p.took {
		return nil
	}
	master, err := receiveFD(sync)
	if err != nil {
		return err
	}
	p.took = true
	if consoleSocket == "" {
		p.master = master
		return nil
	}
	defer unix.Close(master)
	return sendOver(consoleSocket, master, "/dev/ptmx")
}

func receiveFD(sock int) (int, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(sock, buf, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("receive a descriptor of the container process: %w", err)
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, errors.New("receive a descriptor of the container process: no descriptor came")
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, errors.New("receive a descriptor of the container process: no descriptor came")
	}
	return fds[0], nil
}

// sendOver sends a descriptor to a unix stream socket at a path, as runc does.
func sendOver(path string, fd int, name string) error {
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := unix.Connect(s, &unix.SockaddrUnix{Name: path}); err != nil {
		return fmt.Errorf("connect to the socket %s: %w", path, err)
	}
	if err := unix.Sendmsg(s, []byte(name), unix.UnixRights(fd), nil, 0); err != nil {
		return fmt.Errorf("send a descriptor over %s: %w", path, err)
	}
	return nil
}

// publish writes the pid file and sends the pidfd.
func publish(child *launch.Child, pidFile, pidfdSocket string) error {
	if pidfdSocket != "" {
		if err := sendOver(pidfdSocket, child.PidFD, "pidfd"); err != nil {
			return err
		}
	}
	if pidFile == "" {
		return nil
	}
	tmp := pidFile + ".tmp" + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(tmp, []byte(strconv.Itoa(child.Pid)), 0o644); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	if err := os.Rename(tmp, pidFile); err != nil {
		os.Remove(tmp)
		return fmt.Errorf("write the pid file: %w", err)
	}
	return nil
}

// Wait waits for a foreground process: it passes signals on, copies the terminal, and
// returns the exit status (128+n for signal n). A container's init is deleted afterwards
// unless it shall be kept. For a detached process it returns 0 at once.
func (p *Process) Wait() (int, error) {
	if p.detach {
		p.c.passNotify(p.notify)
		p.child.Close()
		return 0, nil
	}
	if p.notify != nil { // we stay, and end when the container does: the process to watch is ours
		if fd, err := unix.PidfdOpen(p.child.Pid, 0); err == nil {
			go func() {
				if err := p.notify.pass(fd, os.Getpid()); err != nil {
					p.c.r.warn(err.Error())
				}
				unix.Close(fd)
			}()
		}
	}
	if p.sigs == 0 {
		if err := p.catchSignals(); err != nil {
			return 0, err
		}
	}
	finishTerminal := p.serveTerminal()
	ws, err := p.passOn(p.sigs)
	if err != nil {
		return 0, err
	}
	finishTerminal()
	code := ws.ExitStatus()
	if ws.Signaled() {
		code = 128 + int(ws.Signal())
	}
	p.child.Close()
	if p.exec || p.keep {
		return code, nil
	}
	return code, p.c.Delete(true)
}

// catchSignals asks for the signals that people and supervisors send, and for those of orphans.
func (p *Process) catchSignals() (err error) {
	p.sigs, err = sigpipe.Open(unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGCONT, unix.SIGWINCH)
	if err == nil && p.reap {
		p.sigs, err = sigpipe.Open(unix.SIGCHLD)
	}
	return err
}

// passOn gives the process the signals that come from sigs, until it has ended, and returns how.
func (p *Process) passOn(sigs int) (ws unix.WaitStatus, err error) {
	set := []unix.PollFd{{Fd: int32(p.child.PidFD), Events: unix.POLLIN}, {Fd: int32(sigs), Events: unix.POLLIN}}
	for {
		if p.reap {
			if ws, ended := p.reapOrphans(); ended {
				return ws, nil
			}
		}
		if _, err := unix.Poll(set, -1); err != nil && err != unix.EINTR {
			return ws, fmt.Errorf("wait for process %d: %w", p.child.Pid, err)
		}
		var b [64]byte
		n, _ := unix.Read(sigs, b[:])
		for _, s := range b[:max(n, 0)] {
			switch unix.Signal(s) {
			case unix.SIGCHLD:
			case unix.SIGWINCH:
				p.resize()
			default:
				unix.PidfdSendSignal(p.child.PidFD, unix.Signal(s), nil, 0)
			}
		}
		if set[0].Revents != 0 {
			break
		}
	}
	for {
		_, err := unix.Wait4(p.child.Pid, &ws, 0, nil)
		if err == nil {
			return ws, nil
		}
		if err != unix.EINTR {
			return ws, fmt.Errorf("wait for process %d: %w", p.child.Pid, err)
		}
	}
}

// reapOrphans waits for children that have ended: orphans of the container, and the process
// itself, whose status it returns.
func (p *Process) reapOrphans() (ws unix.WaitStatus, ended bool) {
	for {
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		switch {
		case err == unix.EINTR:
		case err != nil || pid <= 0:
			return ws, false
		case pid == p.child.Pid:
			return ws, true
		}
	}
}

// abandon ends a container that runs but must not (a poststart hook has failed), and deletes
// it unless it shall be kept.
func (p *Process) abandon() error {
	p.child.Kill()
	p.notify.close()
	if p.master >= 0 {
		unix.Close(p.master)
	}
	if p.keep {
		return p.c.end()
	}
	return p.c.Delete(true)
}

func (p *Process) resize() {
	if p.master < 0 {
		return
	}
	if ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ); err == nil {
		unix.IoctlSetWinsize(p.master, unix.TIOCSWINSZ, ws)
	}
}

// serveTerminal copies between our stdio and the container's terminal, in raw mode.
func (p *Process) serveTerminal() func() {
	if p.master < 0 {
		return func() {}
	}
	p.resize()
	old, err := unix.IoctlGetTermios(0, unix.TCGETS)
	if err == nil {
		raw := *old
		raw.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
		raw.Oflag &^= unix.OPOST
		raw.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
		raw.Cflag = raw.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
		raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
		unix.IoctlSetTermios(0, unix.TCSETS, &raw)
	}
	m := os.NewFile(uintptr(p.master), "terminal")
	done := make(chan struct{})
	go io.Copy(m, os.Stdin)
	go func() {
		io.Copy(os.Stdout, m) // ends with EIO when the last process closes its end
		close(done)
	}()
	return func() {
		<-done
		m.Close()
		if old != nil && err == nil {
			unix.IoctlSetTermios(0, unix.TCSETS, old)
		}
	}
}

// startTime is field 22 of /proc/PID/stat, in clock ticks since boot.
func startTime(pid int) (uint64, error) {
	s, err := readStat(pid)
	if err != nil {
		return 0, fmt.Errorf("read the start time of process %d: %w", pid, err)
	}
	return s.start, nil
}

func capgetSelf() (eff, _ uint64) {
	h := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var d [2]unix.CapUserData
	unix.Capget(&h, &d[0])
	return uint64(d[0].Effective) | uint64(d[1].Effective)<<32, uint64(d[0].Permitted) | uint64(d[1].Permitted)<<32
}

func ownEffective() uint64 { e, _ := capgetSelf(); return e }

// programError gives the failure to find a program the words that engines look for:
// docker's exit status 127 depends on them.
func programError(err error, arg string) error {
	var e *launch.Error
	if errors.As(err, &e) && e.Errno == unix.ENOENT && strings.HasPrefix(e.Doing, "exec:") && !strings.Contains(arg, "/") {
		return fmt.Errorf("exec: %q: executable file not found in $PATH", arg)
	}
	return err
}
