package main

import (
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

// everyCommand calls f for all commands that are shown, with their words.
func everyCommand(f func(words []string, c *cli.Command)) {
	p := &program{getenv: func(string) string { return "" }, now: time.Now}
	var walk func(words []string, list []*cli.Command)
	walk = func(words []string, list []*cli.Command) {
		for _, c := range list {
			if c.Hidden {
				continue
			}
			w := append(append([]string{}, words...), c.Name)
			f(w, c)
			walk(w, c.Subcommands)
		}
	}
	walk(nil, p.app().Commands)
}

func TestHelpFitsATerminal(t *testing.T) {
	everyCommand(func(words []string, c *cli.Command) {
		help := inProcess(t, "", append(append([]string{"virt-pki"}, words...), "--help")...)
		if help.RC != 0 || help.Err != "" {
			t.Errorf("%q: %+v", words, help)
		}
		for _, line := range strings.Split(help.Out, "\n") {
			if n := utf8.RuneCountInString(line); n > 100 {
				t.Errorf("help of %q has a line of %d columns: %s", words, n, line)
			}
			if strings.TrimRight(line, " ") != line {
				t.Errorf("help of %q has blanks at a line's end: %q", words, line)
			}
		}
		for _, f := range c.Flags {
			if name, text := flagDoc(f); strings.Count(text, "may be repeated") > 1 {
				t.Errorf("help of %q says a thing twice: %s %s", words, name, text)
			}
		}
		if len(c.Subcommands) == 0 && c.Action != nil && !strings.Contains(help.Out, "EXAMPLES") {
			t.Errorf("help of %q has no examples", words)
		}
		if len(c.Subcommands) == 0 && !strings.Contains(help.Out, "EXIT STATUS") {
			t.Errorf("help of %q does not say the exit statuses", words)
		}
	})
}

// TestExamplesInHelpAreCommandLines takes the examples' words: commands and options must exist. That keeps examples from
// outliving what they show.
func TestExamplesInHelpAreCommandLines(t *testing.T) {
	p := &program{getenv: func(string) string { return "" }, now: time.Now}
	app := p.app()
	n := 0
	everyCommand(func(words []string, c *cli.Command) {
		text := strings.ReplaceAll(c.Description, "\\\n", " ")
		for _, line := range strings.Split(text, "\n") {
			line = strings.TrimSpace(line)
			if !strings.HasPrefix(line, "virt-pki ") {
				continue
			}
			if i := strings.Index(line, "   "); i > 0 && !strings.Contains(line[i:], "--") {
				line = line[:i] // a comment
			}
			args := strings.Fields(strings.NewReplacer("'", "", `"`, "").Replace(line))
			list, cmd := app.Commands, (*cli.Command)(nil)
			for _, w := range args[1:] {
				if w == ">" || w == "|" {
					break
				}
				if next := findCommand(list, w); next != nil {
					cmd, list = next, next.Subcommands
					continue
				}
				name, _, _ := strings.Cut(strings.TrimLeft(w, "-"), "=")
				if cmd != nil && strings.HasPrefix(w, "-") && len(w) > 1 && findFlag(cmd, name) == nil && name != "help" {
					t.Errorf("an example of %q: there is no option %s: %s", words, w, line)
				}
			}
			if cmd == nil {
				t.Errorf("an example of %q names no command: %s", words, line)
			}
			n++
		}
	})
	if n < 20 {
		t.Errorf("only %d examples were found", n)
	}
}

// TestManualPages has groff read them.
func TestManualPages(t *testing.T) {
	pages := map[string]string{}
	whole := inProcess(t, "", "virt-pki", "man")
	if whole.RC != 0 || whole.Err != "" {
		t.Fatalf("%+v", whole)
	}
	pages["virt-pki"] = whole.Out
	everyCommand(func(words []string, c *cli.Command) {
		if !strings.Contains(whole.Out, "\n.SS virt\\-pki "+roff(strings.Join(words, " "))) {
			t.Errorf("virt-pki(1) does not speak of %q", words)
		}
		if len(words) == 1 {
			one := inProcess(t, "", "virt-pki", "man", words[0])
			if one.RC != 0 || one.Err != "" {
				t.Errorf("%+v", one)
			}
			pages[words[0]] = one.Out
		}
	})
	if c := inProcess(t, "", "virt-pki", "man", "frobnicate"); c.RC != exitUsage || c.Out != "" || !strings.Contains(c.Err, "there is no command") {
		t.Errorf("%+v", c)
	}
	needProgram(t, "groff")
	for name, page := range pages {
		cmd := exec.Command("groff", "-man", "-ww", "-b", "-T", "utf8", "-z")
		cmd.Stdin = strings.NewReader(page)
		if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}

func TestSuggestions(t *testing.T) {
	commands := []string{"check", "init", "uri", "verify", "query-dn"}
	for word, want := range map[string]string{
		"chek": "check", "cehck": "check", "very": "verify", "querydn": "query-dn", "que": "query-dn", "frobnicate": "", "x": "", "": "",
	} {
		if got := nearest(word, commands); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
