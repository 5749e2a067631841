package ocispec

import (
	"bufio"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func checkMountOptions(t *testing.T, options []string, m MountOptions) {
	t.Helper()
	set, clear := m.Attr()
	known := KnownMountOptions()
	var data []string
	for _, o := range options {
		if _, found := slices.BinarySearch(known, o); !found || o == "acl" || o == "noacl" {
			data = append(data, o)
		}
	}
	for name, bad := range map[string]bool{
		"a flag is set and cleared":                     m.Flags&m.Clear != 0,
		"an attribute is set and cleared":               set&clear&^unix.MOUNT_ATTR__ATIME != 0,
		"a recursive attribute is set and cleared":      m.RecSet&m.RecClear&^unix.MOUNT_ATTR__ATIME != 0,
		"the time field is set and not cleared":         set&unix.MOUNT_ATTR__ATIME != 0 && clear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME,
		"the time field is cleared in part":             clear&unix.MOUNT_ATTR__ATIME != 0 && clear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME,
		"the recursive time field is not cleared":       m.RecSet&unix.MOUNT_ATTR__ATIME != 0 && m.RecClear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME,
		"the recursive time field is cleared in part":   m.RecClear&unix.MOUNT_ATTR__ATIME != 0 && m.RecClear&unix.MOUNT_ATTR__ATIME != unix.MOUNT_ATTR__ATIME,
		"two recursive times at once":                   m.RecSet&unix.MOUNT_ATTR__ATIME == unix.MOUNT_ATTR_NOATIME|unix.MOUNT_ATTR_STRICTATIME,
		"Data is not the options that are none, sorted": !slices.Equal(m.Data, data),
	} {
		if bad {
			t.Errorf("%q: %s: %+v (%#x, %#x)", options, name, m, set, clear)
		}
	}
}

// TestMountOptionsAreThoseOfTheFeatureList: every option of the checklist has a meaning, and the table is sorted.
func TestMountOptionsAreThoseOfTheFeatureList(t *testing.T) {
	known := KnownMountOptions()
	if !slices.IsSorted(known) || len(slices.Compact(slices.Clone(known))) != len(known) {
		t.Fatal("the table is not sorted: a search would miss")
	}
	f, err := os.Open("testdata/mount-options.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
		o := s.Text()
		if _, found := slices.BinarySearch(known, o); !found {
			t.Errorf("%q is not known", o)
		}
		m := ParseMountOptions([]string{o})
		checkMountOptions(t, []string{o}, m)
		switch o { // options with no effect of their own
		case "defaults", "rnorelatime":
			continue
		case "rrelatime":
			if m.RecClear != unix.MOUNT_ATTR__ATIME {
				t.Errorf("%q: %+v", o, m)
			}
		}
		if reflect.DeepEqual(m, MountOptions{}) {
			t.Errorf("%q does nothing", o)
		}
	}
	if n != 62 {
		t.Errorf("%d options in the list, want 62", n)
	}
}

func TestParseMountOptions(t *testing.T) {
	for _, c := range []struct {
		options string
		want    MountOptions
	}{
		{"nosuid,noexec,nodev,mode=1777,size=65536k", MountOptions{Flags: unix.MS_NOSUID | unix.MS_NOEXEC | unix.MS_NODEV, Data: []string{"mode=1777", "size=65536k"}}},
		{"rbind,rprivate", MountOptions{Flags: unix.MS_BIND | unix.MS_REC, Propagation: []uint64{unix.MS_PRIVATE | unix.MS_REC}}},
		{"slave,shared", MountOptions{Propagation: []uint64{unix.MS_SLAVE, unix.MS_SHARED}}},
		{"ro,rw", MountOptions{Clear: unix.MS_RDONLY}},
		{"rw,ro", MountOptions{Flags: unix.MS_RDONLY}},
		{"suid,dev,exec", MountOptions{Clear: unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC}},
		{"rro,rnosuid,rsuid", MountOptions{RecSet: unix.MOUNT_ATTR_RDONLY, RecClear: unix.MOUNT_ATTR_NOSUID}},
		{"rnoatime,rstrictatime", MountOptions{RecSet: unix.MOUNT_ATTR_STRICTATIME, RecClear: unix.MOUNT_ATTR__ATIME}},
		{"rnoatime,ratime", MountOptions{RecClear: unix.MOUNT_ATTR__ATIME}},
		{"rnoatime,rrelatime", MountOptions{RecClear: unix.MOUNT_ATTR__ATIME}},
		{"idmap", MountOptions{IDMap: true}},
		{"ridmap", MountOptions{RIDMap: true}},
		{"idmap=uids=0-1-10", MountOptions{Data: []string{"idmap=uids=0-1-10"}}},
		{"tmpcopyup", MountOptions{TmpCopyUp: true}},
		{"copy-symlink,src-nofollow,dest-nofollow", MountOptions{CopySymlink: true, SrcNoFollow: true, DestNoFollow: true}},
		{"defaults", MountOptions{}},
		{"acl,RO,", MountOptions{Data: []string{"acl", "RO", ""}}},
	} {
		options := strings.Split(c.options, ",")
		if got := ParseMountOptions(options); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.options, got, c.want)
		}
	}
}

func TestMountOptionsAttr(t *testing.T) {
	const all = unix.MOUNT_ATTR__ATIME
	for _, c := range []struct {
		options    string
		set, clear uint64
		super      string
	}{
		{"ro,nosuid,nodev,noexec,nodiratime,nosymfollow", unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOSYMFOLLOW, 0, "ro"},
		{"rw,suid,dev,exec,diratime,symfollow", 0, unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC | unix.MOUNT_ATTR_NODIRATIME | unix.MOUNT_ATTR_NOSYMFOLLOW, ""},
		{"noatime", unix.MOUNT_ATTR_NOATIME, all, ""},
		{"strictatime,noatime", unix.MOUNT_ATTR_STRICTATIME, all, ""}, // as mount(2) has it
		{"relatime", 0, all, ""},
		{"atime", 0, all, ""},
		{"nostrictatime", 0, all, ""},
		{"norelatime", 0, 0, ""},
		{"sync,dirsync,lazytime,mand,silent,iversion", 0, 0, "sync dirsync mand lazytime"},
		{"bind", 0, 0, ""},
	} {
		m := ParseMountOptions(strings.Split(c.options, ","))
		set, clear := m.Attr()
		if super := strings.Join(m.Super(), " "); set != c.set || clear != c.clear || super != c.super {
			t.Errorf("%s: got %#x, %#x, %q; want %#x, %#x, %q", c.options, set, clear, super, c.set, c.clear, c.super)
		}
	}
}
