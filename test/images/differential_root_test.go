package images

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// step is one command, with "REG" for the registry and "FILE" for a file of the engine's own.
type step struct {
	args string
	// digests says that digests of manifests are in the output: dockerd compresses layers
	// when it pushes, Hull sends what it has, so they differ.
	digests bool
	// differs says why the texts are not the same; then only the exit codes are compared.
	differs string
	// pause says to wait first, for the second that the client cuts times to.
	pause bool
	// unordered says that the client prints the lines in the order of a map.
	unordered bool
}

// history of a user's day with images. The order matters.
var steps = []step{
	{args: "load -i FIXTURES", differs: "with an untagged image last, dockerd 20.10 lists the IDs of all"},
	{args: "images"},
	{args: "images -q --no-trunc"},
	{args: "images one"},
	{args: "images one:1"},
	{args: "images --filter label=which=two"},
	{args: "images --filter dangling=true"},
	{args: "images --filter before=one:1"},
	{args: "images --filter since=two:1"},
	{args: "images --filter reference=*:1"},
	{args: "images --filter nonsense=1", differs: "dockerd adds the class of its error"},
	{args: "images --digests"},
	{args: "history one:1"},
	{args: "history --no-trunc two:1"},
	{args: "history -q two:1"},
	{args: "inspect -f {{.Id}}|{{.RepoTags}}|{{.RepoDigests}}|{{.Created}}|{{.Size}}|{{.VirtualSize}}|{{.Os}}|{{.Architecture}}|{{.Author}}|{{.Comment}}|{{.Parent}} one:1"},
	{args: "inspect -f {{json.Config}} one:1"},
	{args: "inspect -f {{json.RootFS}} two:1"},
	{args: "inspect -f {{json.ContainerConfig.Cmd}}{{.DockerVersion}}{{.Container}} two:1"},
	{args: "image inspect nothing"},
	{args: "inspect nothing"},
	{args: "image inspect Wrong:::name", differs: "dockerd says which name in another way"},
	{args: "tag one:1 REG/one:1"},
	{args: "tag one:1 one:2"},
	{args: "tag nothing one:3"},
	{args: "tag one:1 UPPER", differs: "checked by the client"},
	{args: "images one"},
	{args: "rmi one:2"},
	{args: "rmi nothing"},
	{args: "push REG/one:1", digests: true},
	{args: "push REG/one:1", digests: true},
	{args: "images --digests REG/one", digests: true},
	{args: "push REG/none:1"},
	{args: "rmi REG/one:1", digests: true},
	{args: "images -q --no-trunc"},
	{args: "pull REG/one:1", digests: true},
	{args: "pull REG/one:1", digests: true},
	{args: "pull -q REG/one:1"},
	{args: "pull REG/missing:1"},
	{args: "pull REG/one:missing"},
	{args: "tag two:1 REG/two"},
	{args: "tag two:1 REG/two:b"},
	{args: "push -q REG/two"},
	{args: "push -q -a REG/two"},
	{args: "rmi REG/two:b REG/two two:1", digests: true},
	{args: "pull -a -q REG/two"},
	{args: "images --format {{.Repository}}:{{.Tag}}", unordered: true},
	{args: "save -o FILE one:1 REG/two:latest"},
	{args: "rmi -f one:1 one:latest REG/one:1", digests: true},
	{args: "load -q -i FILE", unordered: true},
	{args: "images -q --no-trunc"},
	{args: "system df --format {{.Type}}|{{.TotalCount}}|{{.Size}}|{{.Reclaimable}}"},
	{args: "image prune -f"},
	{args: "images -q --no-trunc"},
	{args: "image prune -a -f", digests: true, unordered: true},
	{args: "images"},
	{args: "import -m hello -c ENV_A=1 -c CMD_[\"a\"] LAYER imported:x", differs: "the ID has the time in it"},
	{args: "images --format {{.Repository}}:{{.Tag}}|{{.Size}} imported"},
	{args: "history --format {{.Comment}}|{{.Size}} imported:x"},
	{args: "inspect -f {{json.RootFS}}{{.Comment}}{{.Size}}{{.Config.Env}}{{.Config.Cmd}} imported:x"},
	{args: "image rm imported:x", differs: "the ID has the time in it"},
	{pause: true, unordered: true, args: "events --since 10m --until 0s --filter type=image --format {{.Type}}|{{.Action}}|{{.Actor.Attributes.name}}|{{.Scope}}", digests: true},
	{args: "search anything", differs: "searching is refused"},
}

var digest = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
var manifestSize = regexp.MustCompile(`size: [0-9]+`)
var layerID = regexp.MustCompile(`(?m)^[0-9a-f]{12}: `)

// TestRootDifferential: the same commands, the same answers.
func TestRootDifferential(t *testing.T) {
	requires(t)
	registry := startRegistry(t)
	hull, docker := startHulld(t, workDir(t, "hulld")), startDocker(t, workDir(t, "dockerd"))
	shared := workDir(t, "fixtures")
	fixture, flat := filepath.Join(shared, "fixtures.tar"), filepath.Join(shared, "layer.tar")
	if err := os.WriteFile(fixture, fixtures(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(flat, layer(t, dir("etc"), text("etc/hello", "hello\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		if s.pause {
			time.Sleep(1100 * time.Millisecond)
		}
		run := func(d *daemon) result {
			// A registry of their own each: the names in the output are then the same length.
			space := registry + "/" + d.name[:4]
			var args []string
			for _, a := range strings.Fields(s.args) {
				a = strings.NewReplacer("REG", space, "FIXTURES", fixture, "FILE", filepath.Join(d.dir, "saved.tar"), "LAYER", flat, "json.", "json .", "ENV_", "ENV ", "CMD_", "CMD ").Replace(a)
				args = append(args, a)
			}
			r := d.do(args...)
			for _, text := range []*string{&r.out, &r.err} {
				*text = strings.NewReplacer(d.name[:4]+"/", "", space, "REG", d.dir, "DIR").Replace(*text)
				if s.digests {
					*text = manifestSize.ReplaceAllString(digest.ReplaceAllString(*text, "DIGEST"), "size: N")
					*text = layerID.ReplaceAllString(*text, "LAYER: ")
				}
			}
			return r
		}
		h, d := run(hull), run(docker)
		if s.digests {
			h.out, d.out = sorted(h.out), sorted(d.out)
		}
		if s.unordered {
			h.out, d.out = lines(h.out), lines(d.out)
		}
		if h.code != d.code || s.differs == "" && (h.out != d.out || h.err != d.err) {
			t.Errorf("docker %s\n--- hulld: %d\n%s%s--- dockerd: %d\n%s%s", s.args, h.code, h.out, h.err, d.code, d.out, d.err)
		}
	}
	if t.Failed() {
		t.Log(hull.log())
	}
}

// sorted puts the lines of layers, which come in any order, in one.
func sorted(text string) string {
	var layers, rest []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "LAYER: ") {
			layers = append(layers, line)
		} else {
			rest = append(rest, line)
		}
	}
	seen := make(map[string]bool)
	out := ""
	for _, l := range append(layers, rest...) {
		if strings.HasPrefix(l, "LAYER: ") && seen[l] {
			continue
		}
		seen[l] = true
		out += l
	}
	return out
}

// lines are sorted.
func lines(text string) string {
	all := strings.Split(text, "\n")
	slices.Sort(all)
	return strings.Join(all, "\n")
}
