package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTheExamplesInTheDocsAreTrue runs the ```console blocks of README.md and docs: each line that begins with "$ " in one
// directory per page, and compares what the program printed with what stands below. "..." in a line stands for any text,
// alone on a line for any lines; "[exit status N]" ends the output of a command that does not end with 0.
func TestTheExamplesInTheDocsAreTrue(t *testing.T) {
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, page := range append(pages, "../../README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		examples := examplesOf(string(text))
		if len(examples) == 0 {
			continue
		}
		ran += len(examples)
		t.Run(filepath.Base(page), func(t *testing.T) {
			shell := exampleShell(t)
			for _, e := range examples {
				got := shell(e.command)
				if !e.want.MatchString(got) {
					t.Errorf("$ %s\n got:\n%s\n want:\n%s", e.command, got, e.text)
				}
			}
		})
	}
	if ran < 3 {
		t.Errorf("only %d examples were found", ran)
	}
}

// An example is a command and the output that a page says it has.
type example struct {
	command, text string
	want          *regexp.Regexp
}

// examplesOf reads the examples of a page.
func examplesOf(page string) []example {
	var out []example
	console := false
	for line := range strings.Lines(page) {
		line = strings.TrimSuffix(line, "\n")
		switch command, isCommand := strings.CutPrefix(line, "$ "); {
		case strings.HasPrefix(line, "```"):
			console = line == "```console"
		case console && isCommand:
			out = append(out, example{command: command})
		case console && len(out) > 0:
			out[len(out)-1].text += line + "\n"
		}
	}
	for i := range out {
		var pattern strings.Builder
		for line := range strings.Lines(out[i].text) {
			if line == "...\n" {
				pattern.WriteString(`(?:.*\n)*?`)
				continue
			}
			parts := strings.Split(line, "...")
			for k := range parts {
				parts[k] = regexp.QuoteMeta(parts[k])
			}
			pattern.WriteString(strings.Join(parts, ".*"))
		}
		out[i].want = regexp.MustCompile("^" + pattern.String() + "$")
	}
	return out
}

// exampleShell gives a function that runs a command in an empty directory, where virt-pki is this program, and returns what
// was on standard output, and the exit status when it is not 0.
func exampleShell(t *testing.T) func(command string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, dir := t.TempDir(), t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "virt-pki")); err != nil {
		t.Fatal(err)
	}
	return func(command string) string {
		cmd := exec.Command("sh", "-c", command)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+dir, passphraseVariable+"=")
		out, err := cmd.Output()
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			return fmt.Sprintf("%s[exit status %d]\n", out, exit.ExitCode())
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
}

func TestExamplesAreReadAsTheyStand(t *testing.T) {
	got := examplesOf("text\n```console\n$ a b\nmade ... things\n...\nend\n$ c\n```\n```sh\n$ not this\n```\n")
	if len(got) != 2 || got[0].command != "a b" || got[1].command != "c" {
		t.Fatalf("got %+v", got)
	}
	for output, want := range map[string]bool{
		"made 3 things\nend\n": true, "made 3 things\nx\ny\nend\n": true, "made 3 things\nend\nmore\n": false, "made things\nend\n": false,
	} {
		if got[0].want.MatchString(output) != want {
			t.Errorf("%q: %v", output, !want)
		}
	}
}
