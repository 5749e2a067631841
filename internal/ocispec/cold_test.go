package ocispec

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// coldEnv makes the test binary decode a file once, print how many nanoseconds that took and exit.
const coldEnv = "OCISPEC_TEST_COLD"

func TestMain(m *testing.M) {
	if job := os.Getenv(coldEnv); job != "" {
		how, name, _ := strings.Cut(job, ":")
		b, err := os.ReadFile(name)
		if err == nil {
			start := time.Now()
			err = coldJobs[how](b)
			fmt.Println(time.Since(start).Nanoseconds())
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

var coldJobs = map[string]func([]byte) error{
	"json": func(b []byte) error { return json.Unmarshal(b, new(specs.Spec)) },
	"decode": func(b []byte) error {
		_, err := Decode(b)
		return err
	},
	"decode+seccomp": func(b []byte) error {
		_, err := whole(b)
		return err
	},
	"decode+validate": func(b []byte) error {
		c, err := Decode(b)
		if err == nil {
			_, err = Validate(c)
		}
		return err
	},
}

// TestColdDecode measures the first decoding in a process, which is what a runtime pays: encoding/json builds its type
// caches then. Run with -v for the numbers. It fails if decoding is not well below encoding/json, the reason for this
// package.
func TestColdDecode(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const runs = 15
	for _, name := range []string{"runc-1.3.3-spec.json", "docker.json"} {
		median := map[string]int{}
		for how := range coldJobs {
			var times []int
			for range runs {
				cmd := exec.Command(self)
				cmd.Env = append(os.Environ(), coldEnv+"="+how+":testdata/"+name)
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("%s: %v: %s", how, err, out)
				}
				ns, err := strconv.Atoi(strings.TrimSpace(string(out)))
				if err != nil {
					t.Fatal(err)
				}
				times = append(times, ns)
			}
			slices.Sort(times)
			median[how] = times[runs/2]
			t.Logf("%-22s %-16s median %4d us, best %4d us", name, how, times[runs/2]/1000, times[0]/1000)
		}
		if median["decode+seccomp"]*2 > median["json"] {
			t.Errorf("%s: the first decode takes %d ns, encoding/json %d", name, median["decode+seccomp"], median["json"])
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, name := range []string{"runc-1.3.3-spec.json", "docker.json"} {
		doc := fixture(b, name)
		for how, job := range coldJobs {
			b.Run(name+"/"+how, func(b *testing.B) {
				b.SetBytes(int64(len(doc)))
				b.ReportAllocs()
				for b.Loop() {
					if err := job(doc); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
