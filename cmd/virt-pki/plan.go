package main

import (
	"fmt"
	"io"
	"runtime/debug"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/templates"
)

func (p *program) planCommand() *cli.Command {
	return &cli.Command{
		Name: "plan", Category: "live", Usage: "what would change so that all is as the cluster file says, and why", ArgsUsage: "",
		Description: `Compares the cluster file with the inventory and with the files, and says what virt-pki apply would
do: identities that are missing, due, revoked, not as the file says any more or of another CA; modes
and owners; the revocation list. Nothing is done. Files that are not the authority's are named and
left alone, and so are hosts that are no longer in the file: the command that revokes their
certificates is printed.

EXAMPLES
   virt-pki plan --example > cluster.toml      a commented file to begin with
   virt-pki plan
   virt-pki plan --spec cluster.toml --at +60d --json
   virt-pki plan --conf kvm1.example.com       the lines for that host's libvirtd.conf

EXIT STATUS
   0 nothing to do   1 there is something to do, or an allow list keeps out a client
   2 wrong usage     3 could not complete; the cluster file is not good, for one`,
		Flags: append([]cli.Flag{
			specFlag(), databaseFlag(),
			&cli.BoolFlag{Name: "example", Usage: "print a commented cluster file, and do nothing else"},
			&cli.StringFlag{Name: "conf", Usage: "`HOST`: print the lines for its libvirtd.conf, or a client's libvirt.conf, and do nothing else"},
			&cli.BoolFlag{Name: "all", Usage: "show every step, however many they are"},
		}, append(allowFlags(), atFlag(), jsonFlag(), quietFlag(), colorFlag())...),
		Action: p.plan,
	}
}

// allowFlags say what may be done about files that are not the authority's.
func allowFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "adopt", Usage: "take certificates that are there and not in the inventory into it, as they are"},
		&cli.BoolFlag{Name: "force", Usage: "replace what is not the authority's; it is kept beside as FILE.old-TIME"},
	}
}

func allowance(c *cli.Context) (cluster.Allowance, error) {
	a := cluster.Allowance{Adopt: c.Bool("adopt"), Force: c.Bool("force")}
	if a.Adopt && a.Force {
		return a, usage("--adopt and --force exclude each other: foreign files are taken as they are, or replaced")
	}
	return a, nil
}

// A stepView shows a step.
type stepView struct {
	Action  string    `json:"action"`
	Member  string    `json:"member"`
	Role    string    `json:"role"`
	Layout  string    `json:"layout"`
	Reasons []whyView `json:"reasons"`
	Files   []string  `json:"files"`
	Serial  string    `json:"serial,omitempty"`
	Blocked bool      `json:"blocked"`
	Way     string    `json:"way,omitempty"`
	// These are apply's.
	Done      bool       `json:"done,omitempty"`
	NewSerial string     `json:"new_serial,omitempty"`
	NotAfter  *time.Time `json:"not_after,omitempty"`
	Backups   []string   `json:"backups,omitempty"`
}

type whyView struct {
	Reason string `json:"reason"`
	Text   string `json:"text"`
}

type noteView struct {
	Member  string `json:"member"`
	Text    string `json:"text"`
	Command string `json:"command,omitempty"`
}

// A planView is the answer of plan, and of apply.
type planView struct {
	Schema     int               `json:"schema"`
	Spec       string            `json:"spec"`
	Authority  string            `json:"authority"`
	Dir        string            `json:"dir"`
	At         time.Time         `json:"at"`
	DryRun     bool              `json:"dry_run,omitempty"`
	Identities int               `json:"identities"`
	Verdict    string            `json:"verdict"` // current, changes, blocked: only what is not done; apply: done
	Steps      []stepView        `json:"steps"`
	Notes      []noteView        `json:"notes"`
	Findings   []finding.Finding `json:"findings"`
	Proof      *proofView        `json:"proof,omitempty"`
	Closed     []string          `json:"closed,omitempty"`
	Seconds    float64           `json:"seconds,omitempty"`
	all        bool
}

func viewStep(s cluster.Step) stepView {
	v := stepView{Action: string(s.Action), Member: s.Member, Layout: string(s.Layout), Files: s.Files, Serial: s.Serial, Blocked: s.Blocked,
		Way: s.Way, Reasons: []whyView{}}
	if s.Role != 0 {
		v.Role = s.Role.String()
	}
	if v.Files == nil {
		v.Files = []string{}
	}
	for _, w := range s.Why {
		v.Reasons = append(v.Reasons, whyView{string(w.Reason), w.Text})
	}
	return v
}

func viewPlan(cl *cluster.Cluster, ch cluster.Changes, at time.Time) planView {
	v := planView{Schema: 1, Spec: cl.File, Authority: cl.Founding.Dir, Dir: cl.Dir, At: at.UTC(), Identities: ch.Identities, Steps: []stepView{},
		Notes: []noteView{}, Findings: ch.Findings, Verdict: "current"}
	for _, s := range ch.Steps {
		v.Steps = append(v.Steps, viewStep(s))
	}
	for _, n := range ch.Notes {
		v.Notes = append(v.Notes, noteView(n))
	}
	if v.Findings == nil {
		v.Findings = []finding.Finding{}
	}
	switch blocked := ch.Blocked(); {
	case len(ch.Steps) > blocked:
		v.Verdict = "changes"
	case blocked > 0:
		v.Verdict = "blocked"
	}
	return v
}

func (p *program) plan(c *cli.Context) error {
	if c.Args().Present() {
		return usage("plan takes no argument %s", quote(c.Args().First())).hint("virt-pki plan --spec FILE")
	}
	if c.Bool("example") {
		text, err := templates.ExampleCluster()
		if err == nil {
			_, err = p.stdout.Write(text)
		}
		return err
	}
	cl, err := p.specFile(c)
	if err != nil {
		return err
	}
	if host := c.String("conf"); host != "" {
		return p.planConf(cl, host)
	}
	paint, err := p.painter(c.String("color"))
	if err != nil {
		return err
	}
	now, err := p.at(c)
	if err != nil {
		return err
	}
	a, err := p.specAuthority(c, cl)
	if err != nil {
		return err
	}
	if a != nil {
		defer a.Close()
	}
	ch, err := p.changes(c, cl, a, now, c.IsSet("at"))
	if err != nil {
		return err
	}
	v := viewPlan(cl, ch, now)
	v.all = c.Bool("all")
	err = p.show(c, v, func() { p.printPlan(v, paint) })
	if err != nil {
		return err
	}
	if err := p.refused(c, cl, a, ch, now); err != nil {
		return err
	}
	if len(v.Steps) > 0 || worst(v.Findings) >= finding.Error {
		return status(exitFindings)
	}
	return nil
}

// worst gives the highest severity.
func worst(list []finding.Finding) (s finding.Severity) {
	for _, f := range list {
		s = max(s, f.Severity)
	}
	return s
}

// refused gives the errors with which apply would end before it does anything: certificates that some libvirt refuses, for one.
func (p *program) refused(c *cli.Context, cl *cluster.Cluster, a *ca.Authority, ch cluster.Changes, now time.Time) error {
	if a != nil {
		return ch.Rehearse(a, cl.Policy)
	}
	spec := cl.Spec(now, cl.Founding.Subject)
	double, _, err := p.foundingOf(c, cl, spec, true)
	if err != nil {
		return err
	}
	if spec, err = p.withBase(cl, spec, double); err != nil {
		return err
	}
	_, err = spec.Plan(double)
	return err
}

// changes compares a cluster file with what there is. The clock is not looked at when another time is asked for.
func (p *program) changes(c *cli.Context, cl *cluster.Cluster, a *ca.Authority, now time.Time, asOf bool) (cluster.Changes, error) {
	allow, err := allowance(c)
	if err != nil {
		return cluster.Changes{}, err
	}
	// What is read stays, all of it: to look for garbage at every doubling would be a fifth of the work.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	subject := cl.Founding.Subject
	var known *cluster.Known
	if a != nil {
		k, err := cluster.Know(c.Context, a, writeOptions())
		if err != nil {
			return cluster.Changes{}, err
		}
		if !asOf {
			if err := k.CheckClock(now); err != nil {
				return cluster.Changes{}, err
			}
		}
		known, subject = &k, k.CAs[0].Subject
	}
	show, done := p.progress(c.Bool("quiet"))
	survey, err := cl.Spec(now, subject).Look(c.Context, func(n, total int) {
		if show != nil {
			show("looking", n, total)
		}
	})
	done()
	if err != nil {
		return cluster.Changes{}, err
	}
	return cl.Compare(known, survey, now, allow), nil
}

// actionText words what a step does.
var actionText = map[string]string{
	string(cluster.MakeAuthority): "make", string(cluster.SetPolicy): "policy", string(cluster.Record): "note", string(cluster.TakeOver): "adopt",
	string(cluster.Issue): "issue", string(cluster.Replace): "replace", string(cluster.Finish): "finish", string(cluster.WriteCA): "trust",
	string(cluster.WriteCRL): "revoke", string(cluster.SetMode): "mode", string(cluster.SetOwner): "owner",
}

// what names what a step is about.
func (s stepView) what() string {
	switch {
	case s.Action == string(cluster.MakeAuthority):
		return "the authority"
	case s.Member == "":
		return "the authority's policy"
	}
	text := strings.TrimSpace(s.Role + " " + visible(s.Member))
	return text + " (" + s.Layout + ")"
}

func (s stepView) why() string {
	var words []string
	for _, w := range s.Reasons {
		words = append(words, visible(w.Text))
	}
	return strings.Join(words, "; ")
}

// mostSteps is how many steps are shown; more would scroll the important lines away.
const mostSteps = 100

func (p *program) printPlan(v planView, paint painter) {
	w := p.stdout
	switch {
	case len(v.Steps) == 0:
		fmt.Fprintf(w, "nothing to do: %s as %s says\n", identities(v.Identities), visible(v.Spec))
	default:
		fmt.Fprintf(w, "plan for %s (%s): %s\n\n", visible(v.Spec), identitiesOnly(v.Identities), plural(len(v.Steps), "step"))
		p.printSteps(w, v)
	}
	printNotes(w, v.Notes)
	if len(v.Findings) > 0 {
		fmt.Fprintln(w)
		p.printFindings(w, v.Findings, paint)
	}
}

func identities(n int) string {
	if n == 1 {
		return "1 identity is"
	}
	return fmt.Sprintf("%d identities are", n)
}

func identitiesOnly(n int) string {
	if n == 1 {
		return "1 identity"
	}
	return fmt.Sprintf("%d identities", n)
}

func (p *program) printSteps(w io.Writer, v planView) {
	for i, s := range v.Steps {
		if i == mostSteps && !v.all && len(v.Steps) > mostSteps+1 {
			fmt.Fprintf(w, "  ...      and %d more: --all or --json shows them\n", len(v.Steps)-mostSteps)
			break
		}
		verb := actionText[s.Action]
		if s.Blocked {
			verb = "blocked"
		}
		fmt.Fprintf(w, "  %-8s %s: %s\n", verb, s.what(), s.why())
		if s.Blocked || s.Action == string(cluster.SetMode) || s.Action == string(cluster.SetOwner) || len(v.Steps) <= 4 {
			for _, f := range s.Files {
				fmt.Fprintf(w, "           %s\n", visible(f))
			}
		}
		if s.Way != "" {
			fmt.Fprintf(w, "           way on: %s\n", s.Way)
		}
	}
}

func printNotes(w io.Writer, notes []noteView) {
	if len(notes) == 0 {
		return
	}
	fmt.Fprintln(w, "\nnotes:")
	for i, n := range notes {
		if i == mostSteps {
			fmt.Fprintf(w, "  ... and %d more: --json shows them\n", len(notes)-i)
			break
		}
		about := ""
		if n.Member != "" {
			about = visible(n.Member) + ": "
		}
		fmt.Fprintf(w, "  %s%s\n", about, visible(n.Text))
		if n.Command != "" {
			fmt.Fprintf(w, "    %s\n", n.Command)
		}
	}
}

// planConf prints what the file says about a host's or client's configuration.
func (p *program) planConf(cl *cluster.Cluster, host string) error {
	var names []string
	for _, m := range cl.Members {
		if names = append(names, m.Name); m.Name != host {
			continue
		}
		file := "libvirtd.conf, or virtproxyd.conf,"
		if m.Role == certs.Client {
			file = "libvirt.conf"
		}
		lines, err := confLines(cl, m)
		if err != nil {
			return err
		}
		if len(lines) == 0 {
			fmt.Fprintf(p.stdout, "# %s says nothing about %s of %s\n", visible(cl.File), strings.TrimSuffix(file, ","), visible(host))
			return nil
		}
		fmt.Fprintf(p.stdout, "# For %s of %s, by %s\n%s\n", file, visible(host), visible(cl.File), strings.Join(lines, "\n"))
		return nil
	}
	e := usage("--conf %s: it is not in %s", shellQuote(host), cl.File)
	if near := nearest(host, names); near != "" {
		e.hint("did you mean %s?", near)
	}
	return e
}

// confLines gives the settings, as the template of the whole file has them.
func confLines(cl *cluster.Cluster, m cluster.Member) ([]string, error) {
	d := templates.Daemon{Priority: cl.Priorities[m.Name]}
	for _, a := range cl.Access {
		if a.Host == m.Name {
			d.DNs = a.Patterns
		}
	}
	text, err := d.Libvirtd()
	if err != nil {
		return nil, err
	}
	var lines []string
	within := false
	for _, l := range strings.Split(string(text), "\n") {
		if strings.HasPrefix(l, "tls_allowed_dn_list = [") {
			within = true
		}
		if within || strings.HasPrefix(l, "tls_priority = ") {
			lines = append(lines, l)
		}
		if strings.HasPrefix(l, "]") || strings.HasSuffix(l, "[]") {
			within = false
		}
	}
	return lines, nil
}
