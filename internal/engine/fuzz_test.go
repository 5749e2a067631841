package engine

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
)

// FuzzCreate: whatever a client sends, a container is made or refused, and one that was made can be started,
// shown and removed, and read again from its record.
func FuzzCreate(f *testing.F) {
	for _, s := range []string{
		`{"Image":"busybox","HostConfig":{"NetworkMode":"none"}}`,
		`{"Image":"busybox","HostConfig":{"NetworkMode":"none","Ulimits":[null],"Mounts":[{"Type":"bind","Target":"/x"}],"BlkioWeightDevice":[null],"Devices":[{}]}}`,
		`{"Image":"busybox","Entrypoint":[""],"Cmd":[],"HostConfig":{"NetworkMode":"container:","Binds":["a:b:c:d",":","/:/"]}}`,
		`{"Image":"busybox","Healthcheck":{"Test":[]},"ExposedPorts":{"80/tcp":{}},"HostConfig":{"NetworkMode":"host","PortBindings":{"80/tcp":null},"RestartPolicy":{"Name":"always"}}}`,
		`{"Image":"busybox","StopSignal":"RTMIN+99","HostConfig":{"Tmpfs":{"/a":"size=x,,"},"VolumesFrom":["x:ro"],"Links":[":"],"ExtraHosts":["a"],"SecurityOpt":["=","no-new-privileges"],"NetworkMode":"none"}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var r container.CreateRequest
		if len(body) > 1<<16 || json.Unmarshal([]byte(body), &r) != nil || r.Config == nil {
			return
		}
		r.Config.Image = "busybox"
		if r.HostConfig != nil {
			// Nothing on the machine is touched.
			r.HostConfig.Binds = withoutHost(r.HostConfig.Binds)
			for i := range r.HostConfig.Mounts {
				r.HostConfig.Mounts[i].Source = strings.ReplaceAll(r.HostConfig.Mounts[i].Source, "/", "_")
			}
		}
		_, e := newEngine(t)
		out, err := e.Create(t.Context(), CreateRequest{Config: r.Config, Host: r.HostConfig})
		if err != nil {
			return
		}
		id := string(out.ID)
		v, err := e.Find(id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readRecord(v.Dir); err != nil {
			t.Errorf("the record cannot be read: %v", err)
		}
		err = e.Start(t.Context(), id)
		if err != nil && strings.Contains(err.Error(), "internal error") {
			t.Error(err)
		}
		if err := e.Remove(context.WithoutCancel(t.Context()), id, RemoveOptions{Force: true}); err != nil && !strings.Contains(err.Error(), "No such container") {
			t.Error(err)
		}
	})
}

func withoutHost(binds []string) (out []string) {
	for _, b := range binds {
		if !strings.HasPrefix(b, "/") {
			out = append(out, b)
		}
	}
	return out
}

// FuzzBind: a bind is refused, or its destination is an absolute clean path that is not the root.
func FuzzBind(f *testing.F) {
	for _, s := range []string{"/a:/b", "/a:/b:ro,z", "v:/b", "/b", "v:/b:nocopy,rslave", "::", "/a:/..", "a/b:/c", "/a:/b:ro,rw"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := ParseBind(s, "")
		if err != nil {
			return
		}
		if checkDestination(m.Destination) != nil || m.Destination != strings.TrimRight(m.Destination, "/") || strings.Contains(m.Destination, "//") || strings.Contains(m.Destination+"/", "/../") {
			t.Errorf("%q gives %+v", s, m)
		}
	})
}

// FuzzUnframe: bytes on disk are a frame or torn, and a frame that was written is read.
func FuzzUnframe(f *testing.F) {
	good, _ := frame(map[string]int{"a": 1})
	f.Add(good)
	f.Add([]byte("hull1 5 00000000\nabcde\n"))
	f.Add([]byte("hull1 -1 0\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		body, rest, err := unframe(data)
		if err == nil && len(body)+len(rest) > len(data) {
			t.Errorf("%q: %q %q", data, body, rest)
		}
		all := append(append([]byte{}, good...), data...)
		if body, _, err := unframe(all); err != nil || string(body) != `{"a":1}` {
			t.Errorf("%q %v", body, err)
		}
	})
}
