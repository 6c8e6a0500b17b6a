package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) checkCommand() *cli.Command {
	return &cli.Command{
		Name:      "check",
		Category:  "judge",
		Usage:     "judge credential files: modes, certificates, chain, key, dates",
		ArgsUsage: "[DIR|BUNDLE]",
		Description: `Judges files where they lie, as libvirt would when it starts or connects. DIR is a flat pkipath
directory, or a tree in which /etc/pki or a home's .pki/libvirt is looked for; BUNDLE is what
virt-pki collect made of a host. Without arguments this machine's own files are judged; with
--ca-file and --cert-file just those.

Without --key-file a named certificate is judged as one that others are shown, who trust the CA
file: all of its file counts, and with --rules both RFC 5280 may refuse it, too.

RULES
   libvirt   what libvirt does with the files, version by version
   rfc5280   a path from the certificate to a CA by RFC 5280 alone, revocation lists included
   both      libvirt's verdict counts; where RFC 5280 says otherwise, that is said too

EXAMPLES
   virt-pki check
   virt-pki check ./pki
   virt-pki check --role server --ca-file cacert.pem --cert-file servercert.pem --host kvm1
   virt-pki check --at +90d ./pki              as of in 90 days
   virt-pki check --rules rfc5280 --ca-file cacert.pem --cert-file chain.pem

EXIT STATUS
   0 pass   1 findings at or above --fail-on   2 wrong usage   3 could not complete`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "layout", Usage: "`LAYOUT,...`: judge only these: libvirt, user, pkipath, qemu, libvirt-vnc, ..."},
			&cli.StringFlag{Name: "role", Usage: "`ROLE`: judge only the server's or the client's files; needed with --cert-file"},
			&cli.StringFlag{Name: "ca-file", Usage: "`FILE`: the CA file, instead of a directory"},
			&cli.StringFlag{Name: "cert-file", Usage: "`FILE`: the certificate"},
			&cli.StringFlag{Name: "key-file", Usage: "`FILE`: its private key"},
			&cli.StringFlag{Name: "crl-file", Usage: "`FILE`: the revocation list"},
			&cli.StringSliceFlag{Name: "host", Usage: "`NAME`: a name or an address that clients use for this server"},
			rulesFlag(),
			atFlag(), libvirtFlag(),
			&cli.StringFlag{Name: "qemu", Usage: "`VERSION,...`: the QEMU versions that read QEMU's directories (7.2,10.0,11.1)", DefaultText: "all known ones"},
			failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
		},
		Action: p.check,
	}
}

// A checkView is the answer of check.
type checkView struct {
	Schema   int               `json:"schema"`
	Verdict  string            `json:"verdict"` // pass, fail, incomplete
	Findings []finding.Finding `json:"findings"`
	// Judgements hold what libvirt and RFC 5280 say to each certificate that was looked at.
	Judgements []judgement `json:"judgements"`
	// Checked names what was looked at, Unchecked what could not be, and why.
	Checked   []string `json:"checked"`
	Unchecked []string `json:"unchecked,omitempty"`
}

// checkOptions are the decoded flags.
type checkOptions struct {
	versions []verify.Version
	qemu     []verify.QEMUVersion
	at       time.Time
	level    finding.Severity
	role     certs.Role // 0: both
	hosts    []string
	layouts  []string
	rules    string // libvirt, rfc5280 or both
}

func (p *program) check(c *cli.Context) error {
	o, err := p.checkOptions(c)
	if err != nil {
		return err
	}
	paint, err := p.painter(c.String("color"))
	if err != nil {
		return err
	}
	v := checkView{Schema: 1, Findings: []finding.Finding{}, Judgements: []judgement{}, Checked: []string{}}
	explicit := c.IsSet("ca-file") || c.IsSet("cert-file") || c.IsSet("key-file") || c.IsSet("crl-file")
	switch {
	case explicit && c.Args().Present():
		return usage("check takes either a directory or --ca-file and --cert-file")
	case explicit:
		if err := p.checkFiles(c, o, &v); err != nil {
			return err
		}
	case c.NArg() > 1:
		return usage("check takes one directory, not %d", c.NArg())
	default:
		if err := p.checkLayouts(c.Args().First(), o, &v); err != nil {
			return err
		}
	}
	if err := v.conclude(o.level); err != nil {
		return err
	}
	err = p.show(c, v, func() { p.printCheck(v, paint) })
	switch {
	case err != nil:
		return err
	case v.Verdict == "fail":
		return status(exitFindings)
	case v.Verdict == "incomplete":
		return status(exitIncomplete)
	}
	return nil
}

// conclude leaves consequences out and gives the verdict.
func (v *checkView) conclude(level finding.Severity) error {
	cat, err := catalogue()
	if err != nil {
		return err
	}
	v.Findings = append([]finding.Finding{}, cat.Root(v.Findings)...)
	v.Verdict = "pass"
	if len(v.Unchecked) > 0 {
		v.Verdict = "incomplete"
	}
	if finding.Worst(v.Findings) >= level {
		v.Verdict = "fail"
	}
	return nil
}

func (p *program) checkOptions(c *cli.Context) (o checkOptions, err error) {
	dir := c.Args().First()
	if c.Command.Name == "install" {
		dir = c.String("root")
	}
	if o.versions, err = p.checkVersions(c, dir); err != nil {
		return o, err
	}
	o.qemu = verify.MeasuredQEMU()
	if list := c.String("qemu"); list != "" {
		o.qemu = nil
		for _, text := range strings.Split(list, ",") {
			v, err := verify.ParseQEMUVersion(text)
			if err != nil {
				return o, invalid("--qemu", list, err)
			}
			o.qemu = append(o.qemu, v)
		}
	}
	if o.at, err = p.at(c); err != nil {
		return o, err
	}
	if o.level, err = failOn(c); err != nil {
		return o, err
	}
	switch r := c.String("role"); r {
	case "", "both":
	case "server":
		o.role = certs.Server
	case "client":
		o.role = certs.Client
	default:
		return o, usage("--role %s: server or client", r)
	}
	if o.rules, err = whoseRules(c); err != nil {
		return o, err
	}
	o.hosts = c.StringSlice("host")
	if l := c.String("layout"); l != "" {
		o.layouts = strings.Split(l, ",")
	}
	return o, nil
}

// checkFiles judges explicitly named files as one end's.
func (p *program) checkFiles(c *cli.Context, o checkOptions, v *checkView) error {
	if !c.IsSet("ca-file") || !c.IsSet("cert-file") {
		return usage("--ca-file and --cert-file go together")
	}
	if o.role == 0 && o.rules != "rfc5280" {
		return usage("--cert-file needs --role server or --role client")
	}
	if _, err := os.Stat(c.String("cert-file")); o.role == certs.Client && errors.Is(err, fs.ErrNotExist) {
		// A client without a certificate is no fault, but not what was asked about either.
		v.Checked, v.Unchecked = []string{}, []string{fmt.Sprintf("client %s: no such file or directory", c.String("cert-file"))}
		return nil
	}
	set := fileSet{role: o.role, ca: p.load(c.String("ca-file")), cert: p.load(c.String("cert-file"))}
	if set.keyUnknown = !c.IsSet("key-file"); !set.keyUnknown {
		set.key = p.load(c.String("key-file"))
	}
	if c.IsSet("crl-file") {
		set.crl, set.crlConfigured = p.load(c.String("crl-file")), true
	}
	what := c.String("cert-file")
	if o.role != 0 {
		what = o.role.String() + " " + what
	}
	v.Checked = append(v.Checked, what)
	v.judge(set, o)
	return nil
}

// A fileSet is one end's files.
type fileSet struct {
	role               certs.Role
	ca, crl, cert, key verify.File
	crlConfigured      bool
	keyUnknown         bool // no key was named: nothing is said about it, see presented
	// more are the identities with an index, as far as anything of them is there.
	more []verify.Pair
	// qemu says that QEMU reads them.
	qemu bool
}

// pairs gives the identities that are there for who looks for those with an index, too.
func (s fileSet) pairs() []verify.Pair {
	plain := verify.Pair{Cert: s.cert, Key: s.key}
	if len(s.more) > 0 && s.cert.Missing() && s.key.Missing() {
		return s.more
	}
	return append([]verify.Pair{plain}, s.more...)
}

// load reads a file for a verdict; that it cannot be read is part of the verdict.
func (p *program) load(name string) verify.File {
	data, err := p.readFile(name)
	return verify.File{Path: name, Data: data, Err: err}
}

// judge gives the findings of all versions, each once: what only some versions mind says which.
func (s fileSet) judge(o checkOptions) []finding.Finding {
	c := newCollected()
	if s.qemu {
		for _, version := range o.qemu {
			c.add(version.String(), s.ofQEMU(o, version))
		}
		return c.findings("qemu", len(o.qemu))
	}
	for _, version := range o.versions {
		pairs := []verify.Pair{{Cert: s.cert, Key: s.key}}
		if version.AtLeast(11, 10) {
			pairs = s.pairs()
		}
		var fs []finding.Finding
		for _, p := range pairs {
			files := verify.Files{Role: s.role, CA: s.ca, CRL: s.crl, Cert: p.Cert, Key: p.Key, CRLConfigured: s.crlConfigured,
				KeyUnknown: s.keyUnknown, At: o.at, Libvirt: version}
			fs = append(fs, s.read(files, o)...)
		}
		c.add(version.String(), fs)
	}
	return c.findings("libvirt", len(o.versions))
}

// read gives the findings about one identity, with what is not looked at, its hosts, and what those say who are shown it.
func (s fileSet) read(files verify.Files, o checkOptions) []finding.Finding {
	loaded := files.Read()
	fs := append(append(slices.Clone(loaded.Findings), loaded.Advice()...), s.forHosts(loaded, files.Cert.Path, o)...)
	if s.presented() {
		fs = s.asPresented(fs, s.received(loaded, o, files.Libvirt))
	}
	return fs
}

// forHosts says which of the hosts a server's certificate is not for.
func (s fileSet) forHosts(loaded verify.Loaded, path string, o checkOptions) []finding.Finding {
	var out []finding.Finding
	if s.role == certs.Server && loaded.Own.Cert != nil {
		for _, h := range o.hosts {
			if m := verify.Host(loaded.Own.Cert, h); !m.Match {
				out = append(out, verify.HostMismatch(path, h, m))
			}
		}
	}
	return out
}

// ofQEMU is QEMU's judgement, and what besides is worth knowing of the files, which is the same for libvirt's.
func (s fileSet) ofQEMU(o checkOptions, version verify.QEMUVersion) []finding.Finding {
	q := verify.QEMUFiles{Role: s.role, CA: s.ca, CRL: s.crl, Identities: append([]verify.Pair{{Cert: s.cert, Key: s.key}}, s.more...),
		KeyUnknown: s.keyUnknown, At: o.at, QEMU: version}
	out := q.Check()
	for _, p := range s.pairs() {
		files := verify.Files{Role: s.role, CA: s.ca, CRL: s.crl, Cert: p.Cert, Key: p.Key, KeyUnknown: s.keyUnknown, At: o.at, Libvirt: verify.V12_8}
		loaded := files.Read()
		for _, f := range append(loaded.Advice(), s.forHosts(loaded, p.Cert.Path, o)...) {
			f.LibvirtMessage = ""
			out = append(out, f)
		}
	}
	return out
}

// printCheck prints the findings and one line that sums up.
func (p *program) printCheck(v checkView, paint painter) {
	p.printFindings(p.stdout, v.Findings, paint)
	for _, u := range v.Unchecked {
		fmt.Fprintf(p.stdout, "not checked: %s\n", u)
	}
	for _, c := range v.Checked {
		fmt.Fprintf(p.stdout, "checked: %s\n", c)
	}
	fmt.Fprintf(p.stdout, "%s: %s\n", v.Verdict, count(v.Findings))
}
