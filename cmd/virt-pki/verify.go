package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/gnutls"
	"github.com/virt-pki/virt-pki/pkg/probe"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Category:  "judge",
		Usage:     "do live what libvirt would do for a URI, and say what happened and why",
		ArgsUsage: "URI...",
		Description: `Connects as this user's libvirt would: own files, name, TCP, TLS, the confirmation byte,
authentication, the RPC open with the name libvirt would send; and says good-bye, so that the
daemon logs nothing. Nothing waits longer than --timeout for a stage.
Passwords for SASL and SSH come from libvirt's auth.conf; with one URI they, passphrases and
host keys are asked for on a terminal.
A tls_priority that Go's TLS cannot follow is followed by the GnuTLS of this machine, for which
virt-pki-gnutls has to be beside virt-pki (go install ./cmd/... builds both).
With several URIs the results come as they are ready, with --json one object per line. With several
versions as --libvirt each URI is tried as each of them.

EXAMPLES
   virt-pki verify qemu://kvm1.example.com/system
   virt-pki verify 'test+tls://localhost/default?pkipath=/srv/pki'
   virt-pki verify --tls-engine gnutls 'qemu://kvm1/system?tls_priority=SECURE256:%25PROFILE_LOW'
   virt-pki verify -f uris.txt --jobs 8 --json

EXIT STATUS
   0 connected   1 not connected, or findings at or above --fail-on   2 wrong usage
   3 could not complete`,
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "readonly", Aliases: []string{"r"}, Usage: "as virsh -r: a read-only connection"},
			urisFlag(),
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: 4, Usage: "`N`: how many URIs at a time"},
			atFlag(), libvirtsFlag(), timeoutFlag(), failOnFlag(), jsonFlag(), quietFlag(), colorFlag(),
		}, engineFlags()...),
		Action: p.verify,
	}
}

// A verifyView is the answer of verify about one URI.
type verifyView struct {
	Schema int    `json:"schema"`
	URI    string `json:"uri"`
	// Libvirt is the version that was played, where several are.
	Libvirt        string          `json:"libvirt,omitempty"`
	Outcome        finding.Outcome `json:"outcome"`
	Cause          *string         `json:"cause"`
	LibvirtMessage *string         `json:"libvirt_message"`
	Server         probe.Server    `json:"server"`
	// Identity is the file of the client's certificate that was sent.
	Identity string            `json:"identity,omitempty"`
	Stages   []stageView       `json:"stages"`
	Findings []finding.Finding `json:"findings"`
	// Error says why the attempt could not be completed; the outcome is empty then.
	Error string `json:"error,omitempty"`

	err error
}

type stageView struct {
	Name         string  `json:"name"`
	Milliseconds float64 `json:"ms"`
	Error        string  `json:"error,omitempty"`
}

func (p *program) verify(c *cli.Context) error {
	versions, err := p.asVersions(c)
	if err != nil {
		return err
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	uris := c.Args().Slice()
	if name := c.String("file"); name != "" {
		more, err := p.urisOf(name)
		if err != nil {
			return err
		}
		uris = append(uris, more...)
	}
	if len(uris) == 0 {
		return usage("verify needs a URI").hint("virt-pki verify qemu://kvm1.example.com/system")
	}
	if c.Int("jobs") < 1 {
		return usage("--jobs %d: at least 1", c.Int("jobs"))
	}
	var attempts []attempt
	for _, version := range versions {
		o, err := p.probeOptions(c, version)
		if err != nil {
			return err
		}
		if len(uris)*len(versions) == 1 {
			o.Ask = p.asker(c.Context) // among many nobody would know which one asks
		}
		as := ""
		if len(versions) > 1 {
			as = version.String()
		}
		for _, u := range uris {
			attempts = append(attempts, attempt{u, as, o})
		}
	}
	t := tally{outcomes: map[finding.Outcome]int{}}
	show, clear := p.progress(c.Bool("quiet") || len(attempts) == 1)
	p.dialAll(c.Context, attempts, c.Int("jobs"), func(v verifyView) error {
		t.add(v, level)
		if show != nil {
			show("verified", t.done, len(attempts))
		}
		switch {
		case c.Bool("json") && len(attempts) == 1:
			return p.printJSON(v)
		case c.Bool("json"):
			return p.printJSONLine(v)
		case !c.Bool("quiet"):
			clear()
			p.printVerified(v, paint)
		}
		return nil
	})
	clear()
	if len(attempts) > 1 && !c.Bool("json") && !c.Bool("quiet") {
		fmt.Fprintf(p.stdout, "%s\n", t.text(len(attempts)))
	}
	if err := c.Context.Err(); err != nil {
		return fmt.Errorf("stopped after %d of %s: %w", t.done, plural(len(attempts), "attempt"), err)
	}
	switch {
	case t.incomplete:
		if len(attempts) == 1 && t.err != nil && !c.Bool("json") {
			return t.err
		}
		return status(exitIncomplete)
	case t.failed:
		return status(exitFindings)
	}
	return nil
}

// probeOptions describes the caller, with that libvirt, and the limits.
func (p *program) probeOptions(c *cli.Context, v verify.Version) (probe.Options, error) {
	uo := p.callerOptions(c, v)
	at, err := p.at(c)
	if err != nil {
		return probe.Options{}, err
	}
	limit := c.Duration("timeout")
	if limit <= 0 {
		return probe.Options{}, usage("--timeout %s: it must be more than 0", limit)
	}
	o := probe.Options{URI: uo, Libvirt: v, At: at, Clock: p.now, Env: os.Environ(), Cache: new(probe.Cache),
		Terminal: isTerminal(p.stdin) && isTerminal(p.stderr),
		Limits:   probe.Limits{Resolve: limit, Connect: limit, TLS: limit, RPC: limit}}
	if u, err := user.Current(); err == nil { // else libssh's own configuration is looked for in HOME
		o.AccountName, o.AccountHome = u.Username, u.HomeDir
	}
	if o.Engine, o.GnuTLS, err = p.engine(c); err != nil {
		return probe.Options{}, err
	}
	o.BuildPriority = p.buildPriority(c, exists)
	if c.IsSet("timeout") {
		o.Limits.Command = limit
	}
	return o, nil
}

// urisFlag is read by urisOf.
func urisFlag() cli.Flag {
	return &cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "`FILE`: read URIs from it, one a line; - is standard input"}
}

// urisOf reads a list of URIs: one a line, blank lines and those that begin with # aside.
func (p *program) urisOf(name string) ([]string, error) {
	text, err := p.read("the URIs", name)
	if err != nil {
		return nil, err
	}
	var uris []string
	s := bufio.NewScanner(bytes.NewReader(text))
	s.Buffer(nil, maxInput)
	for s.Scan() {
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			uris = append(uris, line)
		}
	}
	return uris, s.Err()
}

// An attempt is one URI, tried as one libvirt.
type attempt struct {
	uri string
	// as names the version, where several are played.
	as string
	o  probe.Options
}

// dialAll makes the attempts, several at a time, and hands on each result as it is ready. It ends early when ctx does.
func (p *program) dialAll(ctx context.Context, attempts []attempt, jobs int, ready func(verifyView) error) {
	next := make(chan attempt)
	results := make(chan verifyView)
	var group sync.WaitGroup
	for range min(jobs, len(attempts)) {
		group.Go(func() {
			for a := range next {
				v := dial(ctx, a.uri, a.o)
				v.Libvirt = a.as
				results <- v
			}
		})
	}
	go func() {
		defer close(next)
		for _, a := range attempts {
			select {
			case next <- a:
			case <-ctx.Done():
				return
			}
		}
	}()
	go func() {
		group.Wait()
		close(results)
	}()
	for v := range results {
		if ctx.Err() != nil && v.err != nil {
			continue // it was cut off, there is no result
		}
		if ready(v) != nil {
			ready = func(verifyView) error { return nil } // nobody reads any more
		}
	}
}

func dial(ctx context.Context, text string, o probe.Options) verifyView {
	r, err := probe.Dial(ctx, text, o)
	v := verifyView{Schema: 1, URI: text, Outcome: r.Outcome, Cause: optional(r.Cause), LibvirtMessage: optional(r.LibvirtMessage),
		Server: r.Server, Identity: r.Identity, Stages: []stageView{}, Findings: r.Findings, err: err}
	if v.Findings == nil {
		v.Findings = []finding.Finding{}
	}
	for _, s := range r.Stages {
		v.Stages = append(v.Stages, stageView{s.Name, float64(s.Duration.Microseconds()) / 1000, s.Err})
	}
	if err != nil {
		v.Error, v.Outcome = err.Error(), ""
	}
	return v
}

// A tally sums up.
type tally struct {
	done               int
	failed, incomplete bool
	err                error
	outcomes           map[finding.Outcome]int
}

func (t *tally) add(v verifyView, level finding.Severity) {
	t.done++
	switch {
	case v.err != nil:
		t.incomplete, t.err = true, v.err
	default:
		t.outcomes[v.Outcome]++
		t.failed = t.failed || v.Outcome != finding.Connected || finding.Worst(v.Findings) >= level
	}
}

// text gives the numbers by outcome, those that connected first.
func (t *tally) text(total int) string {
	parts := []string{fmt.Sprintf("%d of %d connected", t.outcomes[finding.Connected], total)}
	for _, o := range finding.Outcomes() {
		if n := t.outcomes[o]; n > 0 && o != finding.Connected {
			parts = append(parts, fmt.Sprintf("%d %s", n, o))
		}
	}
	return strings.Join(parts, ", ")
}

// printJSONLine writes one JSON object on one line.
func (p *program) printJSONLine(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printVerified prints what one attempt came to.
func (p *program) printVerified(v verifyView, paint painter) {
	w := p.stdout
	title := visible(v.URI)
	if v.Libvirt != "" {
		title += " as libvirt " + v.Libvirt
	}
	if v.err != nil {
		if !errors.Is(v.err, context.Canceled) {
			var trouble *gnutls.Trouble
			if errors.As(v.err, &trouble) { // a finding says it
				fmt.Fprintf(w, "%s: %s\n", title, paint.paint("33;1", "not checked"))
				p.printFindings(w, v.Findings, paint)
				return
			}
			fmt.Fprintf(w, "%s: %s\n", title, paint.paint("33;1", "not tried"))
			fmt.Fprintf(w, "  %s\n", visible(v.Error))
		}
		return
	}
	code := "31;1"
	if v.Outcome == finding.Connected {
		code = "32;1"
	}
	fmt.Fprintf(w, "%s: %s\n", title, paint.paint(code, string(v.Outcome)))
	line := func(label, value string) {
		if value != "" {
			fmt.Fprintf(w, "  %-8s %s\n", label, visible(value))
		}
	}
	s := v.Server
	if s.Hostname != "" {
		line("daemon", fmt.Sprintf("%s, libvirt %s", s.Hostname, s.Libvirt))
	}
	line("at", s.Address)
	if v.Identity != "" && filepath.Base(v.Identity) != "clientcert.pem" {
		line("sent", v.Identity) // one of several
	}
	if s.TLS != "" {
		line("TLS", strings.Join(strings.Fields(s.TLS+" "+s.Suite+" "+s.Group), ", "))
	}
	if strings.HasPrefix(s.Engine, "gnutls") {
		line("by", "GnuTLS"+strings.TrimPrefix(s.Engine, "gnutls"))
	}
	if s.DN != "" {
		text := s.DN
		if s.NotAfter != nil {
			text += ", until " + date(*s.NotAfter)
		}
		line("server", text)
	}
	if v.Outcome == finding.Connected {
		var took float64
		for _, st := range v.Stages {
			took += st.Milliseconds
		}
		line("took", (time.Duration(took*1000) * time.Microsecond).Round(100*time.Microsecond).String())
	}
	if v.LibvirtMessage != nil {
		line("virsh", "error: "+*v.LibvirtMessage)
	}
	p.printFindings(w, v.Findings, paint)
}
