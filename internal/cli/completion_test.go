package cli

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestComplete(t *testing.T) {
	host, _ := fakeDaemon(t, map[string]string{"GET /images/json": `[{"Id":"a","RepoTags":["r:5000/x:1","y:2"]}]`})
	for line, want := range map[string]string{
		"hull ima":                       "image images",
		"hull image p":                   "prune pull push",
		"hull save --plat":               "--platform",
		"hull images -":                  "--all --digests --filter --format --help --no-trunc --quiet --tree",
		"hull save --platform linux/arm": "linux/arm/v7 linux/arm64",
		"hull history r:5":               "r:5000/x:1",
		"hull image rm -f y":             "y:2",
		"hull pull ":                     "",
		"hull nonsense more ":            "",
		"hull completion ":               "",
		"hull __c":                       "",
	} {
		code, out, errs := hull(t, host, "__complete", line)
		var got []string
		for l := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			got = append(got, word)
		}
		if code != 0 || strings.Join(sortedCopy(got), " ") != want {
			t.Errorf("%q: %d %v %s, want %s", line, code, got, errs, want)
		}
	}
	if code, out, errs := hull(t, "unix:///nobody/here", "__complete", "hull history "); code != 0 || out != "" || errs != "" {
		t.Errorf("without a hulld: %d %q %q", code, out, errs)
	}
}

// TestBashScript: names with a colon, which bash cuts at it, come out whole.
func TestBashScript(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash")
	}
	dir := t.TempDir()
	stub := "#!/bin/sh\n[ \"$2\" = 'hull rmi r:5' ] && printf 'r:5000/x:1\\nr:5000/y:2\\tsome text\\n'\n"
	if err := os.WriteFile(filepath.Join(dir, "hull"), []byte(stub), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, "-c", bashScript+`COMP_LINE="hull rmi r:5"; COMP_POINT=12; COMP_WORDS=(hull rmi r : 5); COMP_CWORD=4; _hull; echo "${COMPREPLY[@]}"`)
	cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil || string(out) != "5000/x:1 5000/y:2\n" {
		t.Errorf("%q, %v", out, err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := hull(t, "", "completion", shell); code != 0 || !strings.Contains(out, "__complete") {
			t.Errorf("%s: %d %s", shell, code, errs)
		}
	}
	if code, _, _ := hull(t, "", "completion", "csh"); code != 125 {
		t.Errorf("csh: %d", code)
	}
}

func TestImageTree(t *testing.T) {
	host, asked := fakeDaemon(t, map[string]string{"GET /images/json": `[{"Id":"sha256:` + strings.Repeat("a", 64) + `","RepoTags":["x:1","x:2"],"Manifests":[
		{"ID":"sha256:` + strings.Repeat("b", 64) + `","Kind":"image","Size":{"Content":1000,"Total":3000},"ImageData":{"Platform":{"os":"linux","architecture":"amd64"},"Containers":["c"]}},
		{"ID":"sha256:` + strings.Repeat("c", 64) + `","Kind":"image","Size":{"Content":10,"Total":10},"ImageData":{"Platform":{"os":"linux","architecture":"arm","variant":"v7"},"Containers":[]}},
		{"ID":"sha256:` + strings.Repeat("d", 64) + `","Kind":"attestation","Size":{"Content":5,"Total":5}}]}]`})
	code, out, errs := hull(t, host, "images", "--tree")
	want := "IMAGE             ID             DISK USAGE   CONTENT SIZE   USED\n" +
		"x:1               aaaaaaaaaaaa   3.02kB       1.01kB         ✔\n" +
		"x:2               aaaaaaaaaaaa   3.02kB       1.01kB         ✔\n" +
		"├─ linux/amd64    bbbbbbbbbbbb   3kB          1kB            ✔\n" +
		"└─ linux/arm/v7   cccccccccccc   10B          10B            \n"
	if code != 0 || out != want {
		t.Errorf("%d %s%s\nwant:\n%s", code, errs, out, want)
	}
	if len(*asked) != 1 || !strings.Contains((*asked)[0], "manifests=1") {
		t.Errorf("asked %v", *asked)
	}
	if code, _, _ := hull(t, host, "images", "--tree", "-q"); code != 125 {
		t.Errorf("--tree -q: %d", code)
	}
}

func TestPlatformFlags(t *testing.T) {
	host, asked := fakeDaemon(t, map[string]string{"GET /images/get": "archive", "GET /images/x/json": "{}", "GET /images/x/history": "[]", "DELETE /images/x": "[]", "POST /images/load": ""})
	for args, want := range map[string]string{
		"save --platform linux/amd64,linux/arm/v7 --platform linux/386 x": `GET /images/get?names=x&platform={"os":"linux","architecture":"amd64"}&platform={"os":"linux","architecture":"arm","variant":"v7"}&platform={"os":"linux","architecture":"386"}`,
		"image inspect --platform linux/arm64 x":                          `GET /images/x/json?platform={"os":"linux","architecture":"arm64"}`,
		"history --platform linux/arm64 x":                                `GET /images/x/history?platform={"os":"linux","architecture":"arm64"}`,
		"rmi --platform linux/arm64 x":                                    `DELETE /images/x?platforms={"os":"linux","architecture":"arm64"}`,
		"load --platform linux/arm64":                                     `POST /images/load?platform={"os":"linux","architecture":"arm64"}&quiet=1`,
	} {
		code, _, errs := hull(t, host, strings.Fields(args)...)
		last := unescape(t, (*asked)[len(*asked)-1])
		if code != 0 || last != want {
			t.Errorf("%s: %d %s\nasked %s\nwant  %s", args, code, errs, last, want)
		}
	}
	for _, bad := range []string{"linux", "linux/", `linux/a"b`, "a/b/c/d"} {
		if code, _, _ := hull(t, host, "save", "--platform", bad, "x"); code != 125 {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

func unescape(t *testing.T, s string) string {
	t.Helper()
	out, err := url.QueryUnescape(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func sortedCopy(s []string) []string {
	out := slices.Clone(s)
	slices.Sort(out)
	return out
}
