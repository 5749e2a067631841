// Package hull_test holds the rules of the repository as tests: which package may import
// which, what may be linked into keel, which modules the project depends on and why, and how
// files are named, documented and cut. They run with `go test .` (make test) in seconds.
//
// A rule that is broken says which file or package breaks it and what to do. Two ledgers are
// refreshed by `go test . -run Rules -update`: docs/dev/keel-deps.txt, the packages linked
// into keel, and nothing else; the other ledger, docs/dev/dependencies.md, is written by hand
// because its columns are reasons.
package hull_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// module is the path of this module.
const module = "github.com/hull-dev/hull"

var update = flag.Bool("update", false, "rewrite the ledgers that are written by programs")

// source is one Go file of the repository.
type source struct {
	path  string // relative to the root
	text  string
	lines int
	file  *ast.File
	fset  *token.FileSet
}

// pkg is the directory of the file: "internal/launch".
func (s source) pkg() string { return filepath.ToSlash(filepath.Dir(s.path)) }

func (s source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// generated files end in _gen.go or carry Go's marker in their first line.
func (s source) generated() bool {
	first, _, _ := strings.Cut(s.text, "\n")
	return strings.HasSuffix(s.path, "_gen.go") || strings.HasPrefix(first, "// Code generated ") && strings.HasSuffix(first, " DO NOT EDIT.")
}

// sources parses every Go file of the repository once.
var sources = sync.OnceValues(func() ([]source, error) {
	var out []source
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", "bin", "testdata":
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, data, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{path, string(data), bytes.Count(data, []byte("\n")), file, fset})
		return nil
	})
	return out, err
})

func allSources(t *testing.T) []source {
	t.Helper()
	all, err := sources()
	if err != nil {
		t.Fatalf("reading the repository: %v", err)
	}
	if len(all) < 10 {
		t.Fatalf("found %d Go files: the rules look at the wrong directory", len(all))
	}
	return all
}

// listed is what `go list` says of a package.
type listed struct {
	ImportPath   string
	Doc          string
	Standard     bool
	Imports      []string
	TestImports  []string
	XTestImports []string
	CgoFiles     []string
	Module       *struct{ Path string }
}

// goList runs `go list -json` with cgo off, as everything is built.
func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	out := goOutput(t, append([]string{"list", "-json=ImportPath,Doc,Standard,Imports,TestImports,XTestImports,CgoFiles,Module"}, args...)...)
	var all []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("reading the output of go list: %v", err)
		}
		all = append(all, p)
	}
}

func goOutput(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return out
}

// keelPrograms are the packages that make up the program keel; empty while it is not written.
func keelWritten() bool {
	files, _ := filepath.Glob("cmd/keel/*.go")
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err == nil && bytes.Contains(data, []byte("func main()")) {
			return true
		}
	}
	return false
}

// ledger reads a text file of one entry a line; '#' starts a comment.
func ledger(path string) ([]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var out []string
	for sc := bufio.NewScanner(bytes.NewReader(data)); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

// compareSets reports what is in have and not in want, and the reverse.
func compareSets(have, want []string) (extra, missing []string) {
	for _, h := range have {
		if !slices.Contains(want, h) {
			extra = append(extra, h)
		}
	}
	for _, w := range want {
		if !slices.Contains(have, w) {
			missing = append(missing, w)
		}
	}
	return extra, missing
}

func position(s source, pos token.Pos) string {
	return fmt.Sprintf("%s:%d", s.path, s.fset.Position(pos).Line)
}
