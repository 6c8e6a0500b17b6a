package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) uriCommand() *cli.Command {
	return &cli.Command{
		Name:      "uri",
		Category:  "look",
		Usage:     "what a connection URI means to libvirt",
		ArgsUsage: "URI...",
		Description: `Takes a URI apart as libvirt does: transport, host and port really used, the name sent to
the daemon, credential files, socket, the ssh command line, and what in it has no effect.
Nothing is connected to. Aliases and remote_mode come from this user's libvirt.conf.

EXAMPLES
   virt-pki uri qemu://kvm1.example.com/system
   virt-pki uri 'qemu+ssh://root@kvm1/system?no_tty=1'

EXIT STATUS
   0 understood   1 findings at or above --fail-on, or libvirt refuses the URI
   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "readonly", Aliases: []string{"r"}, Usage: "as virsh -r: a read-only connection"},
			libvirtsFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
		},
		Action: p.uri,
	}
}

// A uriView is the answer about one URI. Of several versions it is the first one's; findings are of all.
type uriView struct {
	uri.Item
	// Versions are the further versions of --libvirt for which the URI means something else.
	Versions []uriVersion `json:"versions,omitempty"`
	same     []verify.Version
}

type uriVersion struct {
	Libvirt string `json:"libvirt"`
	uri.Item
}

func (p *program) uri(c *cli.Context) error {
	if !c.Args().Present() {
		return usage("uri needs a URI").hint("virt-pki uri qemu://kvm1.example.com/system")
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	versions, err := p.asVersions(c)
	if err != nil {
		return err
	}
	options, err := p.uriOptions(c, versions[0])
	if err != nil {
		return err
	}
	var views []uriView
	failed := false
	for _, text := range c.Args().Slice() {
		v := p.uriView(c, text, options, versions)
		failed = failed || v.Error != nil || finding.Worst(v.Findings) >= level
		for _, o := range v.Versions {
			failed = failed || o.Error != nil
		}
		views = append(views, v)
	}
	err = p.show(c, struct {
		Schema int       `json:"schema"`
		Items  []uriView `json:"items"`
	}{1, views}, func() {
		for i, v := range views {
			if i > 0 {
				fmt.Fprintln(p.stdout)
			}
			p.printURI(v.Item, paint)
			for _, same := range v.same {
				fmt.Fprintf(p.stdout, "with libvirt %s: the same\n", same)
			}
			for _, o := range v.Versions {
				o.Findings = nil // they are among the others
				fmt.Fprintf(p.stdout, "with libvirt %s:\n", o.Libvirt)
				p.printURI(o.Item, paint)
			}
		}
	})
	if err == nil && failed {
		return status(exitFindings)
	}
	return err
}

// uriView says what a URI means to each of the versions. The options are those of the first.
func (p *program) uriView(c *cli.Context, text string, o uri.Options, versions []verify.Version) uriView {
	var v uriView
	all := newCollected()
	for i, version := range versions {
		o.Libvirt = uri.Version{Major: version.Major, Minor: version.Minor}
		item := uri.NewItem(text, o, exists)
		item.Findings = append(item.Findings, p.refusedPriorities(c, item, o.Libvirt)...)
		all.add(version.String(), item.Findings)
		if i == 0 {
			v.Item = item
			continue
		}
		first := v.Item
		first.Findings = item.Findings
		if reflect.DeepEqual(first, item) {
			v.same = append(v.same, version)
		} else {
			v.Versions = append(v.Versions, uriVersion{version.String(), item})
		}
	}
	if len(versions) > 1 {
		v.Findings = all.findings("libvirt", len(versions))
	}
	return v
}

// refusedPriorities says which tls_priority of a URI the GnuTLS of that libvirt refuses: else it comes out only when the URI is
// used.
func (p *program) refusedPriorities(c *cli.Context, v uri.Item, libvirt uri.Version) []finding.Finding {
	var out []finding.Finding
	for _, param := range v.Params {
		if param.Name != "tls_priority" || v.Transport != uri.TLS {
			continue
		}
		o, err := p.priorityOptions(c)
		if err != nil {
			return out // the machine's file for @KEYWORDs cannot be read: nothing can be said
		}
		o.GnuTLS = handshake.GnuTLSOf(verify.Version{Major: libvirt.Major, Minor: libvirt.Minor})
		for _, f := range priority.Judge(v.URI, param.Value, o) {
			if f.Severity == finding.Error {
				out = append(out, f)
			}
		}
	}
	return out
}

// uriOptions describes the caller: this user, this environment, this user's libvirt.conf.
func (p *program) uriOptions(c *cli.Context, v verify.Version) (o uri.Options, err error) {
	o = p.callerOptions(c, v)
	if o.Settings, err = probe.Settings(o, nil); err != nil {
		return o, fmt.Errorf("reading libvirt.conf: %w", err)
	}
	return o, nil
}

// callerOptions describes the caller, with a libvirt of that version, without libvirt.conf.
func (p *program) callerOptions(c *cli.Context, v verify.Version) uri.Options {
	return uri.Options{
		Libvirt: uri.Version{Major: v.Major, Minor: v.Minor},
		Root:    os.Geteuid() == 0, Home: p.home(), ConfigHome: p.getenv("XDG_CONFIG_HOME"),
		RuntimeDir: p.getenv("XDG_RUNTIME_DIR"), Default: p.getenv("LIBVIRT_DEFAULT_URI"), ReadOnly: c.Bool("readonly"),
	}
}

// home is the user's home directory as GLib finds it: HOME, else the passwd entry's.
func (p *program) home() string {
	if h := p.getenv("HOME"); h != "" {
		return h
	}
	h, err := os.UserHomeDir()
	if err != nil {
		return "/"
	}
	return h
}

// exists is access(F_OK).
func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// printURI prints one URI's meaning.
func (p *program) printURI(v uri.Item, paint painter) {
	w := p.stdout
	title := visible(v.URI)
	if title == "" {
		title = "no URI: the default"
	}
	fmt.Fprintln(w, title)
	if v.Error != nil {
		fmt.Fprintf(w, "  libvirt refuses it: %s\n", visible(*v.Error))
		p.printFindings(w, v.Findings, paint)
		return
	}
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-10s %s\n", label, visible(value))
		}
	}
	deref := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	line("alias of", deref(v.AliasOf))
	line("driver", v.Driver)
	line("transport", transportText(v.Transport))
	line("user", deref(v.User))
	line("host", deref(v.Host))
	if v.Port != nil {
		line("port", fmt.Sprint(*v.Port))
	}
	if v.Transport != uri.Client {
		name := v.RemoteName
		if name == "" {
			name = "(empty: the daemon chooses)"
		}
		line("asks for", name)
	}
	line("CA", deref(v.Files.CA))
	line("CRL", deref(v.Files.CRL))
	line("cert", deref(v.Files.Cert))
	line("key", deref(v.Files.Key))
	line("socket", deref(v.Socket))
	if v.Argv != nil {
		quoted := make([]string, len(v.Argv))
		for i, a := range v.Argv {
			quoted[i] = shellQuote(a)
		}
		line("runs", strings.Join(quoted, " "))
	}
	p.printFindings(w, v.Findings, paint)
}

func transportText(t uri.Transport) string {
	switch t {
	case uri.TLS:
		return "tls (encrypted, certificates on both ends)"
	case uri.TCP:
		return "tcp (not encrypted)"
	case uri.Unix:
		return "unix (a local socket)"
	case uri.Client:
		return "none: the driver runs inside the client"
	case uri.Ext:
		return "ext (a command's standard input and output)"
	}
	return string(t) + " (through an SSH login)"
}
