package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestLinksInCommentsLeadSomewhere(t *testing.T) {
	report(t, dangling(tree(t)))
}

// link is [Name], [Type.Method], [*Type] or [package.Name] in a comment, and no link of Markdown.
var link = regexp.MustCompile(`\[\*?([A-Za-z]\w*(?:\.[A-Z]\w*)*)\](?:[^\w(\[]|$)`)

// noLinks are words in brackets that lead nowhere.
var noLinks = []string{
	"Install", // a section of a unit
}

// dangling lists the links in the comments of exported declarations and packages that name nothing: what they named was renamed
// or taken out, and the compiler does not read comments. Links into packages of others are not looked at.
func dangling(files []source) []string {
	declared := map[string]map[string]bool{} // by package
	for _, f := range files {
		if f.test {
			continue
		}
		if declared[f.pkg] == nil {
			declared[f.pkg] = map[string]bool{}
		}
		for _, d := range f.ast.Decls {
			declare(declared[f.pkg], d)
		}
	}
	var problems []string
	for _, f := range files {
		if f.test || !strings.HasPrefix(f.pkg, "pkg/") {
			continue
		}
		for _, group := range f.ast.Comments {
			for _, c := range group.List {
				for _, m := range link.FindAllStringSubmatch(c.Text, -1) {
					first, rest, _ := strings.Cut(m[1], ".")
					switch {
					case !ast.IsExported(first) && rest != "":
						if pkg := "pkg/" + first; declared[pkg] == nil || declared[pkg][rest] {
							continue
						}
					case !ast.IsExported(first) || declared[f.pkg][m[1]] || slices.Contains(noLinks, m[1]):
						continue
					}
					problems = append(problems, fmt.Sprintf("%s: there is no %s", f.at(c), m[1]))
				}
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// declare notes what a declaration declares: names, and methods and fields as Type.Name.
func declare(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			name = receiver(d.Recv.List[0].Type) + "." + name
		}
		names[name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names[n.Name] = true
				}
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
				var fields *ast.FieldList
				switch typ := spec.Type.(type) {
				case *ast.StructType:
					fields = typ.Fields
				case *ast.InterfaceType:
					fields = typ.Methods
				default:
					continue
				}
				for _, field := range fields.List {
					for _, n := range field.Names {
						names[spec.Name.Name+"."+n.Name] = true
					}
					if len(field.Names) == 0 {
						names[spec.Name.Name+"."+receiver(field.Type)] = true
					}
				}
			}
		}
	}
}

func TestDanglingLinksAreFound(t *testing.T) {
	const rest = "\ntype T struct { F int }\nfunc (*T) M() {}\nconst A, B = 1, 2\n"
	other := parse(t, "", "pkg/uri/x.go", "package uri\nfunc Parse() {}\n")
	for _, c := range []struct{ name, comment, want string }{
		{"what is there", "[T], [*T], [T.F], [T.M], [A] and [B]", ""},
		{"a name that is gone", "see [Old].", "pkg/dn/x.go:2: there is no Old"},
		{"a method that is gone", "[T.Old]", "pkg/dn/x.go:2: there is no T.Old"},
		{"of another package", "[uri.Parse]", ""},
		{"gone from another package", "[uri.Read]", "pkg/dn/x.go:2: there is no uri.Read"},
		{"of the standard library", "[x509.Certificate]", ""},
		{"of Markdown", "[Name](https://example.com/)", ""},
		{"an index and a class", "a[i], x[N]y, [0-9]", ""},
		{"a section of a unit", "[Install]", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := dangling([]source{other, parse(t, "", "pkg/dn/x.go", "package dn\n// "+c.comment+rest)})
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
