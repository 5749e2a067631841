package cli

import (
	"strings"
	"testing"
)

func TestEvents(t *testing.T) {
	host, asked := fakeDaemon(t, map[string]string{"GET /events": `{"status":"tag","id":"sha256:ab","Type":"image","Action":"tag","Actor":{"ID":"sha256:ab","Attributes":{"name":"x:1","a":"b\u001b"}},"scope":"local","time":1,"timeNano":1000000005}
{"Type":"image","Action":"prune","Actor":{"ID":"","Attributes":null},"time":2}
`})
	for args, want := range map[string]string{
		"events --format {{.Type}}|{{.Action}}|{{.Actor.Attributes.name}}|{{.TimeNano}}|{{.Scope}}|{{.ID}}": "image|tag|x:1|1000000005|local|sha256:ab\nimage|prune|<no value>|0||\n",
		"system events --format json": `{"status":"tag","id":"sha256:ab","Type":"image","Action":"tag","Actor":{"ID":"sha256:ab","Attributes":{"a":"b\u001b","name":"x:1"}},"scope":"local","time":1,"timeNano":1000000005}` + "\n" +
			`{"Type":"image","Action":"prune","Actor":{"ID":"","Attributes":null},"time":2}` + "\n",
	} {
		if code, out, errs := hull(t, host, strings.Fields(args)...); code != 0 || out != want {
			t.Errorf("%s: %d %q %s\nwant %q", args, code, out, errs, want)
		}
	}
	_, out, _ := hull(t, host, "events", "--since", "10m", "-f", "type=image")
	first, _, _ := strings.Cut(out, "\n")
	if !strings.HasSuffix(first, " image tag sha256:ab (a=b?, name=x:1)") || !strings.Contains(first, ".000000005") {
		t.Errorf("got %q", first)
	}
	if last := (*asked)[len(*asked)-1]; last != "GET /events?filters=%7B%22type%22%3A%7B%22image%22%3Atrue%7D%7D&since=10m" {
		t.Errorf("asked %s", last)
	}
}
