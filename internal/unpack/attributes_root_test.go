package unpack

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootIDMaps: ids are mapped on the way in and back on the way out.
func TestRootIDMaps(t *testing.T) {
	maps := []IDMap{{0, 100000, 65536}, {65536, 400000, 10}}
	from, to, back := t.TempDir(), t.TempDir(), t.TempDir()
	fillTree(t, from)
	if err := os.Remove(filepath.Join(from, "lib")); err != nil { // its group is 2^32-2
		t.Fatal(err)
	}
	if err := unix.Chown(filepath.Join(from, "etc/passwd"), 65537, 0); err != nil {
		t.Fatal(err)
	}
	o := asRoot
	o.UIDMap, o.GIDMap = maps, maps
	pipe(t, from, to, o)
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(to, "etc/passwd"), &st); err != nil || st.Uid != 400001 || st.Gid != 100000 {
		t.Errorf("the owner is %d:%d, %v", st.Uid, st.Gid, err)
	}
	var b bytes.Buffer
	if _, err := Write(context.Background(), &b, open(t, to), WriteOptions{UIDMap: maps, GIDMap: maps}); err != nil {
		t.Fatal(err)
	}
	if _, err := extractTo(t, back, &b, asRoot); err != nil {
		t.Fatal(err)
	}
	sameTrees(t, "mapped and back", treeOf(t, back, "dirtimes"), treeOf(t, from, "dirtimes"))

	o.UIDMap = maps[:1]
	if _, err := extractTo(t, t.TempDir(), bytes.NewReader(archive(t, tar.Header{Name: "x", Uid: 65536})), o); !errors.Is(err, ErrArchive) {
		t.Errorf("an id outside of the map: %v", err)
	}
	if _, err := Write(context.Background(), io.Discard, open(t, from), WriteOptions{UIDMap: maps, GIDMap: maps}); err == nil {
		t.Error("an owner outside of the map was written")
	}
}

// TestRootOwner: one owner for all entries (COPY --chown), and set-group-id directories that do not hand on what the archive does not say.
func TestRootOwner(t *testing.T) {
	o := asRoot
	o.Owner = &Owner{UID: 5, GID: 6}
	root := t.TempDir()
	setgid := dirEntry("d")
	setgid.Mode, setgid.Gid = 0o2775, 77
	data := archive(t, setgid, file("d/f", "x"), dirEntry("d/e"), symlink("d/l", "f"), file("implied/f", "x"))
	if _, err := extractTo(t, root, bytes.NewReader(data), o); err != nil {
		t.Fatal(err)
	}
	for p, d := range treeOf(t, root) {
		if p != "." && !strings.Contains(d, " 5:6 ") {
			t.Errorf("%s is %s", p, d)
		}
	}
	root = t.TempDir()
	if _, err := extractTo(t, root, bytes.NewReader(data), asRoot); err != nil {
		t.Fatal(err)
	}
	tree := treeOf(t, root)
	for p, want := range map[string]string{"d": "42775 0:77 ", "d/f": "100644 0:0 ", "d/e": "40755 0:0 ", "d/l": "120777 0:0 "} {
		if !strings.HasPrefix(tree[p], want) {
			t.Errorf("%s is %s, want %s", p, tree[p], want)
		}
	}
}

// TestRootDevices: only when asked.
func TestRootDevices(t *testing.T) {
	data := archive(t, tar.Header{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}, tar.Header{Typeflag: tar.TypeFifo, Name: "p"})
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(data), Options{})
	if err != nil || st.SkippedDevices != 1 || st.Nodes != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, err := os.Lstat(filepath.Join(root, "null")); !os.IsNotExist(err) {
		t.Errorf("a device was made: %v", err)
	}
}

// TestRootSetID: the caller learns whether anything in the layer gains privileges when it runs.
func TestRootSetID(t *testing.T) {
	setuid, setgid, plain := file("f", "x"), file("f", "x"), file("f", "x")
	setuid.Mode, setgid.Mode = 0o4755, 0o2755
	capable := file("f", "x")
	capable.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": netBind}
	sticky := dirEntry("d")
	sticky.Mode = 0o3777
	for i, c := range []struct {
		h    tar.Header
		want bool
	}{{setuid, true}, {setgid, true}, {capable, true}, {plain, false}, {sticky, false}} {
		root := t.TempDir()
		st, err := extractTo(t, root, bytes.NewReader(archive(t, c.h)), asRoot)
		if err != nil || st.SetID != c.want {
			t.Errorf("case %d: %v, %v", i, st.SetID, err)
		}
		o := asRoot
		o.KeepOwner = true
		if _, err := extractTo(t, root, bytes.NewReader(archive(t, c.h)), o); err != nil {
			t.Error(err)
		}
		for p, d := range treeOf(t, root) {
			if p != "." && (strings.HasPrefix(d, "104") || strings.HasPrefix(d, "102") || strings.HasPrefix(d, "43")) {
				t.Errorf("with the caller's owner, case %d: %s is %s", i, p, d)
			}
		}
	}
}

// netBind is vfs_cap_data, revision 2: cap_net_bind_service, permitted.
const netBind = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// TestRootXattrs: those of the allow-list are kept, byte by byte; what the host or overlayfs would obey is not.
func TestRootXattrs(t *testing.T) {
	all := map[string]string{
		"security.capability": netBind, "user.a": "x\x00=\n", "user.overlay": "kept",
		"user.overlay.redirect": "/etc", "user.overlay.opaque": "y", "trusted.overlay.opaque": "y", "trusted.overlay.redirect": "/etc",
		"trusted.overlay.metacopy": "x", "trusted.a": "x", "security.selinux": "x", "security.ima": "x", "system.posix_acl_access": "x", "bogus": "x",
	}
	kept := []string{"security.capability", "user.a", "user.overlay"}
	records := make(map[string]string)
	for n, v := range all {
		records[xattrPrefix+n] = v
	}
	f, d := file("f", "x"), dirEntry("d")
	f.PAXRecords, d.PAXRecords = records, records
	root := t.TempDir()
	st, err := extractTo(t, root, bytes.NewReader(archive(t, f, d)), asRoot)
	if err != nil {
		t.Fatal(err)
	}
	if want := int64(2 * (len(all) - len(kept))); st.DroppedXattrs != want {
		t.Errorf("%d were dropped, want %d", st.DroppedXattrs, want)
	}
	for _, p := range []string{"f", "d"} {
		x := open(t, filepath.Join(root, p))
		names, err := xattrNames(int(x.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		if !slices.Equal(names, kept) {
			t.Errorf("%s has %q, want %q", p, names, kept)
		}
		for _, n := range kept {
			if v, err := readXattr(int(x.Fd()), n); err != nil || string(v) != all[n] {
				t.Errorf("%s: %s is %q, %v", p, n, v, err)
			}
		}
	}
}

// TestRootDefaultACL: the default ACL of a directory that was there changes no mode.
func TestRootDefaultACL(t *testing.T) {
	acl := []byte{2, 0, 0, 0}
	for _, e := range [][2]byte{{1, 7}, {4, 0}, {0x20, 0}} { // u::rwx,g::---,o::---
		acl = append(acl, e[0], 0, e[1], 0, 0xff, 0xff, 0xff, 0xff)
	}
	root := t.TempDir()
	if err := os.Mkdir(root+"/d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setxattr(root+"/d", "system.posix_acl_default", acl, 0); err != nil {
		t.Skipf("no ACLs here: %v", err)
	}
	f, e, p := file("d/f", "x"), dirEntry("d/e"), tar.Header{Typeflag: tar.TypeFifo, Name: "d/p", Mode: 0o666}
	f.Mode, e.Mode = 0o666, 0o777
	if _, err := extractTo(t, root, bytes.NewReader(archive(t, f, e, p)), asRoot); err != nil {
		t.Fatal(err)
	}
	tree := treeOf(t, root)
	for p, want := range map[string]string{"d/f": "100666 ", "d/e": "40777 ", "d/p": "10666 "} {
		if !strings.HasPrefix(tree[p], want) {
			t.Errorf("%s is %s, want %s", p, tree[p], want)
		}
	}
}
