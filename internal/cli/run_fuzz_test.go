package cli

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzRunOptions gives a value to each parser of a run option: none may panic, and what is taken
// obeys the form that the API has.
func FuzzRunOptions(f *testing.F) {
	for _, s := range []string{
		"", "80", "127.0.0.1:8000-8002:80-82/udp", "[::1]:80:80", "target=80,published=81", "1:2:3:4:5", "65535-65535",
		"type=bind,src=.,dst=/b,ro,bind-recursive=readonly", "type=tmpfs,dst=/x,tmpfs-mode=1777,tmpfs-size=1m", `"`, "dst=/b,volume-opt=a=b",
		"/a:/b:ro", "c:/x:/y", "vol:/c", "nofile=1:2", "core=-1", "/dev/a:/dev/b:rwm", "vendor.com/gpu=all", "all", `"device=0,1",count=2`,
		"name=n,alias=a,ip=1.2.3.4,driver-opt=a=b", "container:x", "/dev/sda:1mb", "c 1:3 rwm", "1.5", "1e999999", "ctrl-p,ctrl-q,DEL",
		"2020-01-01T10:00:00Z", "-42m", "1136073600.5", "a=b\n#c\n\ufeffd", "example.com.", "x:[::1]", "net.core.x=1", "on-failure:3",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if exposed, bindings, err := parsePorts([]string{s}); err == nil {
			for port, all := range bindings {
				if _, ok := exposed[port]; !ok || len(all) == 0 || !strings.Contains(port, "/") {
					t.Errorf("ports %q: %v of %v", s, bindings, exposed)
				}
			}
		}
		_ = exposePorts([]string{s}, make(map[string]struct{}))
		if m, err := parseMount(s); err == nil && (m.Target == "" || m.Type == "") {
			t.Errorf("mount %q: %+v", s, m)
		}
		if binds, anonymous, err := parseVolumes([]string{s}); err == nil && len(binds)+len(anonymous) != 1 {
			t.Errorf("volume %q: %q %q", s, binds, anonymous)
		}
		if u, err := parseUlimit(s); err == nil && u.Hard != -1 && (u.Soft > u.Hard || u.Soft == -1) {
			t.Errorf("ulimit %q: %+v", s, u)
		}
		if d, cdi, err := parseDevices([]string{s}); err == nil && len(cdi) == 0 && (d[0].PathInContainer[0] != '/' || !validDeviceMode(d[0].CgroupPermissions)) {
			t.Errorf("device %q: %+v", s, d)
		}
		if n, err := parseNetwork(s); err == nil && n.target == "" && s != "" {
			t.Errorf("network %q: %+v", s, n)
		}
		if ip, err := checkIP(s); err == nil {
			if again, err := checkIP(ip); err != nil || again != ip {
				t.Errorf("ip %q: %q, then %q", s, ip, again)
			}
		}
		if pairs, err := parsePairs(strings.NewReader(s), nil); err == nil {
			for _, p := range pairs {
				if k, _, ok := strings.Cut(p, "="); !ok || k == "" || strings.ContainsAny(k, " \t") {
					t.Errorf("env file %q: %q", s, pairs)
				}
			}
		}
		_, _ = parseGPUs(s)
		_, _ = parseWeightDevice(s)
		_, _ = parseThrottle(s, true)
		_, _ = parseThrottle(s, false)
		_, _ = checkDeviceRule(s)
		_, _ = parseCPUs(s)
		_, _ = parseRestart(s)
		_, _ = parseKeys(s)
		_, _ = timestamp(s, time.Unix(0, 0))
		_, _ = checkHost(s)
		_, _ = checkSearch(s)
		_, _ = checkLabel(s)
		_ = checkSysctl(s)
		_, _ = parseHost(s, false)
		if dir, base := splitEntry(s); dir == "" || base == "" {
			t.Errorf("path %q: %q and %q", s, dir, base)
		}
		o := newOptions()
		newRunOptions(&App{Env: func(string) string { return "" }}, o)
		_, _ = o.parse(strings.Fields(s), true)
	})
}

// FuzzDemux compares the splitter of frames with one that has the whole stream in memory, read in
// pieces of any size.
func FuzzDemux(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x02o\n\x02\x00\x00\x00\x00\x00\x00\x02e\n"), false)
	f.Add([]byte("\x03\x00\x00\x00\x00\x00\x00\x04oops"), true)
	f.Add([]byte("\x01\x00\x00\x00\xff\xff\xff\xffx"), true)
	f.Add([]byte("\x01\x00\x00"), false)
	f.Add([]byte("\x09\x00\x00\x00\x00\x00\x00\x00"), false)
	f.Fuzz(func(t *testing.T, data []byte, slow bool) {
		var r io.Reader = bytes.NewReader(data)
		if slow {
			r = iotest.OneByteReader(r)
		}
		var out, errOut bytes.Buffer
		err := demux(&out, &errOut, r)
		wantOut, wantErr, good := model(data)
		if out.String() != wantOut || errOut.String() != wantErr || (err == nil) != good {
			t.Errorf("%q: %q %q %v, want %q %q good=%v", data, out.String(), errOut.String(), err, wantOut, wantErr, good)
		}
	})
}

// model splits a whole stream of frames.
func model(data []byte) (out, errOut string, good bool) {
	for len(data) > 0 {
		if len(data) < frameHeader {
			return out, errOut, false
		}
		kind, n := data[0], int(binary.BigEndian.Uint32(data[4:]))
		data = data[frameHeader:]
		part := data[:min(n, len(data))]
		switch kind {
		case 0, 1:
			out += string(part)
		case 2:
			errOut += string(part)
		default:
			return out, errOut, false
		}
		if n > len(data) {
			return out, errOut, false
		}
		data = data[n:]
	}
	return out, errOut, true
}

// FuzzDetach: whatever is typed, in pieces of any size, arrives whole up to the detach keys.
func FuzzDetach(f *testing.F) {
	f.Add([]byte("ab\x10\x11cd"), []byte("\x10\x11"), false)
	f.Add([]byte("\x10\x10\x11"), []byte("\x10\x11"), true)
	f.Add([]byte("aab"), []byte("ab"), true)
	f.Add([]byte("\x10x"), []byte(nil), false)
	f.Fuzz(func(t *testing.T, typed, keys []byte, slow bool) {
		if len(keys) > 8 || len(keys) > 1 && bytes.Contains(keys[1:], keys[:1]) {
			return // a key that begins the sequence again is taken as its beginning only
		}
		var r io.Reader = bytes.NewReader(typed)
		if slow {
			r = iotest.OneByteReader(r)
		}
		got, err := io.ReadAll(&detachReader{r: r, keys: keys})
		want, detached := typed, false
		if i := bytes.Index(typed, keys); i >= 0 && len(keys) > 0 {
			want, detached = typed[:i], true
		}
		if !bytes.Equal(got, want) || errors.Is(err, errDetached) != detached {
			t.Errorf("%q with %q: %q, %v; want %q, detached %v", typed, keys, got, err, want, detached)
		}
	})
}

// FuzzContextImport: an archive of a context gives no other files than those of a context.
func FuzzContextImport(f *testing.F) {
	var b bytes.Buffer
	m := &contextMeta{Name: "n", Endpoints: map[string]contextEndpointMeta{"docker": {Host: "unix:///x"}}}
	if err := packContext(&b, m, map[string][]byte{"ca.pem": []byte("x")}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, files, err := unpackContext(bytes.NewReader(data))
		if err != nil {
			return
		}
		for name := range files {
			if name != "ca.pem" && name != "cert.pem" && name != "key.pem" {
				t.Errorf("file %q", name)
			}
		}
	})
}
