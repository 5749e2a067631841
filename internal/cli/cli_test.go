package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fakeDaemon answers on a socket; answers are by "METHOD path".
func fakeDaemon(t *testing.T, answers map[string]string) (host string, asked *[]string) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	asked = new([]string)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/_ping" {
			w.Header().Set("Api-Version", apiVersion[2:])
			return
		}
		path := strings.TrimPrefix(r.URL.Path, apiVersion)
		*asked = append(*asked, strings.TrimSuffix(r.Method+" "+path+"?"+r.URL.RawQuery, "?"))
		_, _ = io.Copy(io.Discard, r.Body)
		answer, ok := answers[r.Method+" "+path]
		if !ok {
			w.WriteHeader(404)
			answer = `{"message":"No such image: it"}`
		}
		fmt.Fprint(w, answer)
	})}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close() })
	t.Setenv("DOCKER_CONFIG", dir)
	return "unix://" + l.Addr().String(), asked
}

func hull(t *testing.T, host string, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	app := &App{In: strings.NewReader("y\n"), Out: &o, Err: &e, Env: func(k string) string {
		if k == "HULL_HOST" {
			return host
		}
		return ""
	}, Version: "1", Commit: "c"}
	code = app.Main(args)
	return code, o.String(), e.String()
}

func TestCommands(t *testing.T) {
	id := "sha256:" + strings.Repeat("ab", 32)
	images := `[{"Id":"` + id + `","Created":0,"Size":77800000,"RepoTags":["r:5000/x:1"],"RepoDigests":["r:5000/x@` + id + `"]},{"Id":"` + id + `","Size":0,"RepoTags":[],"RepoDigests":[]}]`
	host, asked := fakeDaemon(t, map[string]string{
		"GET /images/json":         images,
		"GET /images/r/x:1/json":   `{"Id":"a","Size":12345678}`,
		"GET /images/x/history":    `[{"Id":"` + id + `","Created":0,"CreatedBy":"a very long command line that goes on and on and on","Size":5,"Comment":"c"},{"Id":"<missing>","Created":0}]`,
		"DELETE /images/a":         `[{"Untagged":"a:1"},{"Deleted":"` + id + `"}]`,
		"POST /images/prune":       `{"ImagesDeleted":[{"Untagged":"a:1"},{"Deleted":"b"}],"SpaceReclaimed":5000}`,
		"POST /images/x/tag":       ``,
		"POST /images/create":      "{\"status\":\"Pulling\",\"id\":\"1\"}\r\n{\"status\":\"Downloading\",\"id\":\"a\",\"progressDetail\":{\"current\":1,\"total\":2}}\r\n{\"status\":\"Status: done\\u001b[31m\"}\r\n",
		"POST /images/r.io/x/push": `{"errorDetail":{"message":"denied"},"error":"denied"}`,
		"POST /images/load":        `{"stream":"Loaded image: a:1\n"}`,
		"GET /images/get":          "archive",
		"GET /system/df":           `{"LayersSize":5000,"Images":[]}`,
		"POST /hull/check":         `{"Problems":[{"Object":"blob x","Detail":"bad"}]}`,
	})
	for _, c := range []struct {
		args, out, errs, asked string
		code                   int
	}{
		{"images -q --no-trunc", id + "\n" + id + "\n", "", "GET /images/json", 0},
		{"images --digests --format {{.Repository}}|{{.Tag}}|{{.Size}}|{{.ID}} x", "r:5000/x|1|77.8MB|abababababab\n<none>|<none>|0B|abababababab\n", "", "GET /images/json?filters=%7B%22reference%22%3A%7B%22x%22%3Atrue%7D%7D", 0},
		{"image inspect -f {{.Size}} r/x:1", "12345678\n", "", "GET /images/r/x:1/json", 0},
		{"image inspect nope", "[]\n", "Error response from daemon: No such image: it\n", "GET /images/nope/json", 1},
		{"inspect nope", "[]\n", "Error: No such object: nope\n", "GET /containers/nope/json GET /images/nope/json GET /networks/nope GET /volumes/nope GET /plugins/nope/json", 1},
		{"history --format {{.ID}}|{{.CreatedBy}} x", "abababababab|a very long command line that goes on and on…\n<missing>|\n", "", "GET /images/x/history", 0},
		{"rmi -f a", "Untagged: a:1\nDeleted: " + id + "\n", "", "DELETE /images/a?force=1", 0},
		{"rmi nope", "", "Error response from daemon: No such image: it\n", "DELETE /images/nope", 1},
		{"image prune -af", "Deleted Images:\nuntagged: a:1\ndeleted: b\n\nTotal reclaimed space: 5kB\n", "", "POST /images/prune?filters=%7B%22dangling%22%3A%7B%22false%22%3Atrue%7D%7D", 0},
		{"tag x r:5000/y:2", "", "", "POST /images/x/tag?repo=r%3A5000%2Fy&tag=2", 0},
		{"pull x", "Using default tag: latest\n1: Pulling\nStatus: done?[31m\ndocker.io/library/x:latest\n", "", "POST /images/create?fromImage=x&tag=latest", 0},
		{"pull -q x@" + id, "docker.io/library/x@" + id + "\n", "", "POST /images/create?fromImage=x&tag=" + strings.ReplaceAll(id, ":", "%3A"), 0},
		{"push r.io/x:1", "", "denied\n", "POST /images/r.io/x/push?tag=1", 1},
		{"load", "Loaded image: a:1\n", "", "POST /images/load?quiet=1", 0},
		{"save a b", "archive", "", "GET /images/get?names=a&names=b", 0},
		{"system df", "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\nImages          0         0         5kB       5kB (100%)\nContainers      0         0         0B        0B\nLocal Volumes   0         0         0B        0B\nBuild Cache     0         0         0B        0B\n", "", "GET /system/df", 0},
		{"system fsck", "blob x: bad\n", "", "POST /hull/check", 1},
		{"--version", "Hull version 1, commit c\n", "", "", 0},
		{"nonsense", "", "hull: unknown command: hull nonsense\n\nRun 'hull --help' for more information\n", "", 1},
		{"imaegs", "", "hull: unknown command: hull imaegs\n\nDid you mean this?\n\timage\n\timages\n\nRun 'hull --help' for more information\n", "", 1},
		{"container strat", "", "hull: unknown command: hull container strat\n\nDid you mean this?\n\tstart\n\tstats\n\nUsage:  hull container\n\nRun 'hull container --help' for more information\n", "", 1},
		{"tag --nope", "", "unknown flag: --nope\n\nUsage:  hull tag SOURCE TARGET\n\nRun 'hull tag --help' for more information\n", "", 125},
		{"rename a", "", "hull: 'hull rename' requires 2 arguments\n\nUsage:  hull rename CONTAINER NEW_NAME\n\nRun 'hull rename --help' for more information\n", "", 1},
	} {
		*asked = nil
		code, out, errs := hull(t, host, strings.Fields(c.args)...)
		if code != c.code || out != c.out || errs != c.errs || strings.Join(*asked, " ") != c.asked {
			t.Errorf("hull %s: exit %d, asked %q\n%s%s--- want exit %d, %q\n%s%s", c.args, code, *asked, out, errs, c.code, c.asked, c.out, c.errs)
		}
	}
}

// TestNoDaemon: a socket that was named is not made to answer.
func TestNoDaemon(t *testing.T) {
	host := "unix://" + filepath.Join(t.TempDir(), "none")
	code, _, errs := hull(t, host, "images")
	if code != 1 || !strings.Contains(errs, "cannot connect to hulld at "+host) {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, _, errs = hull(t, "npipe://x", "images"); code != 1 || !strings.Contains(errs, "hull speaks to unix:///PATH, tcp://HOST:PORT and ssh://HOST") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-aq", "x"}, "true true  [] [x]"},
		{[]string{"x", "-a", "-fv", "-l", "1", "--list=2"}, "true false v [1 2] [x]"},
		{[]string{"--text", "v", "--all=false", "--", "-q"}, "false false v [] [-q]"},
		{[]string{"-f=v"}, "false false v [] []"},
		{[]string{"-"}, "false false  [] [-]"},
		{[]string{"-z"}, "unknown shorthand flag: 'z' in -z"},
		{[]string{"--list"}, "flag needs an argument: --list"},
		{[]string{"-f"}, "flag needs an argument: 'f' in -f"},
		{[]string{"--all=maybe"}, `invalid argument "maybe" for "-a, --all" flag: strconv.ParseBool: parsing "maybe": invalid syntax`},
	} {
		o := newOptions()
		all, quiet, text, list := o.flag("all", 'a'), o.flag("quiet", 'q'), o.text("text", 'f', ""), o.list("list", 'l')
		rest, err := o.parse(c.args, false)
		got := fmt.Sprintf("%v %v %s %v %v", *all, *quiet, *text, *list, rest)
		if err != nil {
			got = err.Error()
			if !errors.As(err, new(usageError)) {
				t.Errorf("%q: %v is no usage error", c.args, err)
			}
		}
		if got != c.want {
			t.Errorf("%q: got %s, want %s", c.args, got, c.want)
		}
	}
}

// TestSaveFile: an archive that breaks off leaves no file.
func TestSaveFile(t *testing.T) {
	dir := t.TempDir()
	broken := io.MultiReader(strings.NewReader("half"), errorReader{})
	if err := saveFile(filepath.Join(dir, "a"), broken); err == nil {
		t.Error("no error")
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if err := saveFile(filepath.Join(dir, "a"), strings.NewReader("whole")); err != nil {
		t.Error(err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errors.New("broken") }
