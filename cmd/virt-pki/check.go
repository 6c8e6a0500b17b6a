package main

import (
	"fmt"
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
		ArgsUsage: "[DIR]",
		Description: `Judges files where they lie, as libvirt would when it starts or connects. DIR is a flat pkipath
directory, or a tree in which /etc/pki or a home's .pki/libvirt is looked for. Without
arguments this machine's own files are judged; with --ca-file and --cert-file just those.

EXAMPLES
   virt-pki check
   virt-pki check ./pki
   virt-pki check --role server --ca-file cacert.pem --cert-file servercert.pem --host kvm1
   virt-pki check --at +90d ./pki              as of in 90 days
   virt-pki check --rules rfc5280 --ca-file cacert.pem --cert-file chain.pem

RULES
   libvirt   what libvirt does with the files, version by version
   rfc5280   a path from the certificate to a CA by RFC 5280 alone, revocation lists included
   both      libvirt's verdict counts; where RFC 5280 says otherwise, that is said too

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
			&cli.StringFlag{Name: "rules", Value: "both", Usage: "`RULES`: whose verdict is wanted: libvirt, rfc5280 or both"},
			atFlag(), libvirtFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
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
	cat, err := catalogue()
	if err != nil {
		return err
	}
	v.Findings = append([]finding.Finding{}, cat.Root(v.Findings)...)
	v.Verdict = "pass"
	if len(v.Unchecked) > 0 {
		v.Verdict = "incomplete"
	}
	if finding.Worst(v.Findings) >= o.level {
		v.Verdict = "fail"
	}
	switch {
	case c.Bool("json"):
		err = p.printJSON(v)
	case !c.Bool("quiet"):
		p.printCheck(v, paint)
	}
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

func (p *program) checkOptions(c *cli.Context) (o checkOptions, err error) {
	if o.versions, err = versions(c); err != nil {
		return o, err
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
	switch o.rules = c.String("rules"); o.rules {
	case "libvirt", "rfc5280", "both":
	default:
		return o, usage("--rules %s: libvirt, rfc5280 or both", o.rules)
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
	keyUnknown         bool // no key was named: nothing is said about it
	// qemu says that QEMU reads them. Its checks are libvirt's of 11.6 and later, in other words.
	qemu bool
}

// load reads a file for a verdict; that it cannot be read is part of the verdict.
func (p *program) load(name string) verify.File {
	data, err := p.readFile(name)
	return verify.File{Path: name, Data: data, Err: err}
}

// judge gives the findings of all versions, each once: what only some versions mind says which.
func (s fileSet) judge(o checkOptions) []finding.Finding {
	var out []finding.Finding
	minded := map[string][]string{} // finding -> versions
	versions := o.versions
	if s.qemu {
		versions = []verify.Version{verify.V12_8}
	}
	for _, version := range versions {
		files := verify.Files{Role: s.role, CA: s.ca, CRL: s.crl, Cert: s.cert, Key: s.key, CRLConfigured: s.crlConfigured,
			KeyUnknown: s.keyUnknown, At: o.at, Libvirt: version}
		loaded := files.Read()
		findings := append(slices.Clone(loaded.Findings), loaded.Advice()...)
		if s.role == certs.Server && loaded.Own.Cert != nil {
			for _, h := range o.hosts {
				if m := verify.Host(loaded.Own.Cert, h); !m.Match {
					findings = append(findings, verify.HostMismatch(s.cert.Path, h, m))
				}
			}
		}
		for _, f := range findings {
			if s.qemu {
				f.LibvirtMessage = ""
			}
			k := f.Rule + "\x00" + f.Subject + "\x00" + f.Message
			if minded[k] == nil {
				out = append(out, f)
			}
			minded[k] = append(minded[k], version.String())
		}
	}
	if len(versions) > 1 {
		for i, f := range out {
			if got := minded[f.Rule+"\x00"+f.Subject+"\x00"+f.Message]; len(got) < len(versions) {
				out[i].Evidence = mapWith(f.Evidence, "libvirt", strings.Join(got, ", "))
			}
		}
	}
	return out
}

func mapWith(m map[string]string, key, value string) map[string]string {
	out := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			out[k] = v
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
