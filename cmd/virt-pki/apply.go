package main

import (
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/finding"
)

func (p *program) applyCommand() *cli.Command {
	return &cli.Command{
		Name: "apply", Category: "live", Usage: "do what the plan says", ArgsUsage: "",
		Description: `Shows the plan (see virt-pki plan), asks, and does it. Every certificate is judged by libvirt's
rules before one is signed, and is in the inventory before it is in a file. Hosts that are new get a
whole tree or none. New files are proven by TLS handshakes before they take the place of old ones,
which are kept as FILE.old-TIME. An interrupted run is repeated: it goes on where the other ended.
Of two at once the second waits, and then does what is left of what it has shown.

What is not the authority's is never touched without --adopt or --force.

EXAMPLES
   virt-pki apply
   virt-pki apply --spec cluster.toml --yes
   virt-pki apply --adopt --dry-run        existing certificates are taken into the inventory

EXIT STATUS
   0 done, or nothing to do   1 some of it is blocked, or an allow list keeps out a client
   2 wrong usage   3 could not complete, or was not agreed to; a repetition goes on`,
		Flags: append(append([]cli.Flag{
			specFlag(), databaseFlag(),
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask"},
			&cli.BoolFlag{Name: "all", Usage: "show every step, however many they are"},
			&cli.BoolFlag{Name: "prove-every-pair", Usage: "connect every changed server with every changed client even if these are more than 100,000 pairs"},
		}, append(allowFlags(), dryRunFlag(), jsonFlag(), quietFlag(), colorFlag())...), append(keyFlags(),
			&cli.StringFlag{Name: "ca-cert", Usage: "`FILE`: where there is no authority yet: take over this CA (PEM); needs --ca-key"},
			&cli.StringFlag{Name: "ca-key-passphrase-file", Usage: "`FILE`: with the passphrase of --ca-key"})...),
		Action: p.apply,
	}
}

func (p *program) apply(c *cli.Context) error {
	if c.Args().Present() {
		return usage("apply takes no argument %s", quote(c.Args().First())).hint("virt-pki apply --spec FILE")
	}
	cl, err := p.specFile(c)
	if err != nil {
		return err
	}
	a, err := p.specAuthority(c, cl)
	if err != nil {
		return err
	}
	return p.applyFile(c, cl, a)
}

// applyFile applies a cluster file; it closes the authority, which is nil where there is none.
func (p *program) applyFile(c *cli.Context, cl *cluster.Cluster, a *ca.Authority) error {
	defer func() {
		if a != nil {
			a.Close()
		}
	}()
	paint, err := p.painter(c.String("color"))
	if err != nil {
		return err
	}
	now := p.now()
	ch, err := p.changes(c, cl, a, now, false)
	if err != nil {
		return err
	}
	v := viewPlan(cl, ch, now)
	v.all, v.DryRun = c.Bool("all"), c.Bool("dry-run")
	if err := p.refused(c, cl, a, ch, now); err != nil {
		return err
	}
	if !c.Bool("json") && !c.Bool("quiet") {
		p.printPlan(v, paint)
	}
	if v.Verdict != "changes" || v.DryRun {
		if c.Bool("json") {
			if err := p.printJSON(v); err != nil {
				return err
			}
		}
		return left(v, ch.Blocked())
	}
	if err := p.agree(c, "do this?", usage("nobody is there to be asked, and nothing was done").hint("to do it without being asked: --yes")); err != nil {
		return err
	}
	if a == nil {
		if cl.Whole() && ch.Blocked() == 0 {
			return p.makeWhole(c, cl)
		}
		if a, err = p.foundAlone(c, cl); err != nil {
			return err
		}
	} else if _, err := p.unlock(c, a); err != nil {
		return err
	}
	return p.applyChanges(c, cl, a, ch, v, now)
}

// applyChanges does what was agreed to, and says what was done.
func (p *program) applyChanges(c *cli.Context, cl *cluster.Cluster, a *ca.Authority, ch cluster.Changes, v planView, now time.Time) error {
	allow, err := allowance(c)
	if err != nil {
		return err
	}
	show, done := p.progress(c.Bool("quiet"))
	begun := p.now()
	applied, err := cl.Apply(c.Context, a, cluster.Application{Now: now, Allow: allow, Agreed: &ch,
		Options: cluster.Options{WriteOptions: writeOptions(), Progress: show, EveryPair: c.Bool("prove-every-pair")}})
	done()
	v.applied(applied, p.now().Sub(begun))
	if e := p.show(c, v, func() { p.printApplied(v) }); err == nil {
		err = e
	}
	if err != nil {
		return &hintedError{err, []string{"what was done stays; repeat it to go on: virt-pki apply --spec " + pathArgument(cl.File)}}
	}
	return left(v, len(applied.Left))
}

// left is the exit status for what is not done.
func left(v planView, blocked int) error {
	if blocked > 0 || worst(v.Findings) >= finding.Error {
		return status(exitFindings)
	}
	return nil
}

// applied turns the view of a plan into that of what was done.
func (v *planView) applied(a cluster.Applied, took time.Duration) {
	v.Steps, v.Verdict = []stepView{}, "done"
	for _, d := range a.Done {
		s := viewStep(d.Step)
		s.Done, s.NewSerial, s.Backups = true, d.New, d.Backups
		if !d.NotAfter.IsZero() {
			end := d.NotAfter.UTC()
			s.NotAfter = &end
		}
		v.Steps = append(v.Steps, s)
	}
	for _, s := range a.Left {
		v.Steps = append(v.Steps, viewStep(s))
	}
	v.Closed, v.Seconds = a.Closed, took.Round(time.Millisecond).Seconds()
	if a.Proof.Pairs > 0 {
		v.Proof = &proofView{a.Proof.Pairs, a.Proof.Handshakes, a.Proof.Versions}
	}
}

// doneText words what was done.
var doneText = map[string]string{
	string(cluster.MakeAuthority): "made", string(cluster.SetPolicy): "policy", string(cluster.Record): "noted", string(cluster.TakeOver): "adopted",
	string(cluster.Issue): "issued", string(cluster.Replace): "replaced", string(cluster.Finish): "finished", string(cluster.WriteCA): "trusted",
	string(cluster.WriteCRL): "list", string(cluster.SetMode): "mode", string(cluster.SetOwner): "owner",
}

func (p *program) printApplied(v planView) {
	w := p.stdout
	fmt.Fprintln(w)
	count, backups := 0, 0
	for _, s := range v.Steps {
		if !s.Done {
			continue
		}
		count++
		backups += len(s.Backups)
		if count > mostSteps && !v.all {
			continue
		}
		fmt.Fprintf(w, "  %-8s %s", doneText[s.Action], s.what())
		if s.NotAfter != nil {
			fmt.Fprintf(w, ", until %s", date(*s.NotAfter))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "done: %s", plural(count, "step"))
	if backups > 0 {
		fmt.Fprintf(w, "; what was replaced is kept beside as FILE.old-TIME (%s)", plural(backups, "file"))
	}
	fmt.Fprintln(w)
	if v.Proof != nil {
		fmt.Fprintf(w, "proof: %d of %s connected by TLS, as libvirt %s would\n", v.Proof.Handshakes, plural(v.Proof.Pairs, "pair"), list(v.Proof.Libvirt))
	}
	for _, f := range v.Closed {
		p.warn("%s is readable by root only, and QEMU runs as another user", f)
	}
	for _, s := range v.Steps {
		if s.Action == string(cluster.Replace) || s.Action == string(cluster.WriteCRL) || s.Action == string(cluster.WriteCA) {
			fmt.Fprintf(w, "\nnext:\n  virt-admin -c libvirtd:///system server-update-tls libvirtd   # on each host, when the files are there\n")
			break
		}
	}
}
