package volume

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{
		"data": "", "a1": "", "A_b.c-d": "", "0x": "", strings.Repeat("a", 255): "",
		"a":                      "volume name is too short, names should be at least two alphanumeric characters",
		"a/b":                    `"a/b" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
		"..":                     "includes invalid characters",
		".new-x":                 "includes invalid characters",
		"-x":                     "includes invalid characters",
		"a\x00":                  "includes invalid characters",
		"ää":                     "includes invalid characters",
		strings.Repeat("a", 256): "includes invalid characters",
	} {
		err := checkName(name)
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || !errdefs.IsInvalidArgument(err)) {
			t.Errorf("%q: %v, want %q", name, err, want)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		o    map[string]string
		want string
	}{
		{nil, ""},
		{map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=1m"}, ""},
		{map[string]string{"foo": "bar"}, `invalid option: "foo"`},
		{map[string]string{"type": "tmpfs"}, `missing required option: "device"`},
		{map[string]string{"device": "x"}, `missing required option: "type"`},
		{map[string]string{"o": "x", "type": "nfs"}, `missing required option: "device"`},
		{map[string]string{"size": "1g"}, "quota size requested but no quota support"},
		{map[string]string{"type": "cifs", "device": "//h:1/x"}, "port not allowed in CIFS device URL, include 'port' in 'o='"},
		{map[string]string{"type": "tmpfs", "device": "x\ny"}, "line end"},
	} {
		err := checkOptions(c.o)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.o, err, c.want)
		}
	}
}

func TestParseOptions(t *testing.T) {
	f := parseOptions(map[string]string{"type": "nfs", "device": ":/x", "o": "addr=10.0.0.1,ro,rw,nosuid,noatime,vers=4,soft"})
	if f.attr != 2|0x10 || strings.Join(f.data, " ") != "addr=10.0.0.1 vers=4 soft" || f.bind || !f.network() {
		t.Errorf("%+v", f)
	}
	if f := parseOptions(map[string]string{"type": "none", "device": "/x", "o": "rbind,ro"}); !f.bind || !f.rbind || f.attr != 1 || f.network() {
		t.Errorf("%+v", f)
	}
}

func TestMeta(t *testing.T) {
	m := meta{Labels: map[string]string{"a": "b\nc"}, Options: map[string]string{"type": "tmpfs"}}
	b, err := m.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeMeta(b)
	if err != nil || got.Labels["a"] != "b\nc" || got.Options["type"] != "tmpfs" {
		t.Errorf("%+v %v", got, err)
	}
	for n := range len(b) { // each way in which a power failure can cut it off
		if _, err := decodeMeta(b[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken for whole", n, len(b))
		}
	}
}

func FuzzMeta(f *testing.F) {
	b, _ := meta{Labels: map[string]string{"a": "b"}}.encode()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMeta(b)
		if err != nil {
			return
		}
		if _, err := m.encode(); err != nil {
			t.Error(err)
		}
	})
}

func FuzzOptions(f *testing.F) {
	f.Add("nfs", ":/x", "addr=1.2.3.4,ro")
	f.Fuzz(func(_ *testing.T, kind, device, o string) {
		opts := map[string]string{"type": kind, "device": device, "o": o}
		if checkOptions(opts) == nil {
			parseOptions(opts).network()
		}
	})
}

func TestFindMount(t *testing.T) {
	const info = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw\n37 35 98:0 / /x rw - tmpfs x rw\n"
	if p, o, err := findMount(info, 36, "f"); p != "/mnt2" || o != "shared:1 master:2" || err != nil {
		t.Error(p, o, err)
	}
	if p, o, err := findMount(info, 37, "f"); p != "/x" || o != "" || err != nil {
		t.Error(p, o, err)
	}
	if _, _, err := findMount(info, 3, "f"); err == nil {
		t.Error("a mount that is not there")
	}
}
