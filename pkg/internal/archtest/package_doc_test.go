package archtest

import (
	"fmt"
	"sort"
	"strings"
	"testing"
)

func TestEveryPackageIntroducesItself(t *testing.T) {
	report(t, undocumented(tree(t)))
}

// undocumented lists the packages without a doc.go that holds a package comment and nothing else. A command may have its
// comment in any file.
func undocumented(files []source) []string {
	documented, seen := map[string]bool{}, map[string]string{}
	var problems []string
	for _, f := range files {
		if f.test {
			continue
		}
		seen[f.pkg] = f.ast.Name.Name
		if f.ast.Doc == nil {
			continue
		}
		if f.name == f.pkg+"/doc.go" || f.ast.Name.Name == "main" {
			documented[f.pkg] = true
		}
		if f.name == f.pkg+"/doc.go" && len(f.ast.Decls) > 0 {
			problems = append(problems, fmt.Sprintf("%s holds code; it is for the package comment", f.name))
		}
	}
	for pkg, name := range seen {
		switch {
		case !documented[pkg] && name == "main":
			problems = append(problems, pkg+": no package comment")
		case !documented[pkg]:
			problems = append(problems, pkg+": no doc.go with a package comment")
		}
	}
	sort.Strings(problems)
	return problems
}

func TestUndocumentedPackagesAreFound(t *testing.T) {
	var files []source
	for name, text := range map[string]string{
		"pkg/good/doc.go": "// Package good is.\npackage good", "pkg/good/x.go": "package good",
		"pkg/bad/x.go": "// Package bad is, but not in doc.go.\npackage bad", "pkg/tested/x_test.go": "package tested",
		"pkg/code/doc.go": "// Package code is.\npackage code\nvar X int",
		"cmd/a/main.go":   "// A is.\npackage main", "cmd/b/main.go": "package main",
	} {
		files = append(files, parse(t, "", name, text))
	}
	want := "cmd/b: no package comment\npkg/bad: no doc.go with a package comment\n" +
		"pkg/code/doc.go holds code; it is for the package comment"
	if got := strings.Join(undocumented(files), "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
