package hull_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	hullMaxInitMs = 3.0 // package init, milliseconds (DESIGN.md section 1)
	hullMaxBytes  = 12 << 20
)

// heavyInHull are what would make every `hull` as slow as docker's: the Docker client, gRPC,
// the store itself.
var heavyInHull = []string{"google.golang.org/grpc", "github.com/containerd/containerd", "go.etcd.io/bbolt", "github.com/moby/moby/client", "github.com/spf13/cobra", "github.com/distribution/reference"}

// TestRulesHullBudget holds hull's size and start-up, as TestRulesKeelBudget does keel's.
func TestRulesHullBudget(t *testing.T) {
	for d := range strings.FieldsSeq(string(goOutput(t, "list", "-deps", "./cmd/hull"))) {
		if slices.ContainsFunc(heavyInHull, func(h string) bool { return d == h || strings.HasPrefix(d, h+"/") }) {
			t.Errorf("hull links %s: heavy verbs belong into plug-ins (DESIGN.md section 1)", d)
		}
	}
	hull := filepath.Join(t.TempDir(), "hull")
	goOutput(t, "build", "-trimpath", "-ldflags=-s -w", "-o", hull, "./cmd/hull")
	info, err := os.Stat(hull)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > hullMaxBytes {
		t.Errorf("hull has %d bytes, the budget is %d", info.Size(), hullMaxBytes)
	}
	var times []float64
	for range initRuns {
		cmd := exec.Command(hull, "--version")
		cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil {
			t.Fatalf("hull --version: %v\n%s", err, stderr.String())
		}
		ms, ok := initTime(stderr.String())
		if !ok {
			t.Fatalf("no init lines:\n%s", stderr.String())
		}
		times = append(times, ms)
	}
	slices.Sort(times)
	median := times[len(times)/2]
	t.Logf("hull: %d bytes, package init %.3f ms (median of %d)", info.Size(), median, initRuns)
	if median > hullMaxInitMs {
		t.Errorf("hull's package init takes %.3f ms (median of %v), the budget is %.1f ms", median, times, hullMaxInitMs)
	}
}
