package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// completionWord is the hidden first word with which the shells' scripts ask for completions: the words of the command
// line follow, the last one being that under the cursor. Such a call never comes to run a command. The flag of
// urfave/cli's own scripts does, when "--" stands before it (a TAB would then issue a certificate); it is answered
// here too, and never handed on.
const (
	completionWord = "__complete"
	completionFlag = "--generate-bash-completion"
)

// completionRequest recognises a call that asks for completions.
func completionRequest(args []string) (words []string, ok bool) {
	n := len(args) - 1
	switch {
	case n >= 1 && args[1] == completionWord:
		return args[2:], true
	case n >= 1 && args[n] == completionFlag:
		words = args[1:n]
		if n == 1 || !strings.HasPrefix(args[n-1], "-") {
			words = append(slices.Clone(words), "") // those scripts leave the word under the cursor out
		}
		return words, true
	}
	return nil, false
}

// What the shell is to complete itself; the first line of an answer.
const (
	completeWords = ":words"
	completeFiles = ":files"
	completeDirs  = ":dirs"
)

// complete prints the kind of the completion and the candidates, one a line.
func (p *program) complete(app *cli.App, words []string) {
	kind, list := completions(app, words)
	fmt.Fprintln(p.stdout, kind)
	for _, c := range list {
		fmt.Fprintln(p.stdout, c)
	}
}

// completions finds what may stand for the last of words.
func completions(app *cli.App, words []string) (kind string, list []string) {
	if len(words) == 0 {
		words = []string{""}
	}
	before, current := words[:len(words)-1], words[len(words)-1]
	var cmd *cli.Command
	commands := app.Commands
	flags := []cli.Flag{cli.HelpFlag, cli.VersionFlag}
	arguments := 0
	var open cli.Flag // the option whose value comes next
	for _, w := range before {
		switch {
		case open != nil:
			open = nil
		case w == "--":
			return argument(cmd, arguments)
		case len(w) > 1 && w[0] == '-':
			name := strings.TrimLeft(w, "-")
			if cmd != nil && !strings.Contains(name, "=") && takesValue(cmd, name) {
				open = findFlag(cmd, name)
			}
		default:
			if next := findCommand(commands, w); next != nil {
				cmd, commands = next, next.Subcommands
				flags = append([]cli.Flag{cli.HelpFlag}, cmd.Flags...)
				continue
			}
			arguments++
		}
	}
	switch {
	case open != nil:
		return value(open, current, "")
	case strings.HasPrefix(current, "--") && strings.Contains(current, "="):
		name, given, _ := strings.Cut(current, "=")
		if cmd == nil {
			return completeWords, nil
		}
		if f := findFlag(cmd, strings.TrimLeft(name, "-")); f != nil {
			return value(f, given, name+"=")
		}
		return completeWords, nil
	case strings.HasPrefix(current, "-"):
		var names []string
		for _, f := range flags {
			if v, ok := f.(cli.VisibleFlag); ok && !v.IsVisible() {
				continue
			}
			for _, n := range f.Names() {
				if len(n) > 1 {
					names = append(names, dashes(n))
				}
			}
		}
		return completeWords, beginning(names, current)
	case len(commands) > 0 && arguments == 0:
		return completeWords, beginning(commandNames(commands), current)
	}
	return argument(cmd, arguments)
}

// value completes an option's value; prefix stands before it in the same word.
func value(f cli.Flag, given, prefix string) (string, []string) {
	name := f.Names()[0]
	switch {
	case strings.HasSuffix(name, "file") && name != "file", name == "file", name == "conf", name == "csr", name == "ca-cert",
		name == "ca-key", name == "dn":
		return completeFiles, nil
	case slices.Contains([]string{"pkipath", "out", "authority", "home"}, name):
		return completeDirs, nil
	}
	var known []string
	switch name {
	case "key-type", "ca-key-type":
		for _, a := range certs.KeyAlgorithms() {
			known = append(known, string(a))
		}
	case "layout":
		for _, k := range layout.Kinds() {
			known = append(known, string(k))
		}
	case "role":
		known = []string{certs.Server.String(), certs.Client.String()}
	case "fail-on":
		known = []string{finding.Note.String(), finding.Warning.String(), finding.Error.String()}
	case "color":
		known = []string{"auto", "never", "always"}
	case "libvirt":
		for _, v := range verify.Measured() {
			known = append(known, v.String())
		}
		known = append(known, autoVersion)
	}
	if i := strings.LastIndexByte(given, ','); i >= 0 && (name == "layout" || name == "libvirt") {
		prefix, given = prefix+given[:i+1], given[i+1:]
	}
	list := beginning(known, given)
	for i := range list {
		list[i] = prefix + list[i]
	}
	return completeWords, list
}

// argument completes a command's argument number n, counted from 0.
func argument(cmd *cli.Command, n int) (string, []string) {
	if cmd == nil {
		return completeWords, nil
	}
	switch cmd.Name {
	case "query-dn":
		return completeFiles, nil
	case "match-host":
		if n == 0 {
			return completeFiles, nil
		}
	case "check":
		return completeDirs, nil
	case "explain":
		cat, err := catalogue()
		if err != nil || n > 0 {
			return completeWords, nil
		}
		var ids []string
		for _, r := range cat.Rules() {
			ids = append(ids, r.ID)
		}
		return completeWords, ids
	case "completion":
		return completeWords, []string{"bash", "zsh", "fish"}
	}
	return completeWords, nil
}

func beginning(list []string, with string) []string {
	var out []string
	for _, s := range list {
		if strings.HasPrefix(s, with) {
			out = append(out, s)
		}
	}
	return out
}

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Category:  "help",
		Usage:     "the completion script for a shell",
		ArgsUsage: "bash|zsh|fish",
		Description: `Prints a script that completes commands, options and their values. Completing never runs a command.

EXAMPLES
   source <(virt-pki completion bash)
   virt-pki completion bash > /etc/bash_completion.d/virt-pki
   virt-pki completion zsh  > "${fpath[1]}/_virt-pki"
   virt-pki completion fish > ~/.config/fish/completions/virt-pki.fish

EXIT STATUS
   0 printed   2 wrong usage`,
		Action: func(c *cli.Context) error {
			if c.NArg() == 1 {
				if script, ok := completionScripts[c.Args().First()]; ok {
					_, err := fmt.Fprint(p.stdout, script)
					return err
				}
			}
			e := usage("completion needs the shell's name: bash, zsh or fish")
			if c.NArg() == 1 {
				e = usage("completion %s: there is a script for bash, zsh and fish", c.Args().First())
			}
			return e.hint("source <(virt-pki completion bash)")
		},
	}
}

// completionScripts hand the words up to the cursor to virt-pki and offer what it says. The words go on as they are,
// never through eval.
var completionScripts = map[string]string{
	"bash": `# bash completion for virt-pki: source <(virt-pki completion bash)
_virt_pki() {
    local program=${COMP_WORDS[0]/#\~\//$HOME/} word kind i
    local -a words=() answer=()
    COMPREPLY=()
    # Bash splits at "=" and ":"; put those words together again, as virt-pki will see them.
    for ((i = 1; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        if ((${#words[@]})) && [[ $word == [=:]* || ${words[-1]} == *[=:] ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    local current=${words[-1]}
    mapfile -t answer < <("$program" ` + completionWord + ` "${words[@]}" 2>/dev/null)
    kind=${answer[0]}
    # What bash replaces is the part behind the last "=" or ":".
    local kept=
    [[ $current == *[=:]* ]] && kept=${current%"${current##*[=:]}"}
    case $kind in
        :files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "${current#"$kept"}") ;;
        :dirs)  compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "${current#"$kept"}") ;;
        :words)
            for word in "${answer[@]:1}"; do
                [[ $word == "$current"* ]] && COMPREPLY+=("${word#"$kept"}")
            done ;;
    esac
}
complete -F _virt_pki virt-pki
`,
	"zsh": `#compdef virt-pki
# zsh completion for virt-pki
_virt_pki() {
    local -a answer
    answer=("${(@f)$("${(Q)words[1]/#\~\//$HOME/}" ` + completionWord + ` "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    local kind=$answer[1]
    shift answer
    # --option=: what follows it is completed
    [[ $PREFIX == --*=* && $kind != :words ]] && compset -P '*='
    case $kind in
        :files) _files ;;
        :dirs)  _files -/ ;;
        :words) (( $#answer )) && compadd -- "${answer[@]}" ;;
    esac
}
if [[ $funcstack[1] == _virt-pki ]]; then _virt_pki "$@"; else compdef _virt_pki virt-pki; fi
`,
	"fish": `# fish completion for virt-pki
function __virt_pki_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l answer ($words[1] ` + completionWord + ` $words[2..-1] 2>/dev/null)
    switch $answer[1]
        case :files
            __fish_complete_path (commandline -ct)
        case :dirs
            __fish_complete_directories (commandline -ct) ''
        case :words
            string join \n -- $answer[2..-1]
    end
end
complete -c virt-pki -f -a '(__virt_pki_complete)'
`,
}
