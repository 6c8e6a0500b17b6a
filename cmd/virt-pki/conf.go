package main

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) confCommand() *cli.Command {
	return &cli.Command{
		Name:      "conf",
		Category:  "judge",
		Usage:     "read, judge and edit libvirtd.conf, virtproxyd.conf, libvirt.conf, qemu.conf",
		ArgsUsage: "FILE...",
		Description: `Says whether libvirt reads the file and, if not, at which line it stops and with which words;
then what in the file is ignored, misspelt, dangerous or about to bite. Which program reads
the file is taken from its name, else from its settings, else from --for.

EXAMPLES
   virt-pki conf /etc/libvirt/libvirtd.conf
   virt-pki conf show --effective /etc/libvirt/virtproxyd.conf
   virt-pki conf set tls_allowed_dn_list '["C=GB,O=Example,CN=admin"]' /etc/libvirt/libvirtd.conf
   virt-pki conf set --dry-run listen_tls 1 virtproxyd.conf
   virt-pki conf template virtproxyd --listen --dn 'O=Example,CN=admin'

EXIT STATUS
   0 clean   1 findings at or above --fail-on   2 wrong usage   3 could not complete`,
		Flags: slices.Concat([]cli.Flag{forFlag(), sessionFlag()}, listenFlags(),
			[]cli.Flag{libvirtsFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag()}),
		Subcommands: []*cli.Command{
			p.confShowCommand(), p.confSetCommand(), p.confUnsetCommand(), p.confTemplateCommand(),
		},
		Action: p.conf,
	}
}

func forFlag() cli.Flag {
	return &cli.StringFlag{Name: "for", Usage: "the `PROGRAM` that reads the file: libvirtd, virtproxyd, virtqemud, ..., libvirt, libvirt-admin, qemu"}
}

func sessionFlag() cli.Flag {
	return &cli.BoolFlag{Name: "session", Usage: "the daemon is not run by root"}
}

// A confView is the answer of conf about one file.
type confView struct {
	Schema   int               `json:"schema"`
	File     string            `json:"file"`
	Error    *confRefusal      `json:"error"`
	Settings conf.Values       `json:"settings"`
	Findings []finding.Finding `json:"findings"`
	// For names the program whose file it is taken for.
	For string `json:"for"`
	// Versions are the answers for each of several versions of --libvirt. Error is then the first refusal among them.
	Versions []confVersion `json:"versions,omitempty"`
}

// A confVersion is what one libvirt comes to.
type confVersion struct {
	Libvirt string       `json:"libvirt"`
	Error   *confRefusal `json:"error"`
}

// A confRefusal is where libvirt stops; line 0: at no line of the file.
type confRefusal struct {
	Line    int    `json:"line"`
	Message string `json:"message"`
	// Exit is the status with which a daemon ends.
	Exit int `json:"exit,omitempty"`
}

func (p *program) conf(c *cli.Context) error {
	if !c.Args().Present() {
		return usage("conf needs a configuration file").hint("virt-pki conf /etc/libvirt/libvirtd.conf")
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	versions, err := p.asVersions(c)
	if err != nil {
		return err
	}
	failed := false
	for i, name := range c.Args().Slice() {
		text, err := p.read("the configuration", name)
		if err != nil {
			return err
		}
		kind, err := confKind(c.String("for"), name, text)
		if err != nil {
			return err
		}
		v := judgeConfAs(text, name, kind, confRun(c, versions[0]), versions)
		failed = failed || v.Error != nil || finding.Worst(v.Findings) >= level
		switch {
		case c.Bool("json") && c.NArg() == 1:
			err = p.printJSON(v)
		case c.Bool("json"):
			err = p.printJSONLine(v)
		case !c.Bool("quiet"):
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			p.printConf(v, paint)
		}
		if err != nil {
			return err
		}
	}
	if failed {
		return status(exitFindings)
	}
	return nil
}

// listenFlags are --no-listen and --socket-activated.
func listenFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "no-listen", Usage: "libvirtd is run without --listen"},
		&cli.BoolFlag{Name: "socket-activated", Usage: "systemd passes the sockets, the -tls.socket among them"},
	}
}

// confRun decodes how the daemon is run. If nothing is said it listens: what a file comes to only then is what matters here.
func (p *program) confRun(c *cli.Context) (conf.Run, error) {
	v, err := p.oneVersion(c)
	if err != nil {
		return conf.Run{}, err
	}
	return confRun(c, v), nil
}

func confRun(c *cli.Context, v verify.Version) conf.Run {
	run := conf.Run{Libvirt: conf.Release{Major: v.Major, Minor: v.Minor}, Session: c.Bool("session"), Listen: !c.Bool("no-listen"),
		GroupExists: groupExists}
	if c.Bool("socket-activated") {
		run.Listen, run.SocketActivated, run.TLSSocket = false, true, true
	}
	return run
}

// groupExists looks a group up by name or number, as libvirt does.
func groupExists(name string) bool {
	if _, err := user.LookupGroup(name); err == nil {
		return true
	}
	_, numeric := strings.CutPrefix(name, "+")
	return numeric || name != "" && strings.Trim(name, "0123456789") == ""
}

// confKind settles whose file it is: what the user says, the file's name, or the settings in it.
func confKind(said, name string, text []byte) (conf.Kind, error) {
	if said != "" {
		k, ok := conf.ParseKind(said)
		if !ok {
			return 0, usage("--for %s: no program of libvirt whose configuration is known", said).
				hint("libvirtd, virtproxyd, virtqemud, libvirt, libvirt-admin or qemu")
		}
		return k, nil
	}
	if k := conf.KindOf(filepath.Base(name)); k != conf.Other {
		return k, nil
	}
	// A copy by another name, or standard input: the kind that knows most of its keys; libvirtd of equals.
	best, most := conf.Other, 0
	for _, k := range []conf.Kind{conf.Libvirtd, conf.Virtproxyd, conf.QEMU, conf.Client} {
		n := 0
		for key := range confKeys(text) {
			if _, ok := conf.LookupSetting(k, key); ok {
				n++
			}
		}
		if n > most {
			best, most = k, n
		}
	}
	return best, nil
}

// confKeys gives what look like keys of a file that may be beyond libvirt's grammar.
func confKeys(text []byte) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range bytes.Lines(text) {
			if key, _, ok := bytes.Cut(line, []byte("=")); ok && !yield(string(bytes.TrimSpace(key))) {
				return
			}
		}
	}
}

// judgeConf reads and judges one file.
func judgeConf(text []byte, name string, kind conf.Kind, run conf.Run) confView {
	v := confView{Schema: 1, File: name, Findings: []finding.Finding{}, For: kind.String()}
	f, refusal := conf.Judge(text, name, kind, run)
	if refusal != nil {
		_, line := refusal.Position()
		v.Error = &confRefusal{Line: line, Message: refusal.Error()}
		if kind.Daemon() {
			v.Error.Exit = refusal.ExitStatus()
		}
	}
	o := conf.LintOptions{Kind: kind, Run: run}
	if f == nil {
		_, v.Findings = conf.Check(text, name, o)
		return v
	}
	v.Settings = f.Settings()
	o.ListenUnknown = true
	v.Findings = append(v.Findings, conf.Lint(f, o)...)
	return v
}

// judgeConfAs judges one file as each of the versions.
func judgeConfAs(text []byte, name string, kind conf.Kind, run conf.Run, versions []verify.Version) confView {
	if len(versions) == 1 {
		return judgeConf(text, name, kind, run)
	}
	var view confView
	all := newCollected()
	for i, version := range versions {
		run.Libvirt = conf.Release{Major: version.Major, Minor: version.Minor}
		v := judgeConf(text, name, kind, run)
		all.add(version.String(), v.Findings)
		v.Versions = append(view.Versions, confVersion{version.String(), v.Error})
		if i == 0 || view.Error == nil && v.Error != nil {
			view = v
		}
		view.Versions = v.Versions
	}
	view.Findings = all.findings("libvirt", len(versions))
	return view
}

// printConf prints the verdict on one file.
func (p *program) printConf(v confView, paint painter) {
	p.printFindings(p.stdout, v.Findings, paint)
	if len(v.Versions) > 1 {
		for _, o := range v.Versions {
			verdict := "reads it"
			switch {
			case o.Error != nil && o.Error.Exit != 0:
				verdict = fmt.Sprintf("does not start (exit status %d): %s", o.Error.Exit, o.Error.Message)
			case o.Error != nil:
				verdict = "refuses it: " + o.Error.Message
			}
			fmt.Fprintf(p.stdout, "%s: %s of libvirt %s %s\n", visible(v.File), v.For, o.Libvirt, visible(verdict))
		}
		fmt.Fprintf(p.stdout, "%s: %s; %s\n", visible(v.File), plural(v.Settings.Len(), "setting"), count(v.Findings))
		return
	}
	switch {
	case v.Error != nil && v.Error.Exit != 0:
		fmt.Fprintf(p.stdout, "%s: %s does not start (exit status %d): %s\n", visible(v.File), v.For, v.Error.Exit, visible(v.Error.Message))
	case v.Error != nil:
		fmt.Fprintf(p.stdout, "%s: %s refuses it: %s\n", visible(v.File), v.For, visible(v.Error.Message))
	case v.For == conf.Other.String():
		fmt.Fprintf(p.stdout, "%s: libvirt can read it, %s; %s\n", visible(v.File), plural(v.Settings.Len(), "setting"), count(v.Findings))
	default:
		fmt.Fprintf(p.stdout, "%s: %s reads it, %s; %s\n", visible(v.File), v.For, plural(v.Settings.Len(), "setting"), count(v.Findings))
	}
}

// parseConf reads a file that has to be libvirt's grammar.
func (p *program) parseConf(c *cli.Context, name string) (*conf.File, conf.Kind, conf.Run, error) {
	run, err := p.confRun(c)
	if err != nil {
		return nil, 0, run, err
	}
	text, err := p.read("the configuration", name)
	if err != nil {
		return nil, 0, run, err
	}
	kind, err := confKind(c.String("for"), name, text)
	if err != nil {
		return nil, 0, run, err
	}
	f, err := conf.ParseFor(text, name, run.Libvirt)
	return f, kind, run, err
}

// allowedList reads tls_allowed_dn_list of a daemon's configuration file; listed is false where it is not set.
func (p *program) allowedList(name string) (patterns []string, listed bool, err error) {
	text, err := p.read("the configuration", name)
	if err != nil {
		return nil, false, err
	}
	f, err := conf.Parse(text, name)
	if err != nil {
		return nil, false, err
	}
	return f.Strings("tls_allowed_dn_list")
}

func (p *program) confShowCommand() *cli.Command {
	return &cli.Command{
		Name:      "show",
		Usage:     "the settings of a file, or with --effective what the program would really use",
		ArgsUsage: "FILE",
		Description: `Without --effective the settings that count, in the order of the file: of several with one
key only the first. With --effective every setting that the program reads, where its value
comes from, and whether it counts for nothing in this run.

EXAMPLES
   virt-pki conf show --effective /etc/libvirt/libvirtd.conf

EXIT STATUS
   0 shown   2 wrong usage   3 could not complete`,
		Flags: slices.Concat([]cli.Flag{
			&cli.BoolFlag{Name: "effective", Aliases: []string{"e"}, Usage: "all settings, defaults included"},
		}, listenFlags(), []cli.Flag{forFlag(), sessionFlag(), oneLibvirtFlag(), jsonFlag(), quietFlag()}),
		Action: p.confShow,
	}
}

func (p *program) confShow(c *cli.Context) error {
	if c.NArg() != 1 {
		return usage("conf show takes one file, not %d", c.NArg()).hint("virt-pki conf show --effective /etc/libvirt/libvirtd.conf")
	}
	f, kind, run, err := p.parseConf(c, c.Args().First())
	if err != nil {
		return err
	}
	settings := []conf.EffectiveSetting{}
	if c.Bool("effective") {
		settings = f.Effective(kind, run)
	} else {
		text := f.Marshal()
		for e := range f.Entries() {
			if !e.Shadowed {
				settings = append(settings, conf.EffectiveSetting{Key: e.Key, Value: string(text[e.Value.Start:e.Value.End]),
					Origin: conf.Origin{File: f.Name(), Line: e.Line}})
			}
		}
	}
	if c.Bool("json") {
		return p.printJSON(struct {
			Schema   int                     `json:"schema"`
			File     string                  `json:"file"`
			For      string                  `json:"for"`
			Settings []conf.EffectiveSetting `json:"settings"`
		}{1, f.Name(), kind.String(), settings})
	}
	if c.Bool("quiet") {
		return nil
	}
	for _, s := range settings {
		value := s.Value
		if value == "" {
			value = "(not set)"
		}
		line := fmt.Sprintf("%s = %s", s.Key, visible(strings.Join(strings.Fields(value), " ")))
		note := ""
		if c.Bool("effective") {
			note = s.Origin.String()
			if s.Instead != "" {
				note += ": " + s.Instead
			}
			if s.Unused != "" {
				note += "; " + s.Unused
			}
		}
		if note != "" {
			line = fmt.Sprintf("%-44s # %s", line, note)
		}
		fmt.Fprintln(p.stdout, line)
	}
	return nil
}

// refusalText is libvirt's text for an error of package conf, or the error's own.
func refusalText(err error) string {
	var r conf.Refusal
	if errors.As(err, &r) {
		return r.Error()
	}
	return err.Error()
}
