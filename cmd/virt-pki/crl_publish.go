package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/crl"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/revocation"
)

func (p *program) crlPublishCommand() *cli.Command {
	return &cli.Command{
		Name: "publish", Usage: "make the next revocation list and put it where daemons look for it",
		Description: `Signs a list of everything that is revoked, with the next number, into cacrl.pem of the authority,
and puts it into every layout that is in the directories named and trusts this authority: libvirt's
cacrl.pem, QEMU's ca-crl.pem. Each file is replaced at once; a list is never replaced by an older
one; lists of other CAs in the same file stay. Before, everything is looked at, and where one
place is in the way nothing is written to any.

libvirt reads its list when the daemon starts and on "virt-admin server-update-tls" (default paths
only), a client at every connection. It never notices that a list is stale: publish in time.

EXAMPLES
   virt-pki crl publish --out ./cluster
   virt-pki crl publish --pkipath ./pki --dry-run
   virt-pki crl publish --authority ./authority --root /          into this machine's /etc/pki
   virt-pki crl publish --current --authority ./authority --root /mnt/kvm3      no new list, no key

EXIT STATUS
   0 published   2 wrong usage   3 could not complete`,
		Flags: append(placedFlags(), append([]cli.Flag{
			&cli.StringFlag{Name: "lifetime", Usage: "`SPAN`: until the next list is due", DefaultText: "30d"},
			&cli.BoolFlag{Name: "current", Usage: "put the list that is there into more places; make none"},
			dryRunFlag(), jsonFlag(), quietFlag(),
		}, keyFlags()...)...),
		Action: p.withSpec(p.crlPublish),
	}
}

// A publishView is the answer of crl publish.
type publishView struct {
	Schema    int          `json:"schema"`
	DryRun    bool         `json:"dry_run,omitempty"`
	Authority string       `json:"authority"`
	File      string       `json:"file"`
	Issuer    string       `json:"issuer"`
	Number    *big.Int     `json:"number"`
	This      time.Time    `json:"this_update"`
	Next      time.Time    `json:"next_update"`
	Count     int          `json:"count"`
	Changes   *changesView `json:"changes"`
	Places    []placeView  `json:"places"`
	Todo      []string     `json:"next"`
}

type placeView struct {
	File   string `json:"file"`
	Layout string `json:"layout"`
	Status string `json:"status"`
}

func (p *program) crlPublish(c *cli.Context) error {
	if c.Args().Present() {
		return usage("crl publish takes no argument %s", quote(c.Args().First())).hint("name places with --out, --pkipath and --root")
	}
	life := ca.ListLife
	if s := c.String("lifetime"); s != "" {
		var err error
		if life, err = parseSpan(s); err != nil {
			return invalid("--lifetime", s, err)
		}
		if life < time.Minute {
			return usage("--lifetime %s: at least a minute", shellQuote(s))
		}
	}
	spots, err := p.spots(c)
	if err != nil {
		return err
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	chain, err := a.Certificates()
	if err != nil {
		return err
	}
	v := publishView{Schema: 1, DryRun: c.Bool("dry-run"), Authority: a.Dir(), File: a.CRLPath(), Places: []placeView{}, Todo: []string{}}
	v.Issuer, _ = chain[0].Subject.Text()
	if v.DryRun && !c.Bool("current") {
		return p.crlForecast(c, a, spots, life, v)
	}
	list, _, err := a.CRL()
	if err != nil {
		return err
	}
	if c.Bool("current") {
		if list == nil {
			return &hintedError{fmt.Errorf("the authority in %q has no revocation list yet", a.Dir()), []string{"without --current one is made"}}
		}
	} else {
		// What is in the way of publishing is found before a list is made.
		if list != nil {
			if _, err := revocation.Publish(spots, chain[0], list, true); err != nil {
				var older *crl.OlderError
				if !errors.As(err, &older) {
					return err
				}
			}
		}
		if _, err := p.unlock(c, a); err != nil {
			return err
		}
		made, err := a.MakeList(c.Context, p.now(), life)
		if err != nil {
			return err
		}
		list = made.List
		if err := p.waitUntil(c.Context, list.ThisUpdate); err != nil {
			return err
		}
		changes, err := viewChanges(made.Previous, made.List)
		if err != nil {
			return err
		}
		v.Changes = &changes
	}
	v.Number, v.This, v.Next, v.Count = list.Number, list.ThisUpdate, list.NextUpdate, list.Len()
	posted, err := revocation.Publish(spots, chain[0], list, v.DryRun)
	if err != nil {
		return err
	}
	if posted, err = p.publishFellow(c, a, spots, life, posted); err != nil {
		return err
	}
	v.places(posted)
	return p.show(c, v, func() { p.printPublished(v) })
}

// publishFellow does for the other CA, while the CA is being replaced by one of another name, what was done for the one that
// issues: libvirt takes the lists of both from one file.
func (p *program) publishFellow(c *cli.Context, a *ca.Authority, spots []layout.Spot, life time.Duration, posted []revocation.Posted) ([]revocation.Posted, error) {
	r, ok := a.Rotation()
	if !ok || a.Fellow() == nil || r.SameSubject {
		return posted, nil
	}
	f := a.Fellow()
	issuer, err := certs.Import(f.CertDER())
	if err != nil {
		return nil, err
	}
	list, _, err := f.CRL()
	if err != nil {
		return nil, err
	}
	if !c.Bool("current") {
		if err := p.unlockFellow(c, a); err != nil {
			return nil, err
		}
		made, err := f.MakeList(c.Context, p.now(), life)
		if err != nil {
			return nil, err
		}
		list = made.List
		if err := p.waitUntil(c.Context, list.ThisUpdate); err != nil {
			return nil, err
		}
	}
	if list == nil {
		return posted, nil
	}
	also, err := revocation.Publish(spots, issuer, list, c.Bool("dry-run"))
	if err != nil {
		return nil, err
	}
	for i := range also { // the same places, in the same order
		if also[i].Fate == revocation.Placed {
			posted[i].Fate = revocation.Placed
		}
	}
	return posted, nil
}

// waitUntil lets the second pass that a list is ahead of the clock when another was made in this one: dates of lists rise
// strictly, and none is to be published that is from the future.
func (p *program) waitUntil(ctx context.Context, t time.Time) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(t.Sub(p.now())):
		return nil
	}
}

// crlForecast says what publish would do. The list is not signed; places are judged with the list that is there.
func (p *program) crlForecast(c *cli.Context, a *ca.Authority, spots []layout.Spot, life time.Duration, v publishView) error {
	revoked, err := a.Inventory().Revoked(c.Context, a.ID())
	if err != nil {
		return err
	}
	v.Count, v.This, v.Number = len(revoked), p.now().UTC().Truncate(time.Second), big.NewInt(1)
	v.Next = v.This.Add(life)
	last, err := a.Inventory().LastList(c.Context, a.ID())
	switch {
	case err == nil:
		v.Number = new(big.Int).Add(last.Number, big.NewInt(1))
	case !errors.Is(err, inventory.ErrNotFound):
		return err
	}
	own, _, err := a.CRL()
	if err != nil {
		return err
	}
	if own != nil && own.Number != nil && own.Number.Cmp(v.Number) >= 0 {
		v.Number = new(big.Int).Add(own.Number, big.NewInt(1))
	}
	chain, err := a.Certificates()
	if err != nil {
		return err
	}
	posted, err := revocation.Publish(spots, chain[0], nil, true)
	if err != nil {
		return err
	}
	v.places(posted)
	return p.show(c, v, func() { p.printPublished(v) })
}

// places fills the view with what was done, and with what is to be done for it to have an effect.
func (v *publishView) places(posted []revocation.Posted) {
	system, flat, qemu := false, false, false
	for _, d := range posted {
		v.Places = append(v.Places, placeView{d.Path, string(d.Kind), string(d.Fate)})
		if d.Fate != revocation.Placed || v.DryRun {
			continue
		}
		switch {
		case d.Kind.ForQEMU():
			qemu = true
		case d.Kind == layout.Libvirt:
			system = true
		default:
			flat = true
		}
	}
	if system {
		v.Todo = append(v.Todo, "on each host, when the file is there: virt-admin -c libvirtd:///system server-update-tls libvirtd   # modular: virtproxyd")
	}
	if flat {
		v.Todo = append(v.Todo, "restart a daemon whose configuration names these files: server-update-tls reads the default paths only")
	}
	if qemu {
		v.Todo = append(v.Todo, "QEMU reads its list when a guest or a migration starts; VNC: virsh domdisplay-reload")
	}
}

func (p *program) printPublished(v publishView) {
	w := p.stdout
	verb := "published"
	if v.DryRun {
		verb = "would publish"
	}
	fmt.Fprintf(w, "%s CRL of %s: number %v, %s revoked, next by %s\n", verb, visible(v.Issuer), v.Number, plural(v.Count, "certificate"),
		v.Next.Format("2006-01-02 15:04:05"))
	if v.Changes != nil {
		for _, e := range v.Changes.Added {
			fmt.Fprintf(w, "  + %s\n", e.text())
		}
		for _, e := range v.Changes.Removed {
			fmt.Fprintf(w, "  - %s\n", e.text())
		}
	}
	fmt.Fprintf(w, "  %-16s %s\n", "authority", v.File)
	for _, s := range v.Places {
		fmt.Fprintf(w, "  %-16s %s", s.Layout, s.File)
		if s.Status != string(revocation.Placed) {
			fmt.Fprintf(w, " (%s)", s.Status)
		}
		fmt.Fprintln(w)
	}
	if len(v.Places) == 0 && !v.DryRun {
		p.warn("no daemon sees it there")
		p.hint("put it into layouts with --out, --pkipath or --root, or copy %s to /etc/pki/CA/cacrl.pem", shellQuote(filepath.Clean(v.File)))
	}
	if len(v.Todo) > 0 {
		fmt.Fprintf(w, "\nnext:\n")
		for _, n := range v.Todo {
			fmt.Fprintf(w, "  %s\n", n)
		}
	}
}
