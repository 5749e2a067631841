package erofs

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRootRandomImages compares random trees with what the kernel reads of them: sizes of data,
// attributes and directories around the edges of blocks, in any combination.
func TestRootRandomImages(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 7))
		edge := func(around int) int { return max(0, r.IntN(3)*around+r.IntN(160)-80) }
		path := filepath.Join(t.TempDir(), "image")
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		w := NewWriter(f, Options{})
		want := make(map[string]string)
		dirs := []*Node{w.Root()}
		names := []string{""}
		for i := range 400 {
			k := r.IntN(len(dirs))
			name := fmt.Sprintf("%d-%s", i, strings.Repeat("n", r.IntN(240)))
			rel := filepath.Join(names[k], name)
			m := Meta{Mode: unix.S_IFREG | 0o600, UID: r.Uint32() >> 1, Sec: r.Int64N(1 << 33), Nsec: uint32(r.IntN(1e9))}
			for j := range r.IntN(3) {
				m.Xattrs = append(m.Xattrs, Xattr{fmt.Sprintf("user.%d%s", j, strings.Repeat("x", r.IntN(200))), bytes.Repeat([]byte{byte(i)}, edge(3900))})
			}
			line := func(rest string) {
				s := fmt.Sprintf("%o %d:0 %d.%d%s", m.Mode, m.UID, m.Sec, m.Nsec, rest)
				for _, x := range m.Xattrs {
					s += fmt.Sprintf(" %s=%s", x.Name, digestOf(x.Value))
				}
				want[rel] = s
			}
			if r.IntN(6) == 0 {
				m.Mode = unix.S_IFDIR | 0o700
				n, err := w.Add(dirs[k], name, m, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(rel) < 3000 {
					dirs, names = append(dirs, n), append(names, rel)
				}
				line("")
				continue
			}
			body := bytes.Repeat([]byte{byte(i + 1)}, edge(4096))
			m.Size = int64(len(body))
			if _, err := w.Add(dirs[k], name, m, bytes.NewReader(body)); err != nil {
				t.Fatal(err)
			}
			line(fmt.Sprintf(" %d %s", len(body), digestOf(body)))
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		got := make(map[string]string)
		describe(t, mountImage(t, path), "", got)
		compare(t, got, want)
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
}
