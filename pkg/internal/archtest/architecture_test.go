package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// architecture reads docs/architecture.md and go.mod.
func architecture(t *testing.T) (page, mod string) {
	t.Helper()
	top := filepath.Join("..", "..", "..")
	a, err := os.ReadFile(filepath.Join(top, "docs", "architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	return string(a), string(b)
}

func TestThePageNamesEveryPackageAndGivesDoorsTheirReason(t *testing.T) {
	page, mod := architecture(t)
	report(t, unsaid(page, mod, allowed))
}

// required is a line of go.mod for a module that code of ours imports.
var required = regexp.MustCompile(`(?m)^\t(\S+) v\S+$`)

// unsaid lists what docs/architecture.md does not say of the packages of the table and the modules that go.mod requires.
func unsaid(page, mod string, allowed map[string][]string) []string {
	var problems []string
	rooms, dependencies := map[string]bool{}, ""
	for line := range strings.Lines(page) {
		cells := strings.Split(line, "|")
		if len(cells) < 3 {
			continue
		}
		dependencies += cells[1]
		prefix := ""
		for i, name := range strings.Split(cells[1], "`") {
			if i%2 == 0 {
				continue
			}
			if strings.HasPrefix(name, "pkg/internal/") {
				prefix = "pkg/internal/" // the next ones without it
			} else if !strings.Contains(name, "/") {
				name = prefix + name
			}
			rooms[name] = true
		}
	}
	storey := map[string]int{}
	_, drawing, _ := strings.Cut(page, "## Which way imports go")
	_, drawing, _ = strings.Cut(drawing, "```\n")
	drawing, _, _ = strings.Cut(drawing, "```")
	for i, line := range strings.Split(strings.TrimSpace(drawing), "\n") {
		for _, name := range strings.Fields(line) {
			if _, there := allowed["pkg/"+name]; there {
				name = "pkg/" + name
			}
			storey[name] = i + 1
			if _, there := allowed[name]; !there {
				problems = append(problems, fmt.Sprintf("%s is in a storey, but not in the table", name))
			}
		}
	}
	for pkg, own := range allowed {
		if !rooms[pkg] {
			problems = append(problems, pkg+" has no line among the rooms")
		}
		if slices.Contains(testOnly, pkg) {
			continue
		}
		if storey[pkg] == 0 {
			problems = append(problems, pkg+" is in no storey")
		}
		for _, below := range own {
			if storey[below] >= storey[pkg] {
				problems = append(problems, fmt.Sprintf("%s does not stand below %s, which it imports", pkg, below))
			}
		}
	}
	for _, m := range required.FindAllStringSubmatch(mod, -1) {
		last := m[1][strings.LastIndex(m[1], "/")+1:]
		if !strings.Contains(dependencies, m[1]) && !(strings.HasPrefix(m[1], "golang.org/x/") && strings.Contains(dependencies, "x/"+last)) {
			problems = append(problems, m[1]+" is required, and no reason is given")
		}
	}
	slices.Sort(problems)
	return problems
}

func TestWhatThePageDoesNotSayIsFound(t *testing.T) {
	const head = "| `pkg/dn` | names |\n| `pkg/internal/der`, `hint` | readers |\n| golang.org/x/term, x/sys | files |\n\n## Which way imports go\n\n```\n"
	table := map[string][]string{"pkg/dn": {"pkg/internal/der"}, "pkg/internal/der": {}, "pkg/internal/hint": {}}
	for _, c := range []struct{ name, drawing, mod, want string }{
		{"everything is said", "internal/der internal/hint\ndn\n", "\tgolang.org/x/sys v0.1.0\n\texample.com/x v1.0.0 // indirect\n", ""},
		{"a package without a storey", "internal/der\ndn\n", "", "pkg/internal/hint is in no storey"},
		{"an import within a storey", "internal/der internal/hint dn\n", "", "pkg/dn does not stand below pkg/internal/der, which it imports"},
		{"a package that is gone", "internal/der internal/hint\ndn old\n", "", "old is in a storey, but not in the table"},
		{"a module without a reason", "internal/der internal/hint\ndn\n", "\texample.com/x v1.0.0\n", "example.com/x is required, and no reason is given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := strings.Join(unsaid(head+c.drawing+"```\n", c.mod, table), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := unsaid("", "", map[string][]string{"pkg/dn": {}}); got[0] != "pkg/dn has no line among the rooms" {
		t.Errorf("got %q", got)
	}
}
