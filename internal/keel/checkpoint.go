package keel

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/hull-dev/hull/internal/criu"
	"github.com/hull-dev/hull/internal/ociruntime"
	"golang.org/x/sys/unix"
)

func checkpointCommand() command {
	return command{
		name: "checkpoint", brief: "checkpoint a running container", args: containerID, min: 1, max: 1, starts: true,
		about: "Writes the processes of the container to files with criu, and deletes the container, unless it shall go on.\nAfter a failure it goes on.",
		options: append(criuFlags(),
			option{name: "parent-path", value: true, usage: "`path` for previous criu image files in pre-dump, relative to --image-path"},
			option{name: "leave-running", usage: "leave the process running after checkpointing"},
			option{name: "tcp-skip-in-flight", usage: "skip in-flight tcp connections"},
			option{name: "link-remap", usage: "allow one to link unlinked files back when possible"},
			option{name: "status-fd", value: true, usage: "criu writes \\0 to this `FD` once lazy-pages is ready (default: -1)"},
			option{name: "page-server", value: true, usage: "`ADDRESS:PORT` of the page server"},
			option{name: "pre-dump", usage: "dump container's memory information only, leave the container running after this"}),
		run: checkpoint,
	}
}

// criuFlags are those that checkpoint and restore share.
func criuFlags() []option {
	return []option{
		{name: "image-path", value: true, usage: "`path` for the criu image files (default: ./checkpoint)"},
		{name: "work-path", value: true, usage: "`path` for saving work files and logs (default: that of the image files)"},
		{name: "tcp-established", usage: "allow open tcp connections"},
		{name: "ext-unix-sk", usage: "allow external unix sockets"},
		{name: "shell-job", usage: "allow shell jobs"},
		{name: "lazy-pages", usage: "use userfaultfd to lazily restore memory pages"},
		{name: "file-locks", usage: "handle file locks, for safety"},
		{name: "manage-cgroups-mode", value: true, usage: "cgroups `mode`: soft|full|strict|ignore (default: soft)"},
		{name: "empty-ns", value: true, usage: "create a `namespace`, but don't restore its properties; network is the only one"},
		{name: "auto-dedup", usage: "enable auto deduplication of memory images"},
	}
}

func checkpoint(r *ociruntime.Runtime, o options, args []string) (int, error) {
	warnRootless(r, "checkpoint")
	c, err := r.Load(args[0])
	if err != nil {
		return 0, err
	}
	opts, err := checkpointOptions(o)
	if err == nil {
		err = c.Checkpoint(opts)
	}
	return 0, err
}

func warnRootless(r *ociruntime.Runtime, verb string) {
	if r.Rootless {
		r.Warn("keel " + verb + " is untested with rootless containers")
	}
}

func checkpointOptions(o options) (c ociruntime.CheckpointOptions, err error) {
	if c.CriuOptions, err = criuOptions(o); err != nil {
		return c, err
	}
	c.PreDump, c.LeaveRunning = o.is("pre-dump"), o.is("leave-running")
	c.TCPSkipInFlight, c.LinkRemap = o.is("tcp-skip-in-flight"), o.is("link-remap")
	if c.PageServer, err = pageServer(o.get("page-server")); err != nil {
		return c, err
	}
	c.StatusFD = -1
	if v := o.get("status-fd"); v != "" {
		if c.StatusFD, err = strconv.Atoi(v); err != nil {
			return c, fmt.Errorf("invalid --status-fd argument %q: not a number", v)
		}
	}
	c.Parent, err = parentPath(c.Images, o.get("parent-path"))
	return c, err
}

func criuOptions(o options) (ociruntime.CriuOptions, error) {
	c := ociruntime.CriuOptions{
		Images: o.get("image-path"), Work: o.get("work-path"),
		TCPEstablished: o.is("tcp-established"), ExtUnixSk: o.is("ext-unix-sk"), ShellJob: o.is("shell-job"),
		FileLocks: o.is("file-locks"), AutoDedup: o.is("auto-dedup"), LazyPages: o.is("lazy-pages"),
		EmptyNS: unix.CLONE_NEWNET, // as in runc: network devices are not the runtime's
	}
	if c.Images == "" {
		c.Images = "checkpoint"
	}
	for _, p := range []*string{&c.Images, &c.Work} {
		if *p == "" {
			continue
		}
		abs, err := filepath.Abs(*p)
		if err != nil {
			return c, err
		}
		*p = abs
	}
	for _, n := range o["empty-ns"] {
		if n != "network" {
			return c, fmt.Errorf("namespace %q is not supported", n)
		}
	}
	switch o.get("manage-cgroups-mode") {
	case "", "soft":
		c.CgroupMode = criu.CgroupSoft
	case "full":
		c.CgroupMode = criu.CgroupFull
	case "strict":
		c.CgroupMode = criu.CgroupStrict
	case "ignore":
		c.CgroupMode = criu.CgroupIgnore
	default:
		return c, errors.New("invalid manage-cgroups-mode value")
	}
	return c, nil
}

// parentPath checks that the images of the pre-dump before are there.
func parentPath(images, parent string) (string, error) {
	if parent == "" {
		return "", nil
	}
	if filepath.IsAbs(parent) {
		return "", errors.New("--parent-path must be relative")
	}
	var st unix.Stat_t
	name := filepath.Join(images, parent)
	err := unix.Stat(name, &st)
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFDIR {
		err = unix.ENOTDIR
	}
	if err != nil {
		return "", fmt.Errorf("invalid --parent-path: %s: %w", name, err)
	}
	return parent, nil
}

// pageServer reads ADDRESS:PORT; an IPv6 address is in brackets.
func pageServer(v string) (*criu.PageServer, error) {
	if v == "" {
		return nil, nil
	}
	i := strings.LastIndexByte(v, ':')
	if i < 0 {
		i = 0
	}
	address, port := v[:i], strings.TrimPrefix(v[i:], ":")
	if a, ok := strings.CutPrefix(address, "["); ok && strings.HasSuffix(a, "]") {
		address = strings.TrimSuffix(a, "]")
	} else if strings.ContainsAny(address, "[]:") {
		address = ""
	}
	if address == "" || port == "" {
		return nil, errors.New("use --page-server ADDRESS:PORT to specify page server")
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, errors.New("invalid port number of --page-server")
	}
	return &criu.PageServer{Address: address, Port: int(n)}, nil
}
