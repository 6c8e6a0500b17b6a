package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	for _, test := range []struct {
		name, words string // the last word is that under the cursor
		kind        string
		want        []string
	}{
		{"the commands", "", completeWords, []string{"check", "init", "query-dn"}},
		{"a command begun", "que", completeWords, []string{"query-dn"}},
		{"options of the program", "--v", completeWords, []string{"--version"}},
		{"options of a command", "check --fa", completeWords, []string{"--fail-on"}},
		{"options behind an argument", "check pki --js", completeWords, []string{"--json"}},
		{"the commands below a command", "issue ", completeWords, []string{"server", "client", "peer"}},
		{"options of a command below", "issue client --cs", completeWords, []string{"--csr"}},
		{"hidden options are not offered", "issue client --strict", completeWords, nil},
		{"known values", "check --fail-on w", completeWords, []string{"warning"}},
		{"known values behind =", "check --fail-on=w", completeWords, []string{"--fail-on=warning"}},
		{"known values of a list", "init --layout libvirt,us", completeWords, []string{"libvirt,user"}},
		{"key types", "init --key-type rsa", completeWords, []string{"rsa2048", "rsa3072", "rsa4096"}},
		{"files", "match-dn --conf ", completeFiles, nil},
		{"directories", "init --pkipath ", completeDirs, nil},
		{"a certificate", "query-dn ", completeFiles, nil},
		{"a directory to check", "check ", completeDirs, nil},
		{"the certificate and then hosts", "match-host cert.pem ", completeWords, nil},
		{"rules", "explain ca-exp", completeWords, []string{"ca-expired"}},
		{"behind -- no options", "query-dn -- --al", completeFiles, nil},
		{"no command of that name", "frobnicate ", completeWords, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := inProcess(t, "", append([]string{"virt-pki", completionWord}, strings.Split(test.words, " ")...)...)
			lines := strings.Split(strings.TrimSuffix(got.Out, "\n"), "\n")
			if got.RC != 0 || got.Err != "" || lines[0] != test.kind {
				t.Fatalf("%+v, want %s", got, test.kind)
			}
			for _, w := range test.want {
				if !slices.Contains(lines[1:], w) {
					t.Errorf("%q is not offered, but %q", w, lines[1:])
				}
			}
			if test.want == nil && len(lines) > 1 {
				t.Errorf("offered: %q", lines[1:])
			}
		})
	}
}

// TestCompletingRunsNoCommand asks in the two ways there are, "--" before the cursor included: urfave/cli would run the
// command then.
func TestCompletingRunsNoCommand(t *testing.T) {
	t.Chdir(t.TempDir())
	words := []string{"init", "--pkipath", "made", "--server", "localhost", "--client", "admin"}
	for _, args := range [][]string{
		append([]string{completionWord}, words...),
		append([]string{completionWord}, append(words, "--", "")...),
		append(slices.Clone(words), completionFlag),
		append(slices.Clone(words), "--", completionFlag),
		append(slices.Clone(words), "-", completionFlag),
	} {
		c := inProcess(t, "", append([]string{"virt-pki"}, args...)...)
		if c.RC != 0 || strings.Contains(c.Out, "made") {
			t.Errorf("%q: %+v", args, c)
		}
		if _, err := os.Stat("made"); err == nil {
			t.Fatalf("%q ran the command", args)
		}
	}
}

// TestCompletionInBash loads the script into a real bash and asks what TAB would offer.
func TestCompletionInBash(t *testing.T) {
	needProgram(t, "bash")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(self, filepath.Join(dir, "virt-pki")); err != nil { // see TestMain
		t.Fatal(err)
	}
	t.Chdir(dir)
	for _, name := range []string{"a cert.pem", "other.pem"} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("pki dir", 0o700); err != nil {
		t.Fatal(err)
	}
	const ask = `
source <(virt-pki completion bash) || exit 1
complete -p virt-pki >/dev/null || exit 1
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_virt_pki
printf '%s\n' "${COMPREPLY[@]}"
`
	for _, test := range []struct {
		name  string
		words []string
		want  []string
		none  bool // nothing else is offered
	}{
		{"a command", []string{"virt-pki", "que"}, []string{"query-dn"}, true},
		{"an option", []string{"virt-pki", "check", "pki", "--js"}, []string{"--json"}, true},
		{"a value behind =, which bash makes a word of", []string{"virt-pki", "check", "--fail-on", "=", "w"}, []string{"warning"}, true},
		{"a value behind = not begun", []string{"virt-pki", "check", "--fail-on", "="}, []string{"note", "warning", "error"}, true},
		{"files, with blanks in their names", []string{"virt-pki", "query-dn", "a"}, []string{"a cert.pem"}, true},
		{"directories", []string{"virt-pki", "check", ""}, []string{"pki dir"}, true},
		{"behind --", []string{"virt-pki", "init", "--pkipath", "made", "--server", "localhost", "--", ""}, nil, true},
		{"a word that would do harm in eval", []string{"virt-pki", "query-dn", "$(touch made)"}, nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("bash", append([]string{"--norc", "-c", ask, "bash"}, test.words...)...)
			cmd.Env = append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			got := strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
			for _, w := range test.want {
				if !slices.Contains(got, w) {
					t.Errorf("%q is not offered, but %q", w, got)
				}
			}
			if test.none && len(got) != len(test.want) {
				t.Errorf("offered: %q", got)
			}
			if _, err := os.Stat("made"); err == nil {
				t.Fatal("a command was run")
			}
		})
	}
}

// TestCompletionScripts has the shells read the scripts, where they are installed.
func TestCompletionScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		t.Run(shell, func(t *testing.T) {
			c := inProcess(t, "", "virt-pki", "completion", shell)
			if c.RC != 0 || c.Err != "" || !strings.Contains(c.Out, completionWord) {
				t.Fatalf("%+v", c)
			}
			needProgram(t, shell)
			cmd := exec.Command(shell, "-n")
			cmd.Stdin = strings.NewReader(c.Out)
			if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	if c := inProcess(t, "", "virt-pki", "completion", "csh"); c.RC != exitUsage || c.Out != "" || !strings.Contains(c.Err, "bash, zsh and fish") {
		t.Errorf("%+v", c)
	}
	if c := inProcess(t, "", "virt-pki", "completion"); c.RC != exitUsage || c.Out != "" {
		t.Errorf("%+v", c)
	}
}
