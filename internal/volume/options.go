package volume

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/hull-dev/hull/internal/linux"
)

// checkOptions refuses what the driver local does not know, with Docker's texts.
func checkOptions(o map[string]string) error {
	bad := func(format string, args ...any) error {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
	}
	for k, v := range o {
		switch k {
		case "type", "o", "device":
		case "size":
			return bad("quota size requested but no quota support")
		default:
			return bad("invalid option: %q", k)
		}
		if strings.ContainsAny(v, "\x00\n") {
			return bad("invalid option %q: it has a line end or a zero byte", k)
		}
	}
	for _, need := range []struct {
		option string
		others []string
	}{{"device", []string{"type"}}, {"type", []string{"device"}}, {"o", []string{"device", "type"}}} {
		if _, ok := o[need.option]; !ok {
			continue
		}
		for _, other := range need.others {
			if _, ok := o[other]; !ok {
				return bad("missing required option: %q", other)
			}
		}
	}
	if u, err := url.Parse(o["device"]); o["type"] == "cifs" && err == nil && u.Port() != "" {
		return bad("port not allowed in CIFS device URL, include 'port' in 'o='")
	}
	return nil
}

// fileSystem is what driver options say is to be mounted.
type fileSystem struct {
	kind, device string
	bind, rbind  bool
	attr         uint64   // MOUNT_ATTR_* bits
	propagation  uint64   // MS_PRIVATE …; 0: private
	data         []string // options of the file system itself
}

// attributes are the options of the mount, not of the file system. The first one of a pair is set by its bit.
func attribute(option string) (set, clear uint64, ok bool) {
	for _, a := range []struct {
		set, clear string
		bit        uint64
	}{
		{"ro", "rw", unix.MOUNT_ATTR_RDONLY}, {"nosuid", "suid", unix.MOUNT_ATTR_NOSUID}, {"nodev", "dev", unix.MOUNT_ATTR_NODEV},
		{"noexec", "exec", unix.MOUNT_ATTR_NOEXEC}, {"nodiratime", "diratime", unix.MOUNT_ATTR_NODIRATIME},
		{"noatime", "atime", unix.MOUNT_ATTR_NOATIME}, {"strictatime", "nostrictatime", unix.MOUNT_ATTR_STRICTATIME},
		{"nosymfollow", "symfollow", unix.MOUNT_ATTR_NOSYMFOLLOW}, {"norelatime", "relatime", 0},
	} {
		switch option {
		case a.set:
			return a.bit, 0, true
		case a.clear:
			return 0, a.bit, true
		}
	}
	return 0, 0, false
}

// parseOptions reads driver options that checkOptions has passed.
func parseOptions(o map[string]string) fileSystem {
	f := fileSystem{kind: o["type"], device: o["device"]}
	for _, opt := range strings.Split(o["o"], ",") {
		set, clear, ok := attribute(opt)
		switch {
		case opt == "" || opt == "defaults":
		case ok:
			f.attr = f.attr&^clear | set
		case opt == "bind":
			f.bind = true
		case opt == "rbind":
			f.bind, f.rbind = true, true
		case slices.Contains([]string{"private", "rprivate"}, opt):
			f.propagation = unix.MS_PRIVATE
		case slices.Contains([]string{"shared", "rshared"}, opt):
			f.propagation = unix.MS_SHARED
		case slices.Contains([]string{"slave", "rslave"}, opt):
			f.propagation = unix.MS_SLAVE
		default:
			f.data = append(f.data, opt)
		}
	}
	if f.kind == "none" || f.kind == "bind" {
		f.bind = true
	}
	return f
}

// network says whether the files are on another machine.
func (f fileSystem) network() bool {
	return slices.Contains([]string{"nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "glusterfs"}, f.kind) || strings.HasPrefix(f.kind, "fuse")
}

// mount makes a mount that is attached nowhere.
func (f fileSystem) mount(ctx context.Context) (int, error) {
	if f.bind {
		return f.mountBind()
	}
	data, err := f.resolve(ctx)
	if err != nil {
		return -1, err
	}
	fs, err := linux.OpenFS(f.kind)
	if err != nil {
		return -1, err
	}
	defer fs.Close()
	if err := fs.String("source", f.device); err != nil {
		return -1, err
	}
	for _, opt := range data {
		key, value, valued := strings.Cut(opt, "=")
		if valued {
			err = fs.String(key, value)
		} else {
			err = fs.Flag(key)
		}
		if err != nil {
			return -1, err
		}
	}
	return fs.Mount(int(f.attr))
}

func (f fileSystem) mountBind() (int, error) {
	if len(f.data) > 0 {
		return -1, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("a bind mount has no option %q", f.data[0]))
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC)
	if f.rbind {
		flags |= unix.AT_RECURSIVE
	}
	// device is a path of the host, given by who may mount anything: its links are followed.
	fd, err := unix.OpenTree(unix.AT_FDCWD, f.device, flags)
	if err != nil {
		return -1, err
	}
	propagation := f.propagation
	if propagation == 0 {
		propagation = unix.MS_PRIVATE
	}
	if err := linux.SetAttr(fd, linux.Attr{Set: f.attr, Propagation: propagation, UserNS: -1}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// resolve replaces the name in addr= by an address: the kernel knows no names.
func (f fileSystem) resolve(ctx context.Context) ([]string, error) {
	if !f.network() {
		return f.data, nil
	}
	data := slices.Clone(f.data)
	for i, opt := range data {
		host, ok := strings.CutPrefix(opt, "addr=")
		if !ok {
			continue
		}
		if _, err := netip.ParseAddr(host); err == nil {
			continue
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err == nil && len(addrs) == 0 {
			err = errors.New("it has no address")
		}
		if err != nil {
			return nil, fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		data[i] = "addr=" + addrs[0].Unmap().String()
	}
	return data, nil
}
