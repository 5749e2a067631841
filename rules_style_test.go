package hull_test

import (
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines is the hard limit of a file (STYLE.md); over 400 a file wants a reason.
const maxLines = 600

func TestRulesFileLength(t *testing.T) {
	for _, s := range allSources(t) {
		if s.lines > maxLines && !s.generated() {
			t.Errorf("%s has %d lines, the limit is %d: split it by concern", s.path, s.lines, maxLines)
		}
	}
}

func TestRulesPackageComments(t *testing.T) {
	for _, p := range goList(t, "./...") {
		pkg := strings.TrimPrefix(p.ImportPath, module)
		if pkg == "" {
			continue // the root has only these tests
		}
		switch doc := strings.TrimSpace(p.Doc); {
		case doc == "":
			if onlyTests(strings.TrimPrefix(pkg, "/")) {
				continue
			}
			t.Errorf("package %s has no package comment: it is the package's contract (STYLE.md, rule 1)", pkg)
		case !strings.HasPrefix(doc, "Package ") && !strings.HasPrefix(doc, "Command "):
			t.Errorf("package %s: its comment begins with %q, want \"Package …\" or \"Command …\"", pkg, firstWords(doc))
		}
	}
}

// onlyTests says whether a directory holds nothing but test files; their comment is checked
// by TestRulesTestSuiteComments.
func onlyTests(dir string) bool {
	files, _ := filepath.Glob(filepath.Join(dir, "*.go"))
	return len(files) > 0 && !slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

// TestRulesTestSuiteComments: a directory of tests alone is a suite, and says what it tests.
func TestRulesTestSuiteComments(t *testing.T) {
	suites := make(map[string]bool)
	for _, s := range allSources(t) {
		if s.pkg() != "." && onlyTests(s.pkg()) {
			suites[s.pkg()] = suites[s.pkg()] || s.file.Doc != nil && strings.HasPrefix(s.file.Doc.Text(), "Package ")
		}
	}
	for dir, ok := range suites {
		if !ok {
			t.Errorf("%s holds only tests and none of its files has a package comment", dir)
		}
	}
}

func firstWords(s string) string {
	f := strings.Fields(s)
	return strings.Join(f[:min(3, len(f))], " ")
}

func TestRulesNames(t *testing.T) {
	bad := []string{"util", "utils", "helper", "helpers", "common", "manager", "misc"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && slices.Contains([]string{".git", ".cache", "bin", "testdata"}, d.Name()) {
			return fs.SkipDir
		}
		if d.IsDir() && slices.Contains(bad, d.Name()) {
			t.Errorf("directory %s: no packages called %s", path, d.Name())
		}
		base, isGo := strings.CutSuffix(d.Name(), ".go")
		if isGo && !d.IsDir() {
			for part := range strings.SplitSeq(base, "_") {
				if slices.Contains(bad, part) {
					t.Errorf("file %s: name it by its concern, not %q", path, part)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range allSources(t) {
		if slices.Contains(bad, strings.TrimSuffix(s.file.Name.Name, "_test")) {
			t.Errorf("%s: no packages called %s", s.path, s.file.Name.Name)
		}
	}
}

// unfinished finds notes that something is not done. The words are split here so that this
// file does not find itself.
var unfinished = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)

func TestRulesNothingUnfinished(t *testing.T) {
	for _, s := range allSources(t) {
		for _, group := range s.file.Comments {
			for _, c := range group.List {
				if m := unfinished.FindString(c.Text); m != "" {
					t.Errorf("%s: a comment says %s; finish it or file an issue", position(s, c.Pos()), m)
				}
			}
		}
	}
}

// forbiddenCalls are never right in Hull: package name, function, why.
var forbiddenCalls = []struct{ pkg, name, why string }{
	{"context", "TO" + "DO", "pass a context"},
	{"ioutil", "ReadFile", "use os"},
}

// callsByString are calls that take a path as a string. In the packages that run containers a
// path may be the container's to change, so these are allowed only in the files of allowed
// (R1: handles, not strings), each with its reason.
var callsByString = map[string][]string{
	"os":       {"Create", "Open", "OpenFile", "ReadFile", "WriteFile", "Mkdir", "MkdirAll", "Remove", "RemoveAll", "Rename", "Chmod", "Chown", "Symlink", "Link", "Stat", "Lstat", "ReadDir", "Readlink", "Chdir", "Chtimes", "Truncate", "Lchown"},
	"unix":     {"Mount", "Chroot", "Mknod", "Open"},
	"syscall":  {"Mount", "Chroot", "Mknod", "Open", "Mkdir", "Unlink", "Rmdir"},
	"filepath": {"EvalSymlinks", "Walk", "WalkDir", "Glob"},
}

// runtimePackages run with paths that a container's file system, or an archive, can influence.
var runtimePackages = []string{"internal/ociruntime", "internal/criu", "internal/launch", "internal/keel", "internal/unpack"}

const pathLedger = "docs/dev/path-strings.txt"

// TestRulesPathsAreHandles finds calls that take a path as a string in the packages that run
// containers. docs/dev/path-strings.txt lists those that are right, as
// "file.go os.ReadFile reason": state directories, the bundle, /proc and /sys of the host.
func TestRulesPathsAreHandles(t *testing.T) {
	rows, err := ledger(pathLedger)
	if err != nil {
		t.Fatalf("reading the ledger of paths by string: %v", err)
	}
	allowed := make(map[string]bool) // key -> used
	for _, r := range rows {
		f := strings.Fields(r)
		if len(f) < 3 {
			t.Errorf("%s: row %q has no reason; want: file call reason", pathLedger, r)
			continue
		}
		allowed[f[0]+" "+f[1]] = false
	}
	for _, s := range allSources(t) {
		if s.test() || !slices.Contains(runtimePackages, s.pkg()) {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok || x.Obj != nil || !slices.Contains(callsByString[x.Name], sel.Sel.Name) {
				return true
			}
			key := s.path + " " + x.Name + "." + sel.Sel.Name
			if _, ok := allowed[key]; ok {
				allowed[key] = true
				return true
			}
			t.Errorf("%s: %s.%s takes a path as a string; go through a handle of package linux (R1), or, if no container can change the path, add %q with the reason to %s",
				position(s, sel.Pos()), x.Name, sel.Sel.Name, key, pathLedger)
			return true
		})
	}
	for key, used := range allowed {
		if !used {
			t.Errorf("%s allows %q, which is not there any more", pathLedger, key)
		}
	}
}

// rootfsJoin finds string paths made from a container's root file system.
var rootfsJoin = regexp.MustCompile(`(?i)filepath\.Join\(\s*(\w+\.)*root(fs|fspath|path|dir)\s*,|\broot(fs|fspath|path|dir)\s*\+\s*"`)

func TestRulesNoRootfsStrings(t *testing.T) {
	for _, s := range allSources(t) {
		if s.test() || !slices.Contains(runtimePackages, s.pkg()) && s.pkg() != "internal/linux" {
			continue
		}
		for i, line := range strings.Split(s.text, "\n") {
			code, _, _ := strings.Cut(line, "//")
			if m := rootfsJoin.FindString(code); m != "" {
				t.Errorf("%s:%d: %q makes a path into a root file system by string: use a handle (R1)", s.path, i+1, m)
			}
		}
	}
}

// mayTakeAnyCertificate are the files that may leave the verification of TLS out, each for a host that the user's
// configuration names with skip_verify (R27). Nothing else has a reason.
var mayTakeAnyCertificate = []string{"internal/registry/transport.go"}

func TestRulesForbiddenCalls(t *testing.T) {
	insecure := "Insecure" + "SkipVerify"
	for _, s := range allSources(t) {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				x, ok := n.X.(*ast.Ident)
				if !ok || x.Obj != nil {
					return true
				}
				for _, f := range forbiddenCalls {
					if x.Name == f.pkg && n.Sel.Name == f.name {
						t.Errorf("%s: no %s.%s: %s", position(s, n.Pos()), f.pkg, f.name, f.why)
					}
				}
			case *ast.Ident:
				if n.Name == insecure && !slices.Contains(mayTakeAnyCertificate, s.path) {
					t.Errorf("%s: no %s: TLS is verified everywhere (R27)", position(s, n.Pos()), insecure)
				}
			}
			return true
		})
	}
}

// TestRulesNoHosts: no file names a registry or a module proxy host. What a machine fetches
// from is that machine's own setting.
func TestRulesNoHosts(t *testing.T) {
	hosts := regexp.MustCompile(`(?i)(proxy\.golang` + `\.org|sum\.golang` + `\.org|deb\.debian` + `\.org|registry\.npm` + `js\.org|registry-1\.docker` + `\.io|goproxy` + `\.|GOPROXY` + `=http|arti` + `factory)`)
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", ".cache", "bin"}, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if info, err := d.Info(); err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil // a file that a neighbour just removed
		}
		if m := hosts.Find(data); m != nil {
			t.Errorf("%s names the host %q", path, m)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// initWork lists what a file makes the program do before main: init functions, maps, and
// calls in the initial values of package variables. Composite literals of constants are laid
// out by the linker and cost nothing.
func initWork(s source) []string {
	var out []string
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Name.Name == "init" && d.Recv == nil {
				out = append(out, position(s, d.Pos())+": func init in a package linked into keel; use a function called from main")
			}
		case *ast.GenDecl:
			if d.Tok != token.VAR {
				continue
			}
			for _, spec := range d.Specs {
				for _, v := range spec.(*ast.ValueSpec).Values {
					ast.Inspect(v, func(n ast.Node) bool {
						switch n := n.(type) {
						case *ast.FuncLit:
							return false
						case *ast.CompositeLit:
							if _, ok := n.Type.(*ast.MapType); ok {
								out = append(out, position(s, n.Pos())+": a map built at start-up; use a sorted array or a switch")
							}
						case *ast.CallExpr:
							if !freeCall(n) {
								out = append(out, position(s, n.Pos())+": a call at start-up; use a constant, a literal, or a function called when needed")
							}
						}
						return true
					})
				}
			}
		}
	}
	return out
}

// freeCall says whether a call expression in an initial value is a conversion, a built-in of
// constants, or errors.New, which allocates 16 bytes and is worth its clarity.
func freeCall(c *ast.CallExpr) bool {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return slices.Contains([]string{"len", "cap", "min", "max", "string", "byte", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr", "Errno"}, f.Name)
	case *ast.ArrayType, *ast.ParenExpr:
		return true
	case *ast.SelectorExpr:
		x, ok := f.X.(*ast.Ident)
		if !ok {
			return false
		}
		switch x.Name + "." + f.Sel.Name {
		case "errors.New", "syscall.Errno", "unix.Errno", "syscall.Signal", "unix.Signal", "unsafe.Sizeof", "unsafe.Offsetof":
			return true
		}
	}
	return false
}
