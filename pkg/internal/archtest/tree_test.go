package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/virt-pki/virt-pki"

// A source is one Go file of ours, whatever its build constraints.
type source struct {
	name string // path from the top of the tree, with slashes
	pkg  string // directory, likewise: "pkg/dn"
	test bool   // only tests see it
	fset *token.FileSet
	ast  *ast.File
}

// imports gives the import paths by the name under which the file uses them.
func (s source) imports() map[string]string {
	byName := map[string]string{}
	for _, i := range s.ast.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		name := path[strings.LastIndex(path, "/")+1:]
		if isVersion(name) {
			short := strings.TrimSuffix(path, "/"+name)
			name = short[strings.LastIndex(short, "/")+1:]
		}
		if i.Name != nil {
			name = i.Name.Name
		}
		if name == "_" || name == "." {
			name += path // several of them may stand in one file
		}
		byName[name] = path
	}
	return byName
}

// isVersion recognises the last element of a path like math/rand/v2.
func isVersion(s string) bool {
	return len(s) > 1 && s[0] == 'v' && strings.Trim(s[1:], "0123456789") == ""
}

// at gives the position of a node as file:line.
func (s source) at(n ast.Node) string {
	return s.name + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// parse reads one file; text nil: from disk.
func parse(t *testing.T, top, name string, text any) source {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, filepath.Join(top, name), text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return source{name, filepath.ToSlash(filepath.Dir(name)), strings.HasSuffix(name, "_test.go"), fset, f}
}

// tree reads all Go files of the module.
func tree(t *testing.T) []source {
	t.Helper()
	top, err := os.Getwd()
	for err == nil && !exists(filepath.Join(top, "go.mod")) {
		if top == filepath.Dir(top) {
			t.Fatal("no go.mod above the test")
		}
		top = filepath.Dir(top)
	}
	var all []source
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		base := d.Name()
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != top && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") ||
			exists(filepath.Join(path, "go.mod"))):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(base, ".go") && !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "_"):
			name, err := filepath.Rel(top, path)
			if err != nil {
				return err
			}
			all = append(all, parse(t, top, name, nil))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 10 {
		t.Fatalf("only %d Go files found below %s", len(all), top)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// report fails the test once for each problem.
func report(t *testing.T, problems []string) {
	t.Helper()
	for _, p := range problems {
		t.Error(p)
	}
}
