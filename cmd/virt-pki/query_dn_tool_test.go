package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A called is what came of a command line.
type called struct {
	Args []string `json:"args"`
	RC   int      `json:"rc"`
	Out  string   `json:"out"`
	Err  string   `json:"err"`
}

// recordedCalls reads testdata/query-dn/args.jsonl.
func recordedCalls(t *testing.T) []called {
	t.Helper()
	text, err := os.ReadFile("testdata/query-dn/args.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	var all []called
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		var c called
		if err := json.Unmarshal([]byte(line), &c); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		all = append(all, c)
	}
	if len(all) < 40 {
		t.Fatalf("only %d recorded calls", len(all))
	}
	return all
}

// queryDNDir makes the directory that the calls were recorded in, and enters it.
func queryDNDir(t *testing.T) {
	t.Helper()
	text, err := os.ReadFile("testdata/query-dn/cert.pem")
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{"cert.pem", "-x.pem", "a b.pem", "två.pem"} {
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile("empty.pem", nil, 0o600), os.Mkdir("dir", 0o700), os.Symlink("nowhere", "dangling.pem")); err != nil {
		t.Fatal(err)
	}
}

// normal replaces the usage text, which is our own, and the name in the certificates.
func (c called) normal() called {
	cut := func(s string) string {
		if i := strings.Index(s, "Usage:"); i >= 0 {
			s = s[:i] + "<usage>"
		}
		return strings.ReplaceAll(s, "CN=admin", "<dn>")
	}
	c.Out, c.Err = cut(c.Out), cut(c.Err)
	return c
}

// inProcess runs the program with these arguments, args[0] its name.
func inProcess(t *testing.T, stdin string, args ...string) called {
	t.Helper()
	var out, errs bytes.Buffer
	p := &program{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }, now: time.Now}
	rc := p.run(t.Context(), args)
	return called{args[1:], rc, out.String(), errs.String()}
}

func (c called) same(d called) bool { return c.RC == d.RC && c.Out == d.Out && c.Err == d.Err }

func TestQueryDNIsADropIn(t *testing.T) {
	calls := recordedCalls(t)
	queryDNDir(t)
	for _, want := range calls {
		if got := inProcess(t, "", append([]string{queryDNTool}, want.Args...)...).normal(); !got.same(want) {
			t.Errorf("%q: %+v, recorded was %+v", want.Args, got, want)
		}
	}
}

// TestQueryDNAsTheRealTool asks the installed tool about the same command lines, and about every word of theirs beside
// some others.
func TestQueryDNAsTheRealTool(t *testing.T) {
	needProgram(t, queryDNTool)
	calls := recordedCalls(t)
	queryDNDir(t)
	var lines [][]string
	seen := map[string]bool{}
	var words []string
	for _, c := range calls {
		lines = append(lines, c.Args)
		for _, a := range c.Args {
			if !seen[a] && len(a) < 100 {
				seen[a] = true
				words = append(words, a)
			}
		}
	}
	for _, a := range words {
		for _, b := range []string{"cert.pem", "-h", "--", "-x"} {
			lines = append(lines, []string{a, b}, []string{b, a})
		}
	}
	for _, args := range lines {
		cmd := exec.Command(queryDNTool, args...)
		cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		err := cmd.Run()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		want := called{args, cmd.ProcessState.ExitCode(), out.String(), errs.String()}.normal()
		if got := inProcess(t, "", append([]string{queryDNTool}, args...)...).normal(); !got.same(want) {
			t.Errorf("%q: %+v, the real tool: %+v", args, got, want)
		}
	}
}
