package linux

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootMount makes, changes, attaches and detaches a mount without a path.
func TestRootMount(t *testing.T) {
	fs, err := OpenFS("tmpfs")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if err := errors.Join(fs.String("size", "1M"), fs.Flag("noswap")); err != nil {
		t.Log(err) // noswap came with Linux 6.4
	}
	mnt, err := fs.Mount(unix.MOUNT_ATTR_NODEV)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(mnt)
	if err := os.WriteFile(FDPath(mnt)+"/file", []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	clone, err := CloneTree(mnt)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(clone)
	if err := SetAttr(clone, Attr{Set: unix.MOUNT_ATTR_RDONLY, Propagation: unix.MS_PRIVATE, UserNS: -1}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(FDPath(clone)+"/file", nil, 0o600); !errors.Is(err, unix.EROFS) {
		t.Errorf("writing through a read-only clone: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(dir+"/point", 0o700); err != nil {
		t.Fatal(err)
	}
	at := openDir(t, dir)
	if err := MoveMount(clone, openDir(t, dir+"/point")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(dir + "/point/file"); err != nil || string(data) != "x" {
		t.Errorf("through the attached clone: %q %v", data, err)
	}
	if err := Detach(at, "point"); err != nil {
		t.Fatal(err)
	}
	if err := Detach(at, "point"); !errors.Is(err, unix.EINVAL) {
		t.Errorf("detached twice: %v, want EINVAL", err)
	}
}

// TestRootMountErrors: the kernel's own words are in the error.
func TestRootMountErrors(t *testing.T) {
	if _, err := OpenFS("nosuchfs"); !errors.Is(err, unix.ENODEV) || !strings.Contains(err.Error(), "nosuchfs") {
		t.Errorf("unknown type: %v", err)
	}
	fs, err := OpenFS("tmpfs")
	if err != nil {
		t.Fatal(err)
	}
	defer fs.Close()
	if err := fs.String("size", "much"); !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "size=much") || !strings.Contains(err.Error(), "tmpfs: ") {
		t.Errorf("bad option: %v, want the option and the kernel's message", err)
	}
}

// TestRootAsFSUser: files are made as the other user, with root's powers, and only there.
func TestRootAsFSUser(t *testing.T) {
	dir := t.TempDir() // 0700 of root: the other user needs the capabilities
	err := AsFSUser(12345, 54321, func() error { return os.WriteFile(dir+"/file", nil, 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/ours", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir+"/file", &st); err != nil || st.Uid != 12345 || st.Gid != 54321 {
		t.Errorf("the file belongs to %d:%d (%v), want 12345:54321", st.Uid, st.Gid, err)
	}
	if err := unix.Stat(dir+"/ours", &st); err != nil || st.Uid != 0 {
		t.Errorf("afterwards a file belongs to %d (%v)", st.Uid, err)
	}
	want := errors.New("f's error")
	if err := AsFSUser(0, 0, func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
}
