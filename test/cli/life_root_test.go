package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// differing are parts of the output that no two runs have in common.
var differing = []struct {
	re *regexp.Regexp
	to string
}{
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "ID64"},
	{regexp.MustCompile(`\b[0-9a-f]{12}\b`), "ID12"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4} [A-Z]+`), "TIME"},
	{regexp.MustCompile(`(Less than a second|About a minute|\d+ (seconds?|minutes?))( ago)? +`), "AGO "},
	{regexp.MustCompile(`(Less than a second|About a minute|\d+ (seconds?|minutes?))( ago)?`), "AGO"},
	{regexp.MustCompile(`"(Pid|MainPID)": [0-9]+`), `"Pid": N`},
	{regexp.MustCompile(`\b\d+(\.\d+)?[kKMG]?i?B\b`), "SIZE"},
	{regexp.MustCompile(`(\d+\.\d\d%)`), "PERCENT"},
	{regexp.MustCompile(` {2,}`), "  "},
}

// loggedLines are what docker's library says beside the message.
var loggedLines = regexp.MustCompile(`(?m)^time=".*\n`)

func blurred(text string) string {
	for _, d := range differing {
		text = d.re.ReplaceAllString(text, d.to)
	}
	return text
}

// TestRootLife runs the scripts of testdata/life.txt with docker and with hull against the same
// dockerd, each on containers of its own, and compares what is printed and how it ends.
func TestRootLife(t *testing.T) {
	requires(t)
	recent(t)
	host := startDocker(t)
	data, err := os.ReadFile("testdata/life.txt")
	if err != nil {
		t.Fatal(err)
	}
	theirs := &client{program: docker(t), host: host, dir: t.TempDir(), config: t.TempDir()}
	own := &client{program: hull(t), host: host, dir: t.TempDir(), config: t.TempDir()}
	for _, c := range []*client{theirs, own} {
		for name, text := range map[string]string{"file": "data\n", "tree/sub/f": "f\n", "env": "A=1\n"} {
			file := filepath.Join(c.dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	n := 0
	for script := range strings.SplitSeq(string(data), "\n\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(script), "# "), "\n")
		t.Run(name, func(t *testing.T) {
			want, got := theirs.script(script), own.script(script)
			n += len(want)
			for i := range want {
				if blurred(want[i]) != blurred(got[i]) {
					t.Errorf("--- docker\n%s--- hull\n%s", blurred(want[i]), blurred(got[i]))
				}
			}
		})
	}
	t.Logf("%d commands", n)
}

// TestRootOldVersions runs a few commands in versions of the API of long ago.
func TestRootOldVersions(t *testing.T) {
	requires(t)
	recent(t)
	host := startDocker(t)
	const script = `
run --rm --network none bb sh -c 'echo out; echo err >&2; exit 7'
run --name old --network none bb sh -c 'exit 6'
ps -a --format {{.Names}}
start -a old
wait old
run --rm -i --network none bb cat << in
run --rm -d --network none bb true
run --rm --network none bb nosuch
run -d --name live --network none bb sleep 100
exec -e A=1 live sh -c 'echo $A; exit 3'
stop -t 0 live
logs old
inspect -f {{.State.ExitCode}} old
rm old live
volume create v
volume ls
volume rm v
ps -aq`
	for _, version := range []string{"1.24", "1.29", "1.30"} {
		theirs := &client{program: docker(t), host: host, dir: t.TempDir(), config: t.TempDir(), env: []string{"DOCKER_API_VERSION=" + version}}
		own := &client{program: hull(t), host: host, dir: t.TempDir(), config: t.TempDir(), env: theirs.env}
		text := script
		if version == "1.24" { // docker waits for ever for one, and refuses the other
			text = strings.NewReplacer("run --rm --network none bb nosuch\n", "", "exec -e A=1 live", "exec live").Replace(script)
			own.run(nil, words("run --rm --network none --name failed bb nosuch")...)
			if r := own.run(nil, "ps", "-aq", "--filter", "name=failed"); r.out != "" {
				t.Errorf("--rm left a container that did not start: %s", r.out)
			}
		}
		want, got := theirs.script(text), own.script(text)
		for i := range want {
			if blurred(want[i]) != blurred(got[i]) {
				t.Errorf("API %s --- docker\n%s--- hull\n%s", version, blurred(want[i]), blurred(got[i]))
			}
		}
	}
}

// script runs the lines of a script; a line may have its input after " << ". At the end its
// containers, volumes and files are removed.
func (c *client) script(text string) (steps []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		line, in, _ := strings.Cut(line, " << ")
		r := c.run([]byte(strings.ReplaceAll(in, `\n`, "\n")), words(line)...)
		r.err = loggedLines.ReplaceAllString(r.err, "")
		if strings.HasPrefix(line, "diff ") { // in no order
			lines := strings.SplitAfter(r.out, "\n")
			slices.Sort(lines)
			r.out = strings.Join(lines, "")
		}
		r.out, r.err = strings.ReplaceAll(r.out, c.dir, "DIR"), strings.ReplaceAll(r.err, c.dir, "DIR")
		steps = append(steps, "$ "+line+"\n"+ours(r.out)+ours(r.err)+"exit "+strconv.Itoa(r.code)+"\n")
	}
	list := c.run(nil, "ps", "-aq")
	if ids := strings.Fields(list.out); len(ids) > 0 {
		c.run(nil, append([]string{"rm", "-fv"}, ids...)...)
	}
	c.run(nil, "volume", "prune", "-f")
	for _, f := range []string{"cid", "out.tar", "copied", "treecopy"} {
		_ = os.RemoveAll(filepath.Join(c.dir, f))
	}
	return steps
}
