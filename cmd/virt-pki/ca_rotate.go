package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dn"
	"github.com/virt-pki/virt-pki/pkg/rotation"
)

func (p *program) caRotateCommand() *cli.Command {
	return &cli.Command{
		Name: "rotate", Usage: "replace the CA by a new one, stage by stage, without one refused connection",
		ArgsUsage: "[trust|issue|switch|prune|status|abort]",
		Description: `Does the next stage of the replacement of the CA in the directories named, after having shown it:

   trust    a new CA is made, and is added to every CA file beside the old one
   issue    the new CA issues from now on; what the old one issued stays in use
   switch   the old CA's certificates are replaced by the new one's; their keys stay (--new-keys)
   prune    the old CA is taken out of every CA file, before it expires: one expired CA in a file,
            used or not, keeps daemons from starting and clients from connecting

A stage's name makes sure that it is that one; none can be skipped. Each is proven with handshakes
in memory, what is changed with what is not yet, before a file is changed. Between two stages the
files must have reached the hosts and every daemon must have read them (virt-pki reload): you are
asked. A stage that could not be completed, because hosts are not in the directories, is done again
with others; an interrupted one is repeated. Nothing of libvirt's configuration changes, and
subjects stay: tls_allowed_dn_list goes on matching.

"status" says what each host still lacks. "abort" takes the new CA away again, as long as nothing
that it issued is in use.

EXAMPLES
   virt-pki ca rotate --out ./cluster                       the next stage
   virt-pki ca rotate status --spec cluster.toml
   virt-pki ca rotate trust --out ./cluster --subject "O=Acme,CN=Acme CA 2" --dry-run
   virt-pki ca rotate status --out ./cluster --pkipath /home/admin/pki
   virt-pki ca rotate switch --root / --authority ./authority --by-hand bob --yes
   virt-pki ca rotate abort --out ./cluster

EXIT STATUS
   0 done, or status: nothing is lacking   1 the stage is not complete: something is lacking
   2 wrong usage, or that stage is not the next one   3 could not complete`,
		Flags: append(placedFlags(), append([]cli.Flag{
			&cli.StringFlag{Name: "subject", Usage: "`DN`: the new CA's name, as GnuTLS writes it (trust)", DefaultText: "the old CA's name"},
			&cli.StringFlag{Name: "key-type", Usage: "`TYPE`: of the new CA's key: ecdsa-p256, rsa3072, ... (trust)", DefaultText: "ecdsa-p256"},
			&cli.StringFlag{Name: "new-ca-key", Usage: "`URI`: make the new CA's key in a token, pkcs11:... (trust)", DefaultText: "in the authority's directory"},
			&cli.StringFlag{Name: "lifetime", Usage: "`SPAN`: how long the new CA lasts (trust)", DefaultText: "10 years"},
			&cli.StringSliceFlag{Name: "by-hand", Usage: "`NAME`: a host or client whose files are elsewhere, and who has what the stage gives"},
			&cli.BoolFlag{Name: "new-keys", Usage: "make new keys for the new certificates, too (switch)"},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask: the files of the stage before are on the hosts, and the daemons have read them"},
			dryRunFlag(), jsonFlag(), quietFlag(),
		}, keyFlags()...)...),
		Action: p.withSpec(p.caRotate),
	}
}

// A rotationView is the answer of ca rotate.
type rotationView struct {
	Schema    int    `json:"schema"`
	DryRun    bool   `json:"dry_run,omitempty"`
	Authority string `json:"authority"`
	// UnderWay says whether the CA is being replaced, after what was done.
	UnderWay bool `json:"under_way"`
	// Stage is the stage that was done or, with status, that was begun last; Done whether it is complete.
	Stage *string `json:"stage"`
	Done  bool    `json:"done"`
	// Next is the stage to be done next.
	NextStage *string        `json:"next_stage"`
	Old       *rotatingView  `json:"old"`
	New       *rotatingView  `json:"new"`
	Places    []rotatedView  `json:"places"`
	Lacks     []lackView     `json:"lacks"`
	Changed   []string       `json:"changed"`
	Renewed   []renewedView  `json:"renewed"`
	Proof     *rotationProof `json:"proof"`
	Broken    []string       `json:"broken"`
	Retired   *string        `json:"retired"`
	Todo      []string       `json:"next"`
}

type rotatingView struct {
	DN       string    `json:"dn"`
	ID       string    `json:"key_id"`
	NotAfter time.Time `json:"not_after"`
}

type rotatedView struct {
	File      string   `json:"file"`
	Layout    string   `json:"layout"`
	Hosts     []string `json:"hosts"`
	TrustsOld bool     `json:"trusts_old"`
	TrustsNew bool     `json:"trusts_new"`
	OfOld     []string `json:"certificates_of_old"`
	OfNew     []string `json:"certificates_of_new"`
	Revoked   []string `json:"certificates_revoked"`
}

type lackView struct {
	Where  string   `json:"where"`
	Hosts  []string `json:"hosts"`
	What   string   `json:"what"`
	Unseen bool     `json:"unseen"`
}

type rotationProof struct {
	Pairs      int      `json:"pairs"`
	Handshakes int      `json:"handshakes"`
	Libvirt    []string `json:"libvirt"`
}

func (p *program) caRotate(c *cli.Context) (failed error) {
	word := c.Args().First()
	if c.NArg() > 1 {
		return usage("ca rotate takes one word, not %s too", quote(c.Args().Get(1))).hint("name places with --out, --pkipath and --root")
	}
	step := rotation.Request{Now: p.now(), ByHand: c.StringSlice("by-hand"), DryRun: c.Bool("dry-run"), NewKeys: c.Bool("new-keys")}
	switch word {
	case "", "status", "abort":
	default:
		var err error
		if step.Stage, err = ca.ParseRotationStage(word); err != nil {
			return usage("ca rotate %s: trust, issue, switch, prune, status or abort", quote(word)).hint("virt-pki ca rotate --help")
		}
	}
	if len(values(c, "out"))+len(values(c, "pkipath"))+len(values(c, "root")) == 0 && word != "status" {
		return usage("where are the hosts' files? --out, --pkipath or --root").hint("virt-pki ca rotate %s--out DIR   # with one tree per host, as init makes it", strings.TrimLeft(word+" ", " "))
	}
	var err error
	if step.Spots, err = p.spots(c); err != nil {
		return err
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	v := rotationView{Schema: 1, DryRun: step.DryRun, Authority: a.Dir(), Places: []rotatedView{}, Lacks: []lackView{}, Changed: []string{}, Renewed: []renewedView{},
		Broken: []string{}, Todo: []string{}}
	if word == "status" {
		return p.rotationStatus(c, a, step, v)
	}
	stage, err := p.nextStage(a, word, step.Stage)
	if err != nil {
		return err
	}
	if step.Successor, err = p.successor(c, a, stage); err != nil {
		return err
	}
	if !step.DryRun && !c.Bool("yes") {
		if err := p.askForStage(c, a, stage, step); err != nil {
			return err
		}
	}
	if !step.DryRun {
		if step.Successor.Passphrase, err = p.unlockBoth(c, a, stage); err != nil {
			return err
		}
		settle, err := p.successorKey(c, &step.Successor)
		if err != nil {
			return err
		}
		defer func() { settle(failed == nil) }()
	}
	show, clear := p.progress(c.Bool("quiet") || c.Bool("json"))
	step.Progress = show
	var result rotation.Result
	if word == "abort" {
		result, err = rotation.Abort(c.Context, a, step)
	} else {
		result, err = rotation.Advance(c.Context, a, step)
	}
	clear()
	if err != nil {
		return stageUsage(err)
	}
	return p.printRotated(c, a, v, result)
}

// stageUsage makes a stage that is not the next one wrong usage.
func stageUsage(err error) error {
	var wrong *ca.StageError
	if !errors.As(err, &wrong) {
		return err
	}
	u := &usageError{message: wrong.Error(), hints: wrong.Hints()}
	if wrong.Asked == "abort" && wrong.Next == "" {
		u.message = "there is no rotation to be given up"
	} else if wrong.Asked == "abort" {
		u.message, u.hints = "the rotation cannot be given up any more: certificates of the new CA are in use", []string{"carry it to its end, then rotate again: virt-pki ca rotate"}
	}
	return u
}

// nextStage says which stage will be done.
func (p *program) nextStage(a *ca.Authority, word string, asked ca.RotationStage) (ca.RotationStage, error) {
	r, ok := a.Rotation()
	next := ca.TrustBoth
	if ok {
		if s, more := r.Next(); more {
			next = s
		} else {
			next = ca.PruneOld
		}
	}
	switch {
	case word == "abort" && !ok:
		return "", stageUsage(&ca.StageError{Asked: "abort"})
	case word == "abort":
		return "abort", nil
	case asked != "" && asked != next && !ok:
		return "", stageUsage(&ca.StageError{Asked: asked})
	case asked != "" && asked != next:
		return "", stageUsage(&ca.StageError{Asked: asked, Next: next})
	}
	return next, nil
}

// successor decodes what the new CA is to be.
func (p *program) successor(c *cli.Context, a *ca.Authority, stage ca.RotationStage) (ca.Successor, error) {
	s := ca.Successor{Now: p.now()}
	if _, underWay := a.Rotation(); underWay || stage != ca.TrustBoth {
		for _, f := range []string{"subject", "key-type", "lifetime", "new-ca-key"} {
			if c.IsSet(f) {
				return s, usage("--%s is for the first call of ca rotate trust: the new CA is there already", f)
			}
		}
		return s, nil
	}
	var err error
	if text := c.String("subject"); text != "" {
		if s.Subject, err = dn.Parse(text); err != nil {
			return s, invalid("--subject", text, err)
		}
	}
	if text := c.String("key-type"); text != "" {
		if s.Key, err = certs.ParseKeyAlgorithm(text); err != nil {
			return s, invalid("--key-type", text, err)
		}
	}
	if s.Place, err = p.successorPlace(c, a); err != nil {
		return s, err
	}
	if text := c.String("lifetime"); text != "" {
		life, err := parseSpan(text)
		if err != nil {
			return s, invalid("--lifetime", text, err)
		}
		s.NotAfter = s.Now.Add(life)
	}
	return s, nil
}

// stageSays is what is asked before a stage.
var stageSays = map[ca.RotationStage]string{
	ca.TrustBoth:  "make a new CA and add it to %s, which trust the old one",
	ca.IssueNew:   "let the new CA issue; %s must have reached their hosts with both CAs in them, and every daemon must have read them",
	ca.SwitchOver: "replace the old CA's certificates in %s; the CA files with both CAs must have reached the hosts, and every daemon must have read them",
	ca.PruneOld:   "take the old CA out of %s; the new certificates must have reached the hosts, and every daemon must have read them",
	"abort":       "take the new CA out of %s and remove it with its key",
}

// askForStage shows what will be done and asks.
func (p *program) askForStage(c *cli.Context, a *ca.Authority, stage ca.RotationStage, step rotation.Request) error {
	if !isTerminal(p.stdin) || !isTerminal(p.stderr) {
		return usage("nobody can be asked here whether the stage %s may begin", stage).
			hint("see what it would do: --dry-run").hint("if the files of the stage before are on the hosts and the daemons have read them: --yes")
	}
	fmt.Fprintf(p.stderr, "%s: %s\n", stage, fmt.Sprintf(stageSays[stage], plural(len(step.Spots), "layout")))
	return p.confirm(c, "go on?")
}

// unlockBoth gives both CAs of a rotation their keys, and gives the passphrase for the new CA's key when one is to be made.
func (p *program) unlockBoth(c *cli.Context, a *ca.Authority, stage ca.RotationStage) ([]byte, error) {
	if _, underWay := a.Rotation(); !underWay && stage == ca.TrustBoth {
		place, err := a.Place()
		if err != nil {
			return nil, err
		}
		source := p.passphrase(c)
		if c.IsSet("new-ca-key") {
			return nil, nil
		}
		if !place.InDirectory() || c.IsSet("ca-key") {
			return source.forNew()
		}
		// The new key is protected as the old one is, by the same passphrase, since both are needed at once.
		err = a.Unlock(nil)
		switch {
		case err == nil:
			return nil, nil
		case !errors.Is(err, certs.ErrPassphraseNeeded):
			return nil, err
		}
		secret, err := source.forExisting(err)
		if err != nil {
			return nil, err
		}
		return secret, source.explain(a.Unlock(secret))
	}
	if stage == "abort" || stage == ca.TrustBoth {
		return nil, nil // neither key is needed
	}
	if _, err := p.unlock(c, a); err != nil {
		return nil, err
	}
	return nil, p.unlockFellow(c, a)
}

// unlockFellow gives the other CA of a rotation its key, unless it has it already.
func (p *program) unlockFellow(c *cli.Context, a *ca.Authority) error {
	f := a.Fellow()
	if f == nil || f.Unlocked() {
		return nil
	}
	if place, err := f.Place(); err != nil || !place.InDirectory() {
		if err == nil {
			err = p.unlockAt(c.Context, c, f, place)
		}
		return err
	}
	err := f.Unlock(nil)
	if !errors.Is(err, certs.ErrPassphraseNeeded) {
		return err
	}
	source := p.passphrase(c)
	secret, err := source.forExisting(err)
	if err != nil {
		return err
	}
	return source.explain(f.Unlock(secret))
}

// rotationStatus prints how the rotation stands.
func (p *program) rotationStatus(c *cli.Context, a *ca.Authority, step rotation.Request, v rotationView) error {
	s, ok, err := rotation.StatusOf(c.Context, a, step.Spots, step.ByHand, step.Now)
	if err != nil {
		return err
	}
	if ok {
		v.rotation(s.Rotation)
		v.Done = s.Done
		stage := string(s.Stage)
		v.Stage = &stage
		for _, place := range s.Places {
			v.Places = append(v.Places, viewPlace(place))
		}
		v.lacks(s.Lacks)
	} else {
		v.Old = viewRotating(a)
	}
	if err := p.show(c, v, func() { p.printRotationStatus(v) }); err != nil {
		return err
	}
	if len(v.Lacks) > 0 {
		return status(exitFindings)
	}
	return nil
}

func viewRotating(a *ca.Authority) *rotatingView {
	r := &rotatingView{ID: a.ID(), NotAfter: a.NotAfter()}
	if cert, err := certs.Import(a.CertDER()); err == nil {
		r.DN, _ = cert.Subject.Text()
	}
	return r
}

func (v *rotationView) rotation(r ca.Rotation) {
	v.UnderWay, v.Old, v.New = true, viewRotating(r.Old), viewRotating(r.New)
	if next, ok := r.Next(); ok {
		s := string(next)
		v.NextStage = &s
	}
}

func viewPlace(p rotation.Place) rotatedView {
	r := rotatedView{File: p.Shown(p.Paths(certs.Client).CA), Layout: string(p.Kind), Hosts: p.Hosts, TrustsOld: p.TrustsOld, TrustsNew: p.TrustsNew,
		OfOld: []string{}, OfNew: []string{}, Revoked: []string{}}
	if r.Hosts == nil {
		r.Hosts = []string{}
	}
	for _, role := range p.OfOld {
		r.OfOld = append(r.OfOld, role.String())
	}
	for _, role := range p.OfNew {
		r.OfNew = append(r.OfNew, role.String())
	}
	for _, role := range p.Revoked {
		r.Revoked = append(r.Revoked, role.String())
	}
	return r
}

func (v *rotationView) lacks(list []rotation.Lack) {
	for _, l := range list {
		hosts := l.Hosts
		if hosts == nil {
			hosts = []string{}
		}
		v.Lacks = append(v.Lacks, lackView{l.Where, hosts, l.What, l.Unseen})
	}
}

// printRotated prints what a stage did.
func (p *program) printRotated(c *cli.Context, a *ca.Authority, v rotationView, r rotation.Result) error {
	stage := string(r.Stage)
	v.Stage, v.Done = &stage, r.Done
	if rotation, ok := a.Rotation(); ok {
		v.rotation(rotation)
	} else {
		v.Old = viewRotating(a)
		if r.Stage == ca.PruneOld {
			v.Old, v.New = nil, v.Old
		}
	}
	v.lacks(r.Lacks)
	v.Changed = append(v.Changed, r.Changed...)
	for _, n := range r.Renewed {
		one := renewedView{Name: n.Old.Host, Role: n.Old.Role.String(), Layout: n.Old.Layout, OldSerial: n.Old.Serial, OldEnd: n.Old.NotAfter,
			Serial: n.New.Serial, NotAfter: n.New.NotAfter, KeyKept: n.KeyKept, Files: n.Files, Backups: n.Backups}
		if one.Backups == nil {
			one.Backups = []string{}
		}
		v.Renewed = append(v.Renewed, one)
	}
	if r.Proof.Handshakes > 0 {
		v.Proof = &rotationProof{r.Proof.Pairs, r.Proof.Handshakes, r.Proof.Versions}
	}
	for _, f := range r.Broken {
		v.Broken = append(v.Broken, f.String())
	}
	if r.Retired != "" {
		v.Retired = &r.Retired
	}
	if !v.DryRun && len(v.Changed)+len(v.Renewed) > 0 {
		v.Todo = append(v.Todo, "on each host, when the files are there: virt-pki reload --run   # decides between virt-admin server-update-tls and a restart")
	}
	if v.UnderWay && !v.DryRun {
		v.Todo = append(v.Todo, "then: virt-pki ca rotate "+*v.NextStage+" ...")
	}
	if err := p.show(c, v, func() { p.printStage(v) }); err != nil {
		return err
	}
	for _, b := range v.Broken {
		p.warn("did not work before either: %s", visible(b))
	}
	if len(v.Lacks) > 0 && !c.Bool("json") {
		p.printLacks(v.Lacks)
	}
	if len(v.Lacks) > 0 {
		return status(exitFindings)
	}
	return nil
}
