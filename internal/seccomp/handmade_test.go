package seccomp

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// handMade are profiles for one rule each of the package comment. All of them must give libseccomp's verdicts exactly.
var handMade = map[string]string{
	"no rules, errno":           `{"defaultAction":"SCMP_ACT_ERRNO"}`,
	"no rules, allow":           `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"]}`,
	"only call 0":               `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
	"call 0 with x32":           `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X32"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
	"x32 without stub":          `{"defaultAction":"SCMP_ACT_LOG","architectures":["SCMP_ARCH_X32"],"syscalls":[{"names":["mkdir","ioctl"],"action":"SCMP_ACT_KILL"}]}`,
	"no x32, no stub":           `{"defaultAction":"SCMP_ACT_TRACE","syscalls":[{"names":["mkdir","ioctl"],"action":"SCMP_ACT_KILL"}]}`,
	"default ENOSYS":            `{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"syscalls":[{"names":["mkdir","ioctl"],"action":"SCMP_ACT_ALLOW"}]}`,
	"stub and kill":             `{"defaultAction":"SCMP_ACT_KILL_PROCESS","architectures":["SCMP_ARCH_X86","SCMP_ARCH_ARM"],"syscalls":[{"names":["mkdir","set_tls"],"action":"SCMP_ACT_ALLOW"}]}`,
	"stub hides socketcall":     `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["write","socket","semop"],"action":"SCMP_ACT_ALLOW"}]}`,
	"default action in a rule":  `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["openat2"],"action":"SCMP_ACT_ERRNO","errnoRet":1},{"names":["read"],"action":"SCMP_ACT_ERRNO","errnoRet":2}]}`,
	"first unconditional wins":  `{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ALLOW"},{"names":["mkdir"],"action":"SCMP_ACT_KILL"}]}`,
	"unconditional beats":       `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},{"names":["mkdir"],"action":"SCMP_ACT_KILL"}]}`,
	"mask 0 is unconditional":   `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":0,"valueTwo":5,"op":"SCMP_CMP_MASKED_EQ"}]}]}`,
	"mask of the high word":     `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1095216660480,"valueTwo":4294967296,"op":"SCMP_CMP_MASKED_EQ"}]}]}`,
	"prefix first":              `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_LOG","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":1,"value":1,"op":"SCMP_CMP_EQ"}]}]}`,
	"repeated argument is OR":   `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"},{"index":0,"value":2,"op":"SCMP_CMP_EQ"},{"index":1,"value":7,"op":"SCMP_CMP_EQ"}]}]}`,
	"larger argument first":     `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},{"names":["mkdir"],"action":"SCMP_ACT_TRAP","args":[{"index":1,"value":1,"op":"SCMP_CMP_EQ"}]}]}`,
	"equality before order":     `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["brk"],"action":"SCMP_ACT_KILL","args":[{"index":0,"value":1,"op":"SCMP_CMP_GT"}]}]}`,
	"socketcall and conditions": `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["socket"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2,"op":"SCMP_CMP_EQ"}]},{"names":["openat2"],"action":"SCMP_ACT_ALLOW"}]}`,
	"ipc and conditions":        `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["shmat","semtimedop"],"action":"SCMP_ACT_KILL","args":[{"index":2,"value":3,"op":"SCMP_CMP_GE"}]}]}`,
	"socketcall itself":         `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["socketcall"],"action":"SCMP_ACT_KILL"},{"names":["socket"],"action":"SCMP_ACT_LOG"}]}`,
	"arm only":                  `{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"syscalls":[{"names":["openat","cacheflush","arm_fadvise64_64"],"action":"SCMP_ACT_KILL"}]}`,
	"every argument":            `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"syscalls":[{"names":["prctl"],"action":"SCMP_ACT_TRACE","errnoRet":9,"args":[{"index":0,"value":1,"op":"SCMP_CMP_NE"},{"index":1,"value":4294967298,"op":"SCMP_CMP_LT"},{"index":2,"value":3,"op":"SCMP_CMP_LE"},{"index":3,"value":4294967300,"op":"SCMP_CMP_EQ"},{"index":4,"value":5,"op":"SCMP_CMP_GE"},{"index":5,"value":4294967302,"op":"SCMP_CMP_GT"}]}]}`,
}

// TestHandMade compares the hand-made profiles and the golden ones with libseccomp.
func TestHandMade(t *testing.T) {
	o := startOracle(t)
	files, err := filepath.Glob("testdata/golden/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no profiles: %v", err)
	}
	profiles := make(map[string]string, len(handMade))
	for name, profile := range handMade {
		profiles[name] = profile
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		profiles[file] = string(b)
	}
	// Every operator alone, at values around which words overflow, on all ABIs.
	for _, op := range allOps {
		for _, value := range []string{"0", "1", "4294967295", "4294967296", "4294967297", "9223372036854775808", "18446744073709551615"} {
			profiles[fmt.Sprintf("%s %s", op, value)] = `{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],
				"syscalls":[{"names":["prctl"],"action":"SCMP_ACT_ALLOW","args":[{"index":3,"value":` + value + `,"valueTwo":4294967297,"op":"` + string(op) + `"}]}]}`
		}
	}
	for name, profile := range profiles {
		t.Run(name, func(t *testing.T) {
			var s specs.LinuxSeccomp
			if err := json.Unmarshal([]byte(profile), &s); err != nil {
				t.Fatal(err)
			}
			p := mustCompile(t, &s)
			theirs, err := o.filter(t, &s)
			if err != nil {
				t.Fatal(err)
			}
			c := compare(&machine{filter: p.Filter}, &runcPair{o.stub(t, &s), machine{filter: theirs}}, &s, rand.New(rand.NewPCG(4, 5)), 1024, 2000)
			for _, d := range c.diffs {
				t.Error(d)
			}
			if c.wrong+c.otherChoice > 0 {
				t.Errorf("%d verdicts differ from libseccomp's: wrong %d, another choice %d", c.wrong+c.otherChoice, c.wrong, c.otherChoice)
			}
		})
	}
}
