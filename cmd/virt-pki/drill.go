package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/reload"
	"github.com/virt-pki/virt-pki/pkg/revocation"
)

func (p *program) drillCommand() *cli.Command {
	return &cli.Command{
		Name: "revocation-drill", Category: "live", Usage: "prove that a daemon refuses who is revoked",
		Description: `Issues two client certificates, connects to the daemon with both, revokes one, publishes the
revocation list in the directories named, has the daemon reloaded, and connects again: the revoked
one must be refused and the other let in. libvirt lets everybody in when it has no list, an old one
or one in another place, and says nothing; so only this proves that a revocation would work.

The reload is done as by "virt-pki reload --run", decided from the configuration, or by the command
of --reload-command. The certificates' keys are never written, their name is --subject: one that
tls_allowed_dn_list lets in. In the end both are revoked and no file is left.

EXAMPLES
   virt-pki revocation-drill --authority ./cluster/authority --root / --yes
   virt-pki revocation-drill --out ./cluster --connect kvm1:16514 --reload-command "./deploy kvm1"

EXIT STATUS
   0 the revoked certificate is refused, the good one let in   1 it is let in, or both are refused
   2 wrong usage   3 nothing could be proven`,
		Flags: append(placedFlags(), append(append([]cli.Flag{
			&cli.StringFlag{Name: "subject", Value: "CN=revocation-drill", Usage: "`DN`: of the two certificates"},
			&cli.StringFlag{Name: "host", Usage: "`NAME`: by which a client calls the daemon", DefaultText: "that of --connect"},
			&cli.StringFlag{Name: "reload-command", Usage: "`COMMAND`: brings the list to the daemon and reloads it; run by sh"},
			jsonFlag(), quietFlag(),
		}, drillReloadFlags()...), keyFlags()...)...),
		Action: p.withSpec(p.drill),
	}
}

// drillReloadFlags are those of reload but for --run, which a drill does always.
func drillReloadFlags() []cli.Flag {
	var flags []cli.Flag
	for _, f := range reloadFlags() {
		switch f.Names()[0] {
		case "run":
			continue
		case "yes":
			f = &cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before the certificates are issued and the daemon is reloaded"}
		}
		flags = append(flags, f)
	}
	return flags
}

// A drillView is the answer of revocation-drill.
type drillView struct {
	Schema    int    `json:"schema"`
	Verdict   string `json:"verdict"`
	Authority string `json:"authority"`
	Address   string `json:"address"`
	// Probe is the certificate that was revoked for the proof, Control the one that was not.
	Probe   drilledView `json:"probe"`
	Control drilledView `json:"control"`
	// Number is that of the list that was published.
	Number *string     `json:"crl_number"`
	Places []placeView `json:"places"`
	// Message is what libvirt's client would have said.
	Message *string `json:"libvirt_message"`
	// Proven and NotProven say in words what is known now.
	Proven    []string `json:"proven"`
	NotProven []string `json:"not_proven"`
	Hints     []string `json:"hints"`
}

type drilledView struct {
	Serial string  `json:"serial"`
	Before *string `json:"before"`
	After  *string `json:"after"`
}

func (p *program) drill(c *cli.Context) error {
	if c.Args().Present() {
		return usage("revocation-drill takes no argument %s", quote(c.Args().First())).hint("the daemon is named by --connect HOST:PORT or --conf FILE")
	}
	if len(values(c, "out"))+len(values(c, "pkipath"))+len(values(c, "root")) == 0 {
		return usage("where is the revocation list to be published? --out, --pkipath or --root").hint("on the daemon's machine: virt-pki revocation-drill --root / --authority DIR")
	}
	subject, err := dn.Parse(c.String("subject"))
	if err != nil {
		return invalid("--subject", c.String("subject"), err)
	}
	spots, err := p.spots(c)
	if err != nil {
		return err
	}
	own := c.String("reload-command")
	var plan reload.Plan
	var daemon *conf.Daemon
	var address string
	if own == "" || c.String("connect") == "" {
		if plan, daemon, _, address, err = p.daemonOf(c); err != nil {
			return err
		}
	} else if address = c.String("connect"); !strings.Contains(address, ":") {
		address = net.JoinHostPort(address, "16514")
	}
	host := c.String("host")
	if host == "" {
		if host, _, err = net.SplitHostPort(address); err != nil {
			return invalid("--connect", address, err)
		}
	}
	if err := p.agree(c, "publish a revocation list and reload the daemon at "+address+"?",
		usage("nobody can be asked here whether the daemon at %s may be reloaded", address).hint("without a question: --yes")); err != nil {
		return err
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	if _, err := p.unlock(c, a); err != nil {
		return err
	}
	restarted := false
	d := revocation.Drill{Spots: spots, Subject: subject, Host: host, Now: p.now, Wait: p.waitUntil,
		Dial: func(ctx context.Context) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, c.Duration("timeout"))
			defer cancel()
			conn, err := p.dialUntil(ctx, address, restarted)
			if err == nil {
				err = conn.SetDeadline(p.now().Add(c.Duration("timeout")))
			}
			if err != nil {
				return nil, &hintedError{fmt.Errorf("connecting to the daemon at %s: %w", address, err), []string{"where it listens: --connect HOST:PORT"}}
			}
			return conn, nil
		},
		Reload: func(ctx context.Context) error {
			restarted = true
			if own == "" {
				return p.runPlanned(ctx, plan, c.Duration("timeout"))
			}
			cmd := exec.CommandContext(ctx, "sh", "-c", own)
			cmd.Env = environmentOfOthers(os.Environ())
			out, err := cmd.CombinedOutput()
			if err != nil {
				return fmt.Errorf("--reload-command: %w: %s", err, visible(strings.TrimSpace(string(out))))
			}
			return nil
		}}
	if !c.Bool("json") && !c.Bool("quiet") {
		d.Told = func(step string) { fmt.Fprintf(p.stderr, "%s\n", step) }
	}
	r, err := revocation.RunDrill(c.Context, a, d)
	if err != nil {
		return err
	}
	v := drillView{Schema: 1, Verdict: string(r.Verdict), Authority: a.Dir(), Address: address, Message: optional(r.Message), Places: []placeView{},
		Probe:   drilledView{r.Probe.Serial, optional(string(r.ProbeBefore)), optional(string(r.ProbeAfter))},
		Control: drilledView{r.Control.Serial, optional(string(r.ControlBefore)), optional(string(r.ControlAfter))},
		Proven:  []string{}, NotProven: []string{}, Hints: []string{}}
	if r.List != nil && r.List.Number != nil {
		number := r.List.Number.String()
		v.Number = &number
	}
	for _, place := range r.Posted {
		v.Places = append(v.Places, placeView{place.Path, string(place.Kind), string(place.Fate)})
	}
	v.explain(p, r, plan, daemon, own != "")
	return p.concludeDrill(c, v, r.Verdict)
}

// explain says what was proven and what was not and, where the revoked certificate was let in, why.
func (v *drillView) explain(p *program, r revocation.DrillResult, plan reload.Plan, daemon *conf.Daemon, own bool) {
	switch r.Verdict {
	case revocation.Passed:
		v.Proven = append(v.Proven, "the daemon at "+v.Address+" refuses who is on the list, and lets in who is not")
		v.NotProven = append(v.NotProven, "other daemons, and clients: a client refuses a revoked server by its own cacrl.pem",
			"that the next list will arrive: libvirt never notices that a list is old")
	case revocation.Unproven:
		v.NotProven = append(v.NotProven, "anything: the daemon refused a certificate that is not revoked")
		v.Hints = append(v.Hints, "a name that tls_allowed_dn_list lets in: --subject DN", "what is wrong otherwise: virt-pki verify URI")
	case revocation.Shut:
		v.Proven = append(v.Proven, "the daemon at "+v.Address+" refuses the revoked certificate")
		v.NotProven = append(v.NotProven, "that it lets in who is good: it refuses a certificate that is not revoked since it was reloaded")
		v.Hints = append(v.Hints, "what the reload brought: virt-pki check")
	case revocation.LetIn:
		v.Proven = append(v.Proven, "a revocation has no effect on the daemon at "+v.Address+": it lets in who is revoked")
		v.Hints = append(v.Hints, p.whyLetIn(r, plan, daemon, own)...)
	}
}

// whyLetIn looks for the reason in the configuration and in the file that the daemon would read.
func (p *program) whyLetIn(r revocation.DrillResult, plan reload.Plan, daemon *conf.Daemon, own bool) []string {
	var hints []string
	if daemon == nil {
		return []string{"what the daemon's configuration makes of its list: virt-pki revocation-drill --conf FILE"}
	}
	if daemon.TLSNoVerifyCertificate {
		return []string{"tls_no_verify_certificate = 1 lets in everybody: take it out of the configuration, and restart the daemon"}
	}
	files, _ := daemon.TLSFiles()
	expected := plan.Defaults.CRL
	switch {
	case files.Default && daemon.CRLFile != nil:
		hints = append(hints, fmt.Sprintf("crl_file = %q alone is ignored: without ca_file, cert_file and key_file the list is %s", *daemon.CRLFile, expected))
	case !files.Default && files.CRL == "":
		return []string{"with ca_file, cert_file and key_file and without crl_file no list is loaded, not the default one either: set crl_file and restart the daemon"}
	case !files.Default:
		expected = files.CRL
	}
	text, err := p.readFile(expected)
	var lists []*crl.List
	if err == nil {
		lists, err = crl.ParsePEM(text)
	}
	there := false
	for _, l := range crl.Effective(lists) {
		there = there || r.List != nil && string(l.Raw) == string(r.List.Raw)
	}
	switch {
	case err != nil:
		hints = append(hints, fmt.Sprintf("the daemon's list is %s, and that is not there or none: publish to it with --root or --pkipath", expected))
	case !there:
		var places []string
		for _, place := range r.Posted {
			places = append(places, place.Path)
		}
		hints = append(hints, fmt.Sprintf("the daemon's list is %s, which is not the one that was published (%s): publish to it with --root or --pkipath", expected, list(places)))
	case own:
		hints = append(hints, "the list is in its place, "+filepath.Clean(expected)+": --reload-command did not make the daemon read it; see virt-pki reload")
	default:
		hints = append(hints, "the list is in its place, "+filepath.Clean(expected)+": the daemon has not read it, or is another one or has another configuration; see virt-pki reload")
	}
	return hints
}

// concludeDrill prints what a drill came to and gives the exit status.
func (p *program) concludeDrill(c *cli.Context, v drillView, verdict revocation.Verdict) error {
	if err := p.show(c, v, func() { p.printDrill(v, verdict) }); err != nil {
		return err
	}
	if !c.Bool("json") {
		for _, h := range v.Hints {
			p.hint("%s", h)
		}
	}
	switch verdict {
	case revocation.Passed:
		return nil
	case revocation.Unproven:
		return status(exitIncomplete)
	}
	return status(exitFindings)
}

func (p *program) printDrill(v drillView, verdict revocation.Verdict) {
	w := p.stdout
	fmt.Fprintf(w, "%s\n", map[revocation.Verdict]string{revocation.Passed: "passed", revocation.LetIn: "FAILED: the revoked certificate is let in",
		revocation.Shut: "FAILED: the good certificate is refused, too", revocation.Unproven: "nothing proven: a good certificate is refused"}[verdict])
	for _, s := range v.Proven {
		fmt.Fprintf(w, "proven      %s\n", s)
	}
	for _, s := range v.NotProven {
		fmt.Fprintf(w, "not proven  %s\n", s)
	}
	fmt.Fprintf(w, "revoked     serials %s and %s; no file is left\n", v.Probe.Serial, v.Control.Serial)
}

// runPlanned runs a planned reload without a question.
func (p *program) runPlanned(ctx context.Context, plan reload.Plan, limit time.Duration) error {
	if len(plan.Command) == 0 {
		return errors.New("a session daemon with files of its own: how it is started is not known; give --reload-command")
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return runCommand(ctx, plan)
}
