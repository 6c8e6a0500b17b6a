package unit

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strings"
)

// A Command is what a service executes, variables put in.
type Command struct {
	// Program is the executable, Args its arguments without argv[0].
	Program string
	Args    []string
	// File and Line are where ExecStart= stands.
	File string
	Line int
	// Environment is what Environment= and EnvironmentFile= set, sorted by name.
	Environment []Assignment
	// Files are the environment files that the unit names, those that are not there included.
	Files []string
	// Used names the variables that ExecStart= takes in, in order.
	Used []string
}

// A CommandError says why systemd does not start a service's command.
type CommandError struct {
	File string
	Line int
	// Text is what is wrong.
	Text string
	Err  error
	// Missing is the environment file that is not there but has to be.
	Missing string
	// More says that there are several ExecStart=, which only Type=oneshot may have; More is the place of each.
	More []Entry
}

func (e *CommandError) Error() string {
	s := fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Text)
	if e.Err != nil && e.Missing == "" {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the cause.
func (e *CommandError) Unwrap() error { return e.Err }

// Origin finds where a word among the arguments was written: the variable it came from, or ExecStart= itself.
func (c *Command) Origin(word string) (file string, line int) {
	for _, name := range c.Used {
		if a, ok := c.variable(name); ok {
			for _, w := range looseWords(a.Value) {
				if w == word {
					return a.File, a.Line
				}
			}
		}
	}
	return c.File, c.Line
}

func looseWords(s string) []string {
	w, _ := words(s, quoting{relaxed: true})
	return w
}

func (c *Command) variable(name string) (Assignment, bool) {
	for _, a := range c.Environment {
		if a.Name == name {
			return a, true
		}
	}
	return Assignment{}, false
}

// Command works out what ExecStart= of a service executes: environment read from the tree, variables put in. What keeps
// systemd from starting it is a *CommandError.
func (t *Tree) Command(f *File) (*Command, error) {
	execs := f.List("Service", "ExecStart")
	if len(execs) == 0 {
		return nil, &CommandError{File: f.Path, Line: 1, Text: "the service has no ExecStart="}
	}
	kind, _ := f.Last("Service", "Type")
	several := func(e Entry) error {
		return &CommandError{File: e.File, Line: e.Line, More: execs,
			Text: "Service has more than one ExecStart= setting, which is only allowed for Type=oneshot services"}
	}
	if len(execs) > 1 && kind.Value != "oneshot" {
		return nil, several(execs[len(execs)-1])
	}
	e := execs[0]
	c := &Command{File: e.File, Line: e.Line}
	if err := t.environment(f, c); err != nil {
		return nil, err
	}
	argv, more, err := commandWords(e.Value)
	if more && kind.Value != "oneshot" {
		return nil, several(e)
	}
	if err == nil && len(argv) == 0 {
		err = errors.New("there is no command in it")
	}
	if err != nil {
		return nil, &CommandError{File: e.File, Line: e.Line, Text: "ExecStart= cannot be read", Err: err}
	}
	literal, named := false, false // no variables; argv[0] is given
	program := strings.TrimLeft(argv[0], "-@:+!|")
	for _, p := range argv[0][:len(argv[0])-len(program)] {
		literal, named = literal || p == ':', named || p == '@'
	}
	rest := argv[1:]
	if named && len(rest) > 0 {
		rest = rest[1:]
	}
	c.Program = f.expand(program)
	for _, w := range rest {
		c.add(f.expand(w), literal)
	}
	return c, nil
}

// add puts a word in: $NAME alone becomes the words of the variable, ${NAME} a part of the word (systemd replace_env_argv).
func (c *Command) add(w string, literal bool) {
	if literal {
		c.Args = append(c.Args, w)
		return
	}
	if w == "$" || len(w) > 1 && w[0] == '$' && w[1] != '{' && w[1] != '$' {
		c.use(w[1:])
		if a, ok := c.variable(w[1:]); ok {
			c.Args = append(c.Args, looseWords(a.Value)...)
		}
		return
	}
	var out strings.Builder
	for i := 0; i < len(w); i++ {
		switch {
		case strings.HasPrefix(w[i:], "$$"):
			out.WriteByte('$')
			i++
		case strings.HasPrefix(w[i:], "${") && !strings.Contains(w[i:], "}"):
			out.WriteString(w[i:])
			i = len(w)
		case strings.HasPrefix(w[i:], "${"):
			end := i + strings.IndexByte(w[i:], '}')
			name := w[i+2 : end]
			c.use(name)
			if a, ok := c.variable(name); ok {
				out.WriteString(a.Value)
			}
			i = end
		default:
			out.WriteByte(w[i])
		}
	}
	c.Args = append(c.Args, out.String())
}

func (c *Command) use(name string) {
	if validName(name) {
		c.Used = append(c.Used, name)
	}
}

// environment reads Environment= and then the files, which win.
func (t *Tree) environment(f *File, c *Command) error {
	set := map[string]Assignment{}
	for _, e := range f.List("Service", "Environment") {
		w, err := words(e.Value, quoting{unescape: true})
		if err != nil {
			continue // ignored with a warning
		}
		for _, w := range w {
			name, value, ok := strings.Cut(f.expand(w), "=")
			if ok && validName(name) {
				set[name] = Assignment{name, value, e.File, e.Line}
			}
		}
	}
	for _, e := range f.List("Service", "EnvironmentFile") {
		pattern, optional := strings.CutPrefix(f.expand(e.Value), "-")
		names := []string{pattern}
		if strings.ContainsAny(pattern, "*?[") {
			names = t.Glob(pattern)
		}
		if len(names) == 0 && !optional {
			return &CommandError{File: e.File, Line: e.Line, Missing: pattern, Err: fs.ErrNotExist,
				Text: fmt.Sprintf("the environment file %q is not there", pattern)}
		}
		for _, n := range names {
			c.Files = append(c.Files, n)
			b, err := t.ReadFile(n)
			switch {
			case err == nil:
			case optional:
				continue
			default:
				ce := &CommandError{File: e.File, Line: e.Line, Err: cause(err), Text: fmt.Sprintf("the environment file %q cannot be read", n)}
				if errors.Is(err, fs.ErrNotExist) {
					ce.Missing, ce.Text = n, fmt.Sprintf("the environment file %q is not there", n)
				}
				return ce
			}
			for _, a := range ParseEnvironment(b, n) {
				set[a.Name] = a
			}
		}
	}
	for _, e := range f.List("Service", "UnsetEnvironment") {
		for _, w := range looseWords(f.expand(e.Value)) {
			name, value, exact := strings.Cut(w, "=")
			if a, ok := set[name]; ok && (!exact || a.Value == value) {
				delete(set, name)
			}
		}
	}
	for _, a := range set {
		c.Environment = append(c.Environment, a)
	}
	sort.Slice(c.Environment, func(i, j int) bool { return c.Environment[i].Name < c.Environment[j].Name })
	return nil
}

// Glob lists the files that a pattern with wildcards in its last component names, sorted; hidden ones are left out, and so is a
// name without wildcards that is not there.
func (t *Tree) Glob(pattern string) []string {
	dir := path.Dir(pattern)
	var out []string
	for _, n := range t.names(dir) {
		if ok, err := path.Match(path.Base(pattern), n); ok && err == nil && !strings.HasPrefix(n, ".") {
			out = append(out, path.Join(dir, n))
		}
	}
	return out
}
