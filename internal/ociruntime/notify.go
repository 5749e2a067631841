package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container under systemd (Type=notify, sd_notify(3)) tells that it is ready on a socket of
// ours, and we tell the host's service manager, as runc does:
//
//	container ── /run/notify/notify.sock ──► ROOT/ID/notify/notify.sock ── keel ──► $NOTIFY_SOCKET
//	             READY=1, and more                                           READY=1
//	                                                                         MAINPID=pid
//	                                                                         BARRIER=1
//
// Nothing but the line READY=… passes: what a container says of MAINPID, FDSTORE or watchdogs
// would be about processes and descriptors of the host.

const (
	notifyDir    = "notify"
	notifySocket = "notify.sock"
	notifyInside = "/run/notify"
	// barrierTimeout is how long the service manager may take to have read all; as runc's and
	// systemd-notify's.
	barrierTimeout = 30 * time.Second
)

// notifier is our end of the container's socket.
type notifier struct {
	fd   int
	host string // address of the service manager's socket
}

// mountNotify makes the directory of the socket, mounts it and names it in the environment.
func (c *Container) mountNotify(b *box, bundleFD int, maps *mapSource, undo *undoList) error {
	dir := filepath.Join(c.dir, notifyDir)
	err := os.Mkdir(dir, 0o755)
	if err == nil {
		err = os.Chmod(dir, 0o755) // whatever the umask is
	}
	if err != nil {
		return fmt.Errorf("make the directory for the notify socket: %w", err)
	}
	m := specs.Mount{Destination: notifyInside, Source: dir, Type: "bind", Options: []string{"bind", "nosuid", "noexec", "nodev", "ro"}}
	if b.late.mode == treesCloned {
		fd, err := bindSource(bundleFD, m, parseMountOptions(m), maps)
		if err != nil {
			return fmt.Errorf("mount the notify socket: %w", err)
		}
		undo.fd(fd)
		b.sources[len(b.spec.Mounts)] = fd
	} else {
		b.late.mounts = append(b.late.mounts, len(b.spec.Mounts))
	}
	b.spec.Mounts = append(b.spec.Mounts, m)
	b.spec.Process.Env = append(b.spec.Process.Env, "NOTIFY_SOCKET="+notifyInside+"/"+notifySocket)
	return nil
}

// bindNotify makes the socket; nil without an error for a container that was made without the
// directory for one.
func (c *Container) bindNotify(host string) (*notifier, error) {
	if host == "" {
		return nil, nil
	}
	// By descriptor: a socket's name has room for 107 bytes, the state directory may be longer.
	dir, err := unix.Open(filepath.Join(c.dir, notifyDir), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == unix.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the directory of the notify socket: %w", err)
	}
	defer unix.Close(dir)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err == nil {
		if err = unix.Bind(fd, &unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + notifySocket}); err == nil {
			err = openToAll(dir)
		}
		if err != nil {
			unix.Close(fd)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the notify socket: %w", err)
	}
	return &notifier{fd: fd, host: host}, nil
}

// openToAll lets every user of the container write to the socket. A container that may mount
// can write to the directory, so the name is followed nowhere.
func openToAll(dir int) error {
	s, err := unix.Openat(dir, notifySocket, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	var st unix.Stat_t
	if err := unix.Fstat(s, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFSOCK {
		return errors.Join(errors.New("it is not a socket any more"), err)
	}
	return unix.Chmod("/proc/self/fd/"+strconv.Itoa(s), 0o777) // fchmodat takes no O_PATH descriptor before Linux 6.6
}

// pass waits until the container is ready and tells the service manager, with mainPid as the
// process to watch from then on. It returns without when the process behind pidfd ends first.
func (n *notifier) pass(pidfd, mainPid int) error {
	defer unix.Close(n.fd)
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		defer unix.Close(s)
		err = unix.Connect(s, &unix.SockaddrUnix{Name: n.host})
	}
	if err != nil {
		return fmt.Errorf("connect to $NOTIFY_SOCKET %s: %w", n.host, err)
	}
	ready, err := n.wait(pidfd)
	if err != nil || ready == "" {
		return err
	}
	for _, line := range []string{ready, "MAINPID=" + strconv.Itoa(mainPid)} {
		if _, err := unix.Write(s, []byte(line+"\n")); err != nil {
			return fmt.Errorf("write to $NOTIFY_SOCKET %s: %w", n.host, err)
		}
	}
	if err := barrier(s); err != nil {
		return fmt.Errorf("wait for the reader of $NOTIFY_SOCKET %s: %w", n.host, err)
	}
	return nil
}

func (n *notifier) close() {
	if n != nil {
		unix.Close(n.fd)
	}
}

// wait reads datagrams until one has a line READY=…, which it returns; "" when the process has
// ended.
func (n *notifier) wait(pidfd int) (string, error) {
	buf := make([]byte, 4096) // systemd's own limit
	for {
		polled := []unix.PollFd{{Fd: int32(n.fd), Events: unix.POLLIN}, {Fd: int32(pidfd), Events: unix.POLLIN}}
		if _, err := unix.Poll(polled, -1); err != nil && err != unix.EINTR {
			return "", os.NewSyscallError("poll", err)
		}
		got, err := unix.Read(n.fd, buf) // no recvmsg: descriptors that came along are dropped
		switch {
		case err == unix.EAGAIN && polled[1].Revents != 0:
			return "", nil
		case err == unix.EAGAIN || err == unix.EINTR:
			continue
		case err != nil:
			return "", fmt.Errorf("read the notify socket: %w", err)
		}
		for line := range strings.SplitSeq(string(buf[:got]), "\n") {
			if strings.HasPrefix(line, "READY=") {
				return line, nil
			}
		}
	}
}

// barrier returns when the service manager has read what was sent before (sd_notify_barrier(3)):
// it closes the pipe then. One that does not know this never does.
func barrier(s int) error {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return os.NewSyscallError("pipe2", err)
	}
	defer unix.Close(pipe[0])
	err := unix.Sendmsg(s, []byte("BARRIER=1"), unix.UnixRights(pipe[1]), nil, 0)
	unix.Close(pipe[1])
	if err != nil {
		return os.NewSyscallError("sendmsg", err)
	}
	deadline := time.Now().Add(barrierTimeout)
	for {
		left := time.Until(deadline)
		if left <= 0 {
			return errors.New("it has not answered the barrier")
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pipe[0])}}, int(left.Milliseconds())+1)
		if err != nil && err != unix.EINTR {
			return os.NewSyscallError("poll", err)
		}
		if n > 0 {
			return nil
		}
	}
}

// passNotify passes on that a container is ready whose init is to be the main process, and
// warns when that fails.
func (c *Container) passNotify(n *notifier) {
	if n == nil {
		return
	}
	fd, err := c.initFD()
	if err != nil { // it has ended
		n.close()
		return
	}
	defer unix.Close(fd)
	if err := n.pass(fd, c.InitPid); err != nil {
		c.r.warn(err.Error())
	}
}
