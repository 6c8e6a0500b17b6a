package archtest

import (
	"fmt"
	"go/ast"
	"sort"
	"strings"
	"testing"
)

func TestNoForeignTypeInAnExportedDeclaration(t *testing.T) {
	report(t, foreign(tree(t)))
}

// foreign lists the exported declarations below pkg/ that name a type of a dependency: the dependency could then not be
// replaced without breaking callers.
func foreign(files []source) []string {
	var problems []string
	for _, f := range files {
		if f.test || !judged(f.pkg) {
			continue
		}
		imports := f.imports()
		look := func(name string, within ...ast.Node) {
			for _, n := range within {
				ast.Inspect(n, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.BlockStmt: // bodies are the package's own business
						return false
					case *ast.StructType:
						for _, field := range n.Fields.List {
							if exportedField(field) {
								ast.Inspect(field.Type, func(n ast.Node) bool { return check(f, imports, name, n, &problems) })
							}
						}
						return false
					}
					return check(f, imports, name, n, &problems)
				})
			}
		}
		for _, d := range f.ast.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || ast.IsExported(receiver(d.Recv.List[0].Type))) {
					look(d.Name.Name, d.Type)
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					switch spec := spec.(type) {
					case *ast.TypeSpec:
						if spec.Name.IsExported() {
							look(spec.Name.Name, spec.Type)
						}
					case *ast.ValueSpec:
						if spec.Names[0].IsExported() && spec.Type != nil {
							look(spec.Names[0].Name, spec.Type)
						}
					}
				}
			}
		}
	}
	sort.Strings(problems)
	return problems
}

// check complains if n names something of a dependency. golang.org/x is not exempt.
func check(f source, imports map[string]string, name string, n ast.Node, problems *[]string) bool {
	sel, ok := n.(*ast.SelectorExpr)
	if !ok {
		return true
	}
	if x, ok := sel.X.(*ast.Ident); ok {
		path := imports[x.Name]
		if strings.Contains(strings.Split(path, "/")[0], ".") && !strings.HasPrefix(path, module+"/") {
			*problems = append(*problems, fmt.Sprintf("%s: exported %s shows %s.%s of %s", f.at(sel), name, x.Name, sel.Sel.Name, path))
		}
	}
	return true
}

// exportedField reports whether a struct's field is seen from outside; an embedded one is, if its type is.
func exportedField(f *ast.Field) bool {
	if len(f.Names) == 0 {
		return ast.IsExported(receiver(f.Type))
	}
	for _, n := range f.Names {
		if n.IsExported() {
			return true
		}
	}
	return false
}

// receiver gives the name of a type, without package, pointer and type parameters.
func receiver(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return receiver(t.X)
	case *ast.IndexExpr:
		return receiver(t.X)
	case *ast.IndexListExpr:
		return receiver(t.X)
	case *ast.SelectorExpr:
		return t.Sel.Name
	case *ast.Ident:
		return t.Name
	}
	return ""
}

func TestForeignTypesAreFound(t *testing.T) {
	const head = "package dnmatch\nimport \"github.com/gobwas/glob\"\n"
	const shows = " shows glob.Glob of github.com/gobwas/glob"
	for _, c := range []struct{ name, text, want string }{
		{"result", "func F() glob.Glob { return nil }", "pkg/dnmatch/x.go:3: exported F" + shows},
		{"parameter of a method", "func (*T) F(g []glob.Glob) {}", "pkg/dnmatch/x.go:3: exported F" + shows},
		{"method of an unexported type", "func (*t) F(g glob.Glob) {}", ""},
		{"unexported function", "func f(g glob.Glob) {}", ""},
		{"body", "func F() { var g glob.Glob; _ = g }", ""},
		{"exported field", "type T struct { G glob.Glob }", "pkg/dnmatch/x.go:3: exported T" + shows},
		{"embedded field", "type T struct { glob.Glob }", "pkg/dnmatch/x.go:3: exported T" + shows},
		{"unexported field", "type T struct { g glob.Glob }", ""},
		{"variable", "var G map[string]glob.Glob", "pkg/dnmatch/x.go:3: exported G" + shows},
		{"interface", "type I interface { M() glob.Glob }", "pkg/dnmatch/x.go:3: exported I" + shows},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := strings.Join(foreign([]source{parse(t, "", "pkg/dnmatch/x.go", head+c.text)}), "\n")
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
