package cli

import (
	"strings"
	"testing"
)

// TestCompleteNames: each verb is completed with names of its kind; flags with those it has.
func TestCompleteNames(t *testing.T) {
	host, _ := fakeDaemon(t, map[string]string{
		"GET /images/json":     `[{"RepoTags":["img:1"]}]`,
		"GET /containers/json": `[{"Names":["/ctr"]}]`,
		"GET /volumes":         `{"Volumes":[{"Name":"vol"}]}`,
		"GET /networks":        `[{"Name":"net"}]`,
	})
	for line, want := range map[string]string{
		"hull run ":               "img:1",
		"hull stop ":              "ctr",
		"hull container rm ":      "ctr",
		"hull volume inspect ":    "vol",
		"hull network rm ":        "net",
		"hull inspect ":           "ctr img:1 net vol",
		"hull volume create ":     "",
		"hull pull ":              "",
		"hull run --pull ":        "always missing never",
		"hull run --cpus":         "--cpus --cpuset-cpus --cpuset-mems",
		"hull stop --ti":          "--timeout",
		"hull checkpoint create ": "ctr",
	} {
		_, out, errs := hull(t, host, "__complete", line)
		var words []string
		for l := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			words = append(words, word)
		}
		got := strings.Join(words, " ")
		if strings.HasPrefix(want, "--c") { // in the order in which they are declared
			if len(words) != 3 {
				t.Errorf("%q: %s", line, got)
			}
			continue
		}
		if got != want || errs != "" {
			t.Errorf("%q: %q (%s), want %q", line, got, errs, want)
		}
	}
}
