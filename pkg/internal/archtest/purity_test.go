package archtest

import (
	"fmt"
	"go/ast"
	"sort"
	"strings"
	"testing"
)

// rim is what only the command may touch: code below pkg/ is handed time, files, dialers and streams. An empty list
// forbids the whole package.
var rim = map[string][]string{
	"flag":         {},
	"fmt":          {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	"log":          {},
	"log/slog":     {},
	"math/rand":    {}, // randomness is crypto/rand
	"math/rand/v2": {},
	"os": {"Args", "Clearenv", "Environ", "Exit", "ExpandEnv", "Getenv", "LookupEnv", "Setenv", "Stderr", "Stdin", "Stdout",
		"UserCacheDir", "UserConfigDir", "UserHomeDir"},
	"os/signal": {},
	"time":      {"Now", "Since", "Until"},
}

// exceptions are uses that stay, by file and what is used, with the reason.
var exceptions = map[string]string{
	"pkg/remote/server.go log":              "net/http takes a *log.Logger for its complaints; it writes to what was handed in",
	"pkg/gnutls/program.go time.Until":      "what is left of a context's deadline, which another program is told",
	"pkg/handshake/handshake.go time.Now":   "a stopwatch: the transcript says how long each stage took, no verdict rests on it",
	"pkg/handshake/handshake.go time.Since": "the same stopwatch",
	"pkg/handshake/pipe.go time.Now":        "the deadlines of a net.Conn are moments of the real clock",
	"pkg/handshake/pipe.go time.Until":      "the same deadlines",
}

func TestNothingBelowPkgTouchesTheRim(t *testing.T) {
	report(t, impure(tree(t)))
}

// impure lists what the code below pkg/ and templates/ may not do. Test support may.
func impure(files []source) []string {
	used := map[string]bool{}
	var problems []string
	complain := func(f source, n ast.Node, what string) {
		key := f.name + " " + what
		used[key] = true
		if exceptions[key] == "" {
			problems = append(problems, fmt.Sprintf("%s: %s is for the command alone: have it handed in", f.at(n), what))
		}
	}
	for _, f := range files {
		if f.test || !judged(f.pkg) {
			continue
		}
		imports := f.imports()
		for _, spec := range f.ast.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if names, listed := rim[path]; listed && (len(names) == 0 || spec.Name != nil && spec.Name.Name == ".") {
				complain(f, spec, path)
			}
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok {
					for _, name := range rim[imports[x.Name]] {
						if name == n.Sel.Name {
							complain(f, n, imports[x.Name]+"."+name)
						}
					}
				}
			case *ast.CallExpr:
				if x, ok := n.Fun.(*ast.Ident); ok && (x.Name == "print" || x.Name == "println") {
					complain(f, n, x.Name)
				}
			}
			return true
		})
	}
	for key := range exceptions {
		if !used[key] && len(files) > 1 {
			problems = append(problems, fmt.Sprintf("the exception %q is needed no longer", key))
		}
	}
	sort.Strings(problems)
	return problems
}

// judged reports whether the rules for library code hold for a package.
func judged(pkg string) bool {
	for _, p := range testOnly {
		if p == pkg {
			return false
		}
	}
	return strings.HasPrefix(pkg, "pkg/") || pkg == "templates"
}

func TestTheRimIsFound(t *testing.T) {
	const rest = " is for the command alone: have it handed in"
	for _, c := range []struct{ name, file, text, want string }{
		{"the clock", "pkg/ca/x.go", "package ca\nimport \"time\"\nvar t = time.Now()", "pkg/ca/x.go:3: time.Now" + rest},
		{"the clock as a value", "pkg/ca/x.go", "package ca\nimport \"time\"\nvar now = time.Now", "pkg/ca/x.go:3: time.Now" + rest},
		{"the clock under another name", "pkg/ca/x.go", "package ca\nimport clock \"time\"\nvar t = clock.Now()",
			"pkg/ca/x.go:3: time.Now" + rest},
		{"time without the clock", "pkg/ca/x.go", "package ca\nimport \"time\"\nvar t = time.Unix(0, 0)", ""},
		{"the environment", "pkg/ca/x.go", "package ca\nimport \"os\"\nvar h = os.Getenv(\"HOME\")", "pkg/ca/x.go:3: os.Getenv" + rest},
		{"a log", "pkg/ca/x.go", "package ca\nimport \"log\"\nvar l = log.Default()", "pkg/ca/x.go:2: log" + rest},
		{"print", "pkg/ca/x.go", "package ca\nimport \"fmt\"\nfunc f() {\nfmt.Println()\nfmt.Sprint()\nprintln()\n}",
			"pkg/ca/x.go:4: fmt.Println" + rest + "\npkg/ca/x.go:6: println" + rest},
		{"weak randomness", "pkg/ca/x.go", "package ca\nimport \"math/rand/v2\"\nvar r = rand.Int()", "pkg/ca/x.go:2: math/rand/v2" + rest},
		{"in a test", "pkg/ca/x_test.go", "package ca\nimport \"time\"\nvar t = time.Now()", ""},
		{"in the command", "cmd/virt-pki/x.go", "package main\nimport \"time\"\nvar t = time.Now()", ""},
		{"in test support", "pkg/internal/peer/x.go", "package peer\nimport \"time\"\nvar t = time.Now()", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(impure([]source{parse(t, "", c.file, c.text)}), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
