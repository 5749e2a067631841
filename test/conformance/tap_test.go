package main

import "testing"

func TestParseTAP(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       points
	}{
		{"points", "TAP version 13\nok 1 - a\n  ---\n  {\n    \"error\": \"x\"\n  }\n  ...\nnot ok 2 - b\nok 3 # SKIP c\n1..3\n",
			points{planned: 3, ok: 1, notOK: 1, skipped: 1, firstFailure: "not ok 2 - b", firstSkip: "ok 3 # SKIP c"}},
		{"silent success", "TAP version 13\n1..0\n", points{planned: 0}},
		{"silent failure", "TAP version 13\n  ---\n  {\n    \"error\": \"late\"\n  }\n  ...\n1..0\n", points{planned: 0, complaint: `"error": "late"`}},
		{"no plan", "ok 1\n", points{planned: -1, ok: 1}},
		{"second plan", "ok 1\n1..1\n1..0\n", points{planned: 1, ok: 1}},
		{"nested points do not count", "ok 1\n  ---\n  stdout: |\n    not ok 1 - inner\n  ...\n1..1\n", points{planned: 1, ok: 1}},
	} {
		if got := parseTAP(c.text); got != c.want {
			t.Errorf("%s: got %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestCompare(t *testing.T) {
	baseline := map[string]result{"a": {verdict: "pass"}, "b": {verdict: "fail"}, "c": {verdict: "pass"}, "d": {verdict: "pass"}}
	results := []result{
		{name: "a", verdict: "fail", note: "broken"},
		{name: "b", verdict: "fail"},
		{name: "c", verdict: "fail"},
		{name: "e", verdict: "pass"},
	}
	got := compare(results, baseline, map[string]string{"c": "why", "b": "stale is only when it passes"}, true)
	want := []string{
		"a: fail, but runc passes it: broken",
		"e is not in the baseline; run make conformance-baseline",
		"d is in the baseline but was not run",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
	results[2].verdict = "pass"
	if got := compare(results[2:3], baseline, map[string]string{"c": "why"}, false); len(got) != 1 {
		t.Errorf("an exception for a program that passes: got %q, want one complaint", got)
	}
}
