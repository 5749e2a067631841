package hull_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers is the import table: for each package of this module, the packages of this module
// that it may import (DESIGN.md section 8: imports go only downwards). A package that is not
// here may not exist; a sub-package follows its parent unless it has a row of its own.
var layers = []struct {
	pkg string
	may []string
}{
	{"cmd/keel", []string{"internal/keel", "internal/seal", "internal/launch", "internal/linux"}},
	{"cmd/hull", []string{"internal/cli"}},
	{"cmd/hulld", []string{"internal/hulld"}},
	{"cmd/hull-build", []string{"internal/buildcli"}},
	{"internal/buildcli", nil},                                                               // BuildKit's client: a program of its own, hulld is reached over the API
	{"internal/cli", []string{"internal/registry", "internal/reference", "internal/unpack"}}, // for credentials; the rest goes over the API
	{"internal/hulld", []string{"internal/server", "internal/image", "internal/registry", "internal/snapshot", "internal/unpack", "internal/metadata", "internal/manifest", "internal/reference", "internal/events", "internal/engine", "internal/volume", "internal/network", "internal/launch", "internal/spec", "internal/shim", "internal/logfile", "internal/linux", "internal/build"}},
	{"internal/server", []string{"internal/image", "internal/reference", "internal/events", "internal/engine", "internal/volume", "internal/network", "internal/logfile", "internal/build"}},
	{"internal/build", []string{"internal/volume", "internal/spec", "internal/shim", "internal/metadata", "internal/reference", "internal/userdb", "internal/linux"}},
	{"internal/keel", []string{"internal/seal", "internal/ociruntime", "internal/criu", "internal/cgroup", "internal/seccomp", "internal/ocispec", "internal/userdb", "internal/linux", "internal/launch", "internal/shim", "internal/shim/serve"}},
	{"cmd/hull-init", []string{"internal/reaper"}},
	{"internal/reaper", nil},
	{"internal/engine", []string{"internal/archive", "internal/unpack", "internal/reference", "internal/image", "internal/spec", "internal/shim", "internal/logfile", "internal/userdb", "internal/events"}},
	{"internal/image", []string{"internal/xz", "internal/metadata", "internal/manifest", "internal/reference", "internal/events"}},
	{"internal/metadata", []string{"internal/linux"}},
	{"internal/events", nil},
	{"internal/archive", []string{"internal/unpack", "internal/linux"}},
	{"internal/volume", []string{"internal/snapshot", "internal/unpack", "internal/linux"}},
	{"internal/spec", []string{"internal/ocispec"}},
	{"internal/network", nil},
	{"internal/shim/serve", []string{"internal/shim", "internal/ociruntime", "internal/logfile", "internal/cgroup", "internal/ocispec", "internal/sigpipe", "internal/linux"}},
	{"internal/shim", []string{"internal/logfile"}}, // hulld's end of the protocol: no runtime in it
	{"internal/logfile", nil},
	{"internal/ociruntime", []string{"internal/netlink", "internal/resctrl", "internal/criu", "internal/cgroup", "internal/seccomp", "internal/ocispec", "internal/userdb", "internal/linux", "internal/launch", "internal/sigpipe"}},
	{"internal/sigpipe", nil},
	{"internal/registry", []string{"internal/manifest", "internal/reference"}},
	{"internal/manifest", []string{"internal/reference"}},
	{"internal/reference", nil},
	{"internal/snapshot", []string{"internal/unpack", "internal/erofs", "internal/linux"}},
	{"internal/unpack", []string{"internal/erofs", "internal/linux", "internal/xz"}},
	{"internal/xz", nil},
	{"internal/erofs", nil},
	{"internal/launch", []string{"internal/linux"}},
	{"internal/criu", nil},
	{"internal/seal", nil}, // runs before the Go runtime: system calls only
	{"internal/cgroup", []string{"internal/linux"}},
	{"internal/netlink", nil},
	{"internal/resctrl", nil},
	{"internal/seccomp", nil},
	{"internal/ocispec", nil},
	{"internal/userdb", []string{"internal/linux"}},
	{"internal/linux", nil},
	{"test", nil}, // black-box suites: they see Hull only from outside
}

// row finds the row of a package, its own or the nearest parent's.
func row(pkg string) (name string, may []string, ok bool) {
	for {
		for _, l := range layers {
			if l.pkg == pkg {
				return l.pkg, l.may, true
			}
		}
		i := strings.LastIndexByte(pkg, '/')
		if i < 0 {
			return "", nil, false
		}
		pkg = pkg[:i]
	}
}

func TestRulesImportTable(t *testing.T) {
	for _, p := range goList(t, "./...") {
		pkg := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if pkg == "" || pkg == "internal" {
			continue
		}
		name, may, ok := row(pkg)
		if !ok {
			t.Errorf("package %s has no row in the import table (rules_imports_test.go)", pkg)
			continue
		}
		for _, imp := range p.Imports {
			rel, ours := strings.CutPrefix(imp, module+"/")
			if !ours || rel == pkg || strings.HasPrefix(rel, name+"/") || strings.HasPrefix(pkg, rel+"/") && rel == name {
				continue
			}
			target, _, _ := row(rel)
			if target == name || slices.Contains(may, target) {
				continue
			}
			t.Errorf("package %s imports %s: its row allows only %v; imports go downwards (DESIGN.md section 8)", pkg, rel, may)
		}
	}
}

// TestRulesImportTableIsAcyclic keeps the table itself honest: a package may only name rows
// below its own.
func TestRulesImportTableIsAcyclic(t *testing.T) {
	for i, l := range layers {
		for _, may := range l.may {
			j := slices.IndexFunc(layers, func(x struct {
				pkg string
				may []string
			}) bool {
				return x.pkg == may
			})
			switch {
			case j < 0:
				t.Errorf("row %s names %s, which has no row", l.pkg, may)
			case j <= i:
				t.Errorf("row %s names %s, which is not below it", l.pkg, may)
			}
		}
	}
}

// forbiddenInKeel must not be linked into keel, not even through others: each costs package
// init time, binary size, or brings in something that keel must not do (look names up with
// NSS, run programs through PATH, speak to the network). The ledger docs/dev/keel-deps.txt
// could allow them by mistake; this list cannot.
var forbiddenInKeel = []string{
	"net", "net/http", "net/netip", "encoding/json", "encoding/gob", "encoding/xml", "regexp", "text/template", "html", "html/template",
	"os/exec", "os/user", "log", "log/slog", "flag", "plugin", "runtime/cgo", "crypto/tls", "crypto/x509", "math/big", "compress/gzip", "go/ast", "testing",
}

// directlyForbidden must not be imported by the sources of the packages that keel is made of.
var directlyForbidden = append([]string{"reflect", "crypto", "hash", "context"}, forbiddenInKeel...)

// keelPackages are the packages whose sources are linked into keel.
var keelPackages = []string{"internal/keel", "internal/ociruntime", "internal/netlink", "internal/resctrl", "internal/launch", "internal/criu", "internal/seal", "internal/cgroup", "internal/seccomp", "internal/ocispec", "internal/userdb", "internal/seal", "internal/sigpipe", "internal/linux", "cmd/keel"}

// partOfKeel says whether a source file is linked into keel: those packages and what is below
// them, programs (generators) aside.
func partOfKeel(s source) bool {
	if s.test() || s.file.Name.Name == "main" && !strings.HasPrefix(s.pkg(), "cmd/keel") {
		return false
	}
	return slices.ContainsFunc(keelPackages, func(p string) bool { return s.pkg() == p || strings.HasPrefix(s.pkg(), p+"/") })
}

const keelLedger = "docs/dev/keel-deps.txt"

func TestRulesKeelClosure(t *testing.T) {
	if !keelWritten() {
		t.Skip("cmd/keel has no main function yet")
	}
	deps := strings.Fields(string(goOutput(t, "list", "-deps", "./cmd/keel")))
	var outside []string
	for _, d := range deps {
		if slices.Contains(forbiddenInKeel, d) {
			why := strings.Fields(string(goOutput(t, "list", "-f", "{{range .Imports}}{{.}} {{end}}", "./cmd/keel")))
			t.Errorf("keel links %s, which is forbidden there (rules_imports_test.go); cmd/keel itself imports %v, `go mod why %s` may tell more", d, why, d)
		}
		if d == module || strings.HasPrefix(d, module+"/") || d == "unsafe" || internalStandard(d) {
			continue
		}
		outside = append(outside, d)
	}
	slices.Sort(outside)
	if *update {
		text := "# Packages of the standard library and of other modules that are linked into keel, but for the\n" +
			"# standard library's own internal ones. A test compares this list both ways (go test . -run Rules);\n" +
			"# `go test . -run Rules -update` rewrites it. A new line needs a reason in the commit that adds it.\n" +
			strings.Join(outside, "\n") + "\n"
		if err := os.WriteFile(keelLedger, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := ledger(keelLedger)
	if err != nil {
		t.Fatalf("reading the ledger of keel's packages: %v (go test . -run Rules -update makes it)", err)
	}
	extra, missing := compareSets(outside, want)
	for _, d := range extra {
		t.Errorf("keel links %s, which is not in %s", d, keelLedger)
	}
	for _, d := range missing {
		t.Errorf("%s lists %s, which keel does not link any more", keelLedger, d)
	}
}

// internalStandard says whether an import path is one of the standard library's internal
// packages: their number changes with each Go release and says nothing about keel.
func internalStandard(path string) bool {
	return slices.Contains(strings.Split(path, "/"), "internal") && !strings.Contains(strings.SplitN(path, "/", 2)[0], ".") ||
		strings.HasPrefix(path, "vendor/")
}

func TestRulesKeelDirectImports(t *testing.T) {
	for _, s := range allSources(t) {
		if !partOfKeel(s) {
			continue
		}
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			for _, f := range directlyForbidden {
				if path == f || strings.HasPrefix(path, f+"/") {
					t.Errorf("%s imports %s: packages linked into keel do not (start-up cost, or R4)", position(s, spec.Pos()), path)
				}
			}
		}
	}
}

// TestRulesNoInit: keel starts in a millisecond because nothing runs before main.
func TestRulesNoInit(t *testing.T) {
	for _, s := range allSources(t) {
		if !partOfKeel(s) {
			continue
		}
		for _, d := range initWork(s) {
			t.Error(d)
		}
	}
}

func TestRulesNoCgo(t *testing.T) {
	for _, s := range allSources(t) {
		for _, spec := range s.file.Imports {
			if spec.Path.Value == `"C"` {
				t.Errorf("%s imports C: Hull is built without cgo", position(s, spec.Pos()))
			}
		}
	}
	for _, pattern := range []string{"*.c", "*.h", "*.cc", "*.S"} {
		for _, dir := range []string{"cmd/*", "internal/*", "internal/*/*"} {
			files, err := filepath.Glob(dir + "/" + pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range files {
				if filepath.Base(filepath.Dir(f)) != "testdata" {
					t.Errorf("%s: no C in Hull's packages", f)
				}
			}
		}
	}
	for _, p := range goList(t, "./cmd/...", "./internal/...") {
		if len(p.CgoFiles) > 0 {
			t.Errorf("package %s has cgo files %v", p.ImportPath, p.CgoFiles)
		}
	}
}
