package ociruntime

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/hull-dev/hull/internal/launch"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// labels are what security modules are told of a process before it executes its program:
// process.apparmorProfile and process.selinuxLabel.
//
// They are written into /proc/thread-self/attr of the host's procfs, through a descriptor that the
// parent has opened and checked, before the process enters the container's mount namespace: a
// /proc of the container's could lead the writes elsewhere (SECURITY.md R2, CVE-2019-16884,
// CVE-2019-19921, CVE-2023-28642, CVE-2025-52881). The kernel takes them from the process itself
// only; they count from its next execve on.
type labels struct {
	procfs            int // the host's /proc, O_PATH
	apparmor, selinux string
	apparmorFile      string // below /proc
	// Open files of the child.
	appExec, exec, keys launch.Slot
}

// openLabels checks that the host can do what is asked for. Without a label there is nothing to do.
func openLabels(pr *specs.Process, mountLabel string, undo *undoList) (*labels, error) {
	if pr.ApparmorProfile == "" && pr.SelinuxLabel == "" && mountLabel == "" {
		return nil, nil
	}
	switch {
	case pr.ApparmorProfile != "" && !appArmorEnabled("/sys"):
		return nil, fmt.Errorf("process.apparmorProfile: the profile %q cannot be applied: AppArmor is not enabled on this host", pr.ApparmorProfile)
	case pr.SelinuxLabel != "" && !seLinuxEnabled("/sys/fs/selinux"):
		return nil, errors.New("process.selinuxLabel: selinux label is specified in config, but selinux is disabled or not supported")
	case mountLabel != "" && !seLinuxEnabled("/sys/fs/selinux"):
		return nil, errors.New("linux.mountLabel: selinux label is specified in config, but selinux is disabled or not supported")
	}
	fd, err := openProcfs()
	if err != nil {
		return nil, err
	}
	undo.fd(fd)
	l := &labels{procfs: fd, apparmor: pr.ApparmorProfile, selinux: pr.SelinuxLabel, apparmorFile: "thread-self/attr/apparmor/exec"}
	if unix.Faccessat(fd, "thread-self/attr/apparmor", unix.F_OK, 0) != nil { // before Linux 5.8
		l.apparmorFile = "thread-self/attr/exec"
	}
	return l, nil
}

// openProcfs opens the host's /proc, and nothing that is in its place.
func openProcfs() (int, error) {
	fd, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: "/proc", Err: err}
	}
	var st unix.Statfs_t
	if err = unix.Fstatfs(fd, &st); err == nil && st.Type != unix.PROC_SUPER_MAGIC {
		err = errors.New("not a procfs")
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("check /proc: %w", err)
	}
	return fd, nil
}

// appArmorEnabled asks the module's parameter, below a sysfs.
func appArmorEnabled(sys string) bool {
	b, err := os.ReadFile(sys + "/module/apparmor/parameters/enabled")
	return err == nil && strings.HasPrefix(string(b), "Y")
}

// seLinuxEnabled asks whether a selinuxfs that can be written to is mounted on a directory.
func seLinuxEnabled(dir string) bool {
	var st unix.Statfs_t
	return unix.Statfs(dir, &st) == nil && st.Type == unix.SELINUX_MAGIC && st.Flags&unix.ST_RDONLY == 0
}

// openLabels opens the files in the child, while it is in the host's mount namespace.
func (p *planner) openLabels(l *labels) {
	if l == nil {
		return
	}
	open := func(name string) launch.Slot {
		s := p.Slot("attr")
		p.Call("openat2", unix.SYS_OPENAT2, p.FD(l.procfs, "procfs"), p.Str(name),
			p.How(unix.O_WRONLY|unix.O_CLOEXEC, unix.RESOLVE_BENEATH|unix.RESOLVE_NO_MAGICLINKS|unix.RESOLVE_NO_XDEV, 0), launch.Int(howSize)).Out(s)
		return s
	}
	if l.apparmor != "" {
		p.Doing("open", "/proc/"+l.apparmorFile)
		l.appExec = open(l.apparmorFile)
	}
	if l.selinux != "" {
		p.Doing("open", "/proc/thread-self/attr")
		l.exec, l.keys = open("thread-self/attr/exec"), open("thread-self/attr/keycreate")
	}
}

func (p *planner) writeLabel(s launch.Slot, text string) {
	p.Call("write", unix.SYS_WRITE, launch.Of(s), p.Str(text), launch.Int(len(text))).Want(uint32(len(text)))
}

// labelKeys makes keyrings get the label of the process, or, with none, no longer.
func (p *planner) labelKeys(l *labels, on bool) {
	if l == nil || l.selinux == "" {
		return
	}
	text := "\n" // the kernel takes it for none
	if on {
		text = l.selinux
	}
	p.Doing("set the label of keys to", l.selinux)
	p.writeLabel(l.keys, text)
}

// labelProgram makes the program of the next execve run under its labels.
func (p *planner) labelProgram(l *labels) {
	if l == nil {
		return
	}
	if l.apparmor != "" {
		p.Doing("apply the AppArmor profile", l.apparmor)
		p.writeLabel(l.appExec, "exec "+l.apparmor)
	}
	if l.selinux != "" {
		p.Doing("set process.selinuxLabel", l.selinux)
		p.writeLabel(l.exec, l.selinux)
	}
}

// labelMount is the option that gives the files of a new file system linux.mountLabel. procfs and
// sysfs have labels of their own; a cgroup is the host's; for mqueue see [planner.labelRoot].
func labelMount(kind, label string) []string {
	switch kind {
	case "proc", "sysfs", "mqueue", "cgroup", "cgroup2":
		return nil
	}
	if label == "" {
		return nil
	}
	return []string{"context=" + label}
}

// labelRoot labels the root of an mqueue, which has no context option: as runc, by its attribute.
func (p *planner) labelRoot(dest, label string) {
	p.Doing("label", dest)
	p.openIn(dest, unix.O_RDONLY|unix.O_DIRECTORY, p.target)
	p.Call("fsetxattr", unix.SYS_FSETXATTR, launch.Of(p.target), p.Str("security.selinux"), p.Str(label), launch.Int(len(label)), launch.Int(0))
	p.close(p.target)
}
