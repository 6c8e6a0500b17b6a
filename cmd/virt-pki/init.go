package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

func (p *program) initCommand() *cli.Command {
	return &cli.Command{
		Name:     "init",
		Category: "make",
		Usage:    "everything a new cluster needs: a CA, identities, files, proven by TLS",
		Description: `Makes a new directory with an authority and an identity for every server, client and peer
(a peer is a host that is both, for migration). With --pkipath the directory is flat, for one
server and one client; with --out it holds one tree per host, to be laid over that host's /.
The directory appears whole or not at all; nothing is ever overwritten. With --db the inventory is
in PostgreSQL from then on, and other commands find it there.

What was made is described in cluster.toml in the authority's directory: change that file, and
virt-pki plan says what follows from it.

EXAMPLES
   virt-pki init --pkipath ./pki --server localhost,127.0.0.1,::1 --client admin
   virt-pki init --out ./cluster --base 'C=GB,O=Acme' --layout libvirt,qemu \
        --peer kvm1.example.com,192.0.2.1 --peer kvm2.example.com,192.0.2.2 --client admin
   virt-pki init --out ./cluster ... --dry-run      what would be made
   virt-pki init --spec cluster.toml

EXIT STATUS
   0 made and proven   2 wrong usage   3 could not complete; then nothing was made`,
		Flags: append(append([]cli.Flag{
			&cli.StringSliceFlag{Name: "server", Usage: "`NAME[,NAME|ADDRESS...]`: a server, with all that clients call it"},
			&cli.StringSliceFlag{Name: "client", Usage: "`NAME`: a client"},
			&cli.StringSliceFlag{Name: "peer", Usage: "`NAME[,NAME|ADDRESS...]`: a host that is server and client, for migration"},
			&cli.StringFlag{Name: "pkipath", Usage: "`DIR`: make this flat directory, for one server and one client"},
			&cli.StringFlag{Name: "out", Usage: "`DIR`: make this directory, with one tree per host"},
			databaseFlag(),
			&cli.StringFlag{Name: "spec", Usage: "`FILE`: make what this cluster file says, see virt-pki plan --example"},
			&cli.BoolFlag{Name: "prove-every-pair", Usage: "connect every server with every client even if these are more than 100,000 pairs"},
			&cli.StringFlag{Name: "ca-subject", Usage: "`DN`: the CA's name", Value: "CN=virt-pki CA", DefaultText: "that of --base and CN=virt-pki CA"},
			&cli.StringFlag{Name: "ca-key-type", Usage: "`TYPE`: of the CA's key, as in --key-type"},
			&cli.StringFlag{Name: "ca-lifetime", Usage: "`SPAN`: how long the CA lasts (10y, 3650d)", Value: "10y"},
			&cli.StringSliceFlag{Name: "permit", Usage: "`NAME|NET`: the CA may certify only what is in it (name constraint)"},
			&cli.StringSliceFlag{Name: "exclude", Usage: "`NAME|NET`: the CA may certify nothing in it"},
			&cli.StringFlag{Name: "ca-cert", Usage: "`FILE`: take over this CA (PEM) instead of making one; needs --ca-key"},
			&cli.StringFlag{Name: "ca-key", Usage: "`FILE|URI`: the private key of --ca-cert, in PEM or in a token (pkcs11:...); without --ca-cert a new CA's key is made in the token"},
			&cli.StringFlag{Name: "ca-key-passphrase-file", Usage: "`FILE`: with the passphrase of --ca-key; without it that of the new key is tried"},
		}, append(policyFlags(false), append(identityFlags(), signerFlags()...)...)...), passphraseFlags()...),
		Action: p.init,
	}
}

// policyFlags say for whom the authority's certificates must work. issue has them hidden, to say where that is settled.
func policyFlags(hidden bool) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "libvirt", Hidden: hidden, DefaultText: "9.0",
			Usage: "`VERSION,...`: the oldest libvirt among all peers, or all of theirs"},
		&cli.BoolFlag{Name: "strict-key-usage", Hidden: hidden,
			Usage: "no keyEncipherment on EC keys (RFC 8813); libvirt before 11.6 refuses that"},
	}
}

// identityFlags are those of init and issue.
func identityFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "layout", Usage: "`LAYOUT,...`: of each tree: libvirt, user, qemu, libvirt-vnc, -spice, -chardev, -migrate, -nbd, -backup", DefaultText: "libvirt"},
		&cli.StringFlag{Name: "base", Usage: "`DN`: begins every subject, before CN=NAME", DefaultText: "the CA's name without its CN"},
		&cli.StringFlag{Name: "key-type", Usage: "`TYPE`: of keys: ecdsa-p256, ecdsa-p384, ecdsa-p521, rsa2048, rsa3072, rsa4096, ed25519", DefaultText: "ecdsa-p256"},
		&cli.StringFlag{Name: "lifetime", Usage: "`SPAN`: how long certificates last (90d, 2y)", DefaultText: "365d"},
		&cli.StringFlag{Name: "qemu-group", Usage: "`GROUP`: that QEMU runs as, and that may read its keys (kvm, qemu)"},
		&cli.BoolFlag{Name: "private-client-key", Usage: "system client keys with mode 0600: only root connects, and virt-pki-validate complains"},
		&cli.StringFlag{Name: "home", Usage: "`DIR`: the home directory for the layout user", DefaultText: "/home/NAME"},
		&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "check everything and show what would be made; make nothing"},
		jsonFlag(), quietFlag(),
	}
}

func (p *program) init(c *cli.Context) error {
	if c.Args().Present() {
		return usage("init takes no argument %q", c.Args().First()).
			hint("name hosts with --server, --client and --peer")
	}
	if c.IsSet("spec") {
		return p.initFromFile(c)
	}
	spec, err := p.spec(c)
	if err != nil {
		return err
	}
	for _, r := range []struct {
		flag string
		role certs.Role
	}{{"peer", certs.Peer}, {"server", certs.Server}, {"client", certs.Client}} {
		for _, text := range c.StringSlice(r.flag) {
			m, err := cluster.ParseMember(r.role, text)
			if err != nil {
				return invalid("--"+r.flag, text, cause(err))
			}
			spec.Members = append(spec.Members, m)
		}
	}
	if len(spec.Members) == 0 {
		return usage("init needs a --server, --client or --peer").
			hint("virt-pki init --pkipath ./pki --server localhost,127.0.0.1 --client admin")
	}
	policy, err := policy(c)
	if err != nil {
		return err
	}
	double, found, err := p.foundation(c, spec, policy, asked{func() (ca.Spec, error) { return askedByFlags(c, policy, spec.Now) }, true})
	if err != nil {
		return err
	}
	if err := defaultBase(c, &spec, double); err != nil {
		return err
	}
	description, err := describe(c, spec, double)
	if err != nil {
		return err
	}
	return p.make(c, spec, double, found, description)
}

// make makes a new cluster of which everything is decoded. The description is what is kept with the authority, nil: nothing.
func (p *program) make(c *cli.Context, spec cluster.Spec, double *ca.Authority, found founding, description []byte) error {
	plan, err := spec.Plan(double)
	if err != nil {
		return err
	}
	if err := plan.Free(); err != nil { // before a passphrase is asked for
		return err
	}
	if !c.Bool("dry-run") {
		if err := p.checkDatabase(c); err != nil {
			return err
		}
	}
	v := makeView{Schema: 1, Dir: spec.Dir, Authority: p.viewAuthority(double, filepath.Join(spec.Dir, cluster.AuthorityName))}
	v.Authority.isNew = true
	v.Authority.KeyPlace = found.where
	if c.Bool("dry-run") {
		v.DryRun = true
		v.plan(plan)
		return p.show(c, v, func() { p.printMade(v) })
	}
	var secret []byte
	if found.inDirectory {
		if secret, err = p.passphrase(c).forNew(); err != nil {
			return err
		}
	}
	show, done := p.progress(c.Bool("quiet"))
	begun := p.now()
	made, err := plan.Make(c.Context, func(ctx context.Context, dir string) (*ca.Authority, error) {
		return found.authority(ctx, dir, secret)
	}, cluster.Options{WriteOptions: writeOptions(), Progress: show, EveryPair: c.Bool("prove-every-pair"), Description: description})
	done()
	found.settle(err == nil)
	if err != nil {
		return err
	}
	if err := p.settleInventory(c, v.Authority.Dir); err != nil {
		return err
	}
	v.Authority.Encrypted = len(secret) > 0 || !found.inDirectory
	v.made(made, p.now().Sub(begun))
	v.next(spec, made, v.Authority.Dir, true)
	return p.show(c, v, func() { p.printMade(v) })
}

// A founding makes the authority of a new cluster.
type founding struct {
	authority func(ctx context.Context, dir string, secret []byte) (*ca.Authority, error)
	// inDirectory says that the CA's key lies in the authority's directory; otherwise where says where.
	inDirectory bool
	where       string
	// settle is called when all is made, or not.
	settle func(ok bool)
}

// found makes a founding whose key lies in the authority's directory.
func found(authority func(context.Context, string, []byte) (*ca.Authority, error)) founding {
	return founding{authority: authority, inDirectory: true, settle: func(bool) {}}
}

// asked says what CA is to be made.
type asked struct {
	spec func() (ca.Spec, error)
	// staged says that it is made within a new cluster, which appears whole.
	staged bool
}

// askedByFlags decodes the flags that describe a new CA.
func askedByFlags(c *cli.Context, policy ca.Policy, now time.Time) (ca.Spec, error) {
	cs := ca.Spec{Policy: policy, Now: now}
	var err error
	subject := c.String("ca-subject")
	if !c.IsSet("ca-subject") && c.IsSet("base") {
		subject = c.String("base") + "," + subject
	}
	if cs.Subject, err = parseDN("--ca-subject", subject); err != nil {
		return cs, err
	}
	if t := c.String("ca-key-type"); t != "" {
		if cs.Key, err = certs.ParseKeyAlgorithm(t); err != nil {
			return cs, invalid("--ca-key-type", t, err)
		}
	}
	span, err := parseSpan(c.String("ca-lifetime"))
	if err != nil || span < time.Minute {
		return cs, usage("--ca-lifetime %s: not a length of time such as 10y or 3650d", shellQuote(c.String("ca-lifetime")))
	}
	cs.NotAfter = now.Add(span)
	for _, l := range []struct {
		flag     string
		excluded bool
	}{{"permit", false}, {"exclude", true}} {
		for _, text := range c.StringSlice(l.flag) {
			if err := cs.Constraints.ParseConstraint(text, l.excluded); err != nil {
				return cs, invalid("--"+l.flag, text, err)
			}
		}
	}
	return cs, nil
}

// foundation gives a double of the authority for the plan, and what makes the real one.
func (p *program) foundation(c *cli.Context, spec cluster.Spec, policy ca.Policy, ask asked) (*ca.Authority, founding, error) {
	place, elsewhere, err := p.place(c)
	switch {
	case err != nil:
		return nil, founding{}, err
	case place.Remote != nil:
		return p.remoteFoundation(c, spec, policy, place, ask.staged)
	case !elsewhere && c.IsSet("ca-cert") != c.IsSet("ca-key"):
		return nil, founding{}, usage("--ca-cert and --ca-key go together").hint("without --ca-cert: --ca-key pkcs11:... makes a new CA's key in a token")
	case c.IsSet("ca-cert"):
		return p.adoption(c, spec, policy, place, ask.staged)
	}
	cs, err := ask.spec()
	if err != nil {
		return nil, founding{}, err
	}
	cs.Staged = ask.staged
	double, err := cs.Rehearse()
	if err != nil {
		return nil, founding{}, err
	}
	if !elsewhere {
		return double, found(func(ctx context.Context, dir string, secret []byte) (*ca.Authority, error) {
			cs.Passphrase = secret
			return ca.Create(ctx, dir, cs)
		}), nil
	}
	settle := func(bool) {}
	return double, founding{where: place.String(), settle: func(ok bool) { settle(ok) },
		authority: func(ctx context.Context, dir string, _ []byte) (*ca.Authority, error) {
			key, err := p.newKey(c, ctx, place, cs.Key)
			if err != nil {
				return nil, err
			}
			settle = func(ok bool) { p.settleKey(key, ok) }
			cs.Signer, cs.Place = key, place
			return ca.Create(ctx, dir, cs)
		}}, nil
}

// adoption is foundation for a CA that exists.
func (p *program) adoption(c *cli.Context, spec cluster.Spec, policy ca.Policy, place ca.Place, staged bool) (*ca.Authority, founding, error) {
	if err := onlyForNew(c, "--ca-cert"); err != nil {
		return nil, founding{}, err
	}
	ad := ca.Adoption{CertPath: c.String("ca-cert"), KeyPath: c.String("ca-key"), Policy: policy, Now: spec.Now, Staged: staged}
	var err error
	if ad.Cert, err = p.read("the CA certificate", ad.CertPath); err != nil {
		return nil, founding{}, err
	}
	if !place.InDirectory() {
		return p.tokenAdoption(c, ad, place)
	}
	if ad.Key, err = p.read("the CA key", ad.KeyPath); err != nil {
		return nil, founding{}, err
	}
	source := p.passphrase(c)
	if c.IsSet("ca-key-passphrase-file") {
		source.file, source.none = c.String("ca-key-passphrase-file"), false
	}
	if _, err := certs.ParseKey(ad.Key, nil); errors.Is(err, certs.ErrPassphraseNeeded) {
		if ad.KeyPassphrase, err = source.forExisting(fmt.Errorf("reading the CA key %q: %w", ad.KeyPath, err)); err != nil {
			return nil, founding{}, err
		}
	}
	double, err := ad.Rehearse()
	if err != nil {
		return nil, founding{}, source.explain(err)
	}
	return double, found(func(ctx context.Context, dir string, secret []byte) (*ca.Authority, error) {
		ad.Passphrase = secret
		return ca.Adopt(ctx, dir, ad)
	}), nil
}

// onlyForNew refuses flags that are for a new CA.
func onlyForNew(c *cli.Context, flag string) error {
	for _, f := range []string{"ca-subject", "ca-key-type", "ca-lifetime", "permit", "exclude"} {
		if c.IsSet(f) {
			return usage("--%s is for a new CA; %s takes one over", f, flag)
		}
	}
	return nil
}

// spec decodes the flags that init and issue share, members aside.
func (p *program) spec(c *cli.Context) (cluster.Spec, error) {
	s := cluster.Spec{QEMUGroup: c.String("qemu-group"), PrivateClientKey: c.Bool("private-client-key"), Now: p.now()}
	switch flat, out := c.String("pkipath"), c.String("out"); {
	case flat != "" && out != "":
		return s, usage("--pkipath and --out exclude each other: one flat directory, or one tree per host")
	case flat == "" && out == "":
		return s, usage("%s needs --pkipath DIR or --out DIR", strings.TrimPrefix(c.Command.HelpName, "virt-pki ")).
			hint("--pkipath for one flat directory, --out for one tree per host")
	case flat != "":
		if c.IsSet("layout") && c.String("layout") != string(layout.PkiPath) {
			return s, usage("--layout %s goes with --out; --pkipath is a layout of its own", c.String("layout"))
		}
		s.Dir, s.Kinds = flat, []layout.Kind{layout.PkiPath}
	default:
		s.Dir = out
		for _, name := range strings.Split(c.String("layout"), ",") {
			if name == "" {
				name = string(layout.Libvirt)
			}
			k, err := layout.ParseKind(strings.TrimSpace(name))
			if err != nil {
				return s, invalid("--layout", name, err)
			}
			if k == layout.PkiPath {
				return s, usage("the layout pkipath is made with --pkipath DIR, without --out")
			}
			s.Kinds = append(s.Kinds, k)
		}
	}
	var err error
	if base := c.String("base"); base != "" {
		if s.Base, err = parseDN("--base", base); err != nil {
			return s, err
		}
	}
	if t := c.String("key-type"); t != "" {
		if s.Key, err = certs.ParseKeyAlgorithm(t); err != nil {
			return s, invalid("--key-type", t, err)
		}
	}
	if t := c.String("lifetime"); t != "" {
		span, err := parseSpan(t)
		if err != nil || span < time.Minute {
			return s, usage("--lifetime %s: not a length of time such as 365d or 2y", shellQuote(t))
		}
		s.NotAfter = s.Now.Add(span)
	}
	if home := c.String("home"); home != "" {
		if !filepath.IsAbs(home) {
			return s, usage("--home %s: the path must be absolute, as on the machine it is for", shellQuote(home))
		}
		s.Homes = func(string) string { return home }
	}
	return s, nil
}

// defaultBase lets subjects begin as the authority's does, so that those made later look like those of init.
func defaultBase(c *cli.Context, s *cluster.Spec, a *ca.Authority) error {
	if c.IsSet("base") {
		return nil
	}
	cert, err := certs.Import(a.CertDER())
	if err != nil {
		return fmt.Errorf("reading the CA certificate: %w", err)
	}
	s.Base = cluster.BaseOf(cert.Subject)
	return nil
}

// policy decodes for whom certificates must work.
func policy(c *cli.Context) (ca.Policy, error) {
	o := ca.Policy{StrictKeyUsage: c.Bool("strict-key-usage")}
	if c.String("libvirt") == "" {
		return o, nil
	}
	named, err := versions(c)
	if err != nil {
		return o, err
	}
	return cluster.PolicyFor(named, o.StrictKeyUsage), nil
}

// writeOptions gives files to whom they belong where this process may.
func writeOptions() layout.WriteOptions {
	return layout.WriteOptions{
		SetOwners: os.Geteuid() == 0, UID: os.Geteuid(), GID: os.Getegid(),
		LookupGroup: func(name string) (int, error) {
			g, err := user.LookupGroup(name)
			if err != nil {
				return 0, err
			}
			return strconv.Atoi(g.Gid)
		},
	}
}

// cause gives the innermost message that a person needs, without what the caller names itself.
func cause(err error) error {
	var m *cluster.MemberError
	if errors.As(err, &m) {
		return m.Err
	}
	return err
}
