package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/dnmatch"
	"github.com/virt-pki/virt-pki/pkg/inventory"
	"github.com/virt-pki/virt-pki/pkg/remote"
)

func (p *program) caServeCommand() *cli.Command {
	return &cli.Command{
		Name: "serve", Usage: "sign for other operators' machines, so that the CA's key stays on this one",
		Description: `Serves cfssl's signing API (info and authsign). Other machines use it with --signer; cfssl's own
tools can, too, with the profiles server, client and peer. Whatever is asked for passes the same
checks as with virt-pki issue, under this authority's policy, and is in the inventory before it is
given out. Requests carry an HMAC of a shared key; over TLS, clients need a certificate as well.
One of this authority's that is revoked, or that the inventory does not know, is not let in.

Without TLS it listens on loopback addresses only, unless --plain is given. It logs each request
on standard error, and ends on SIGTERM or Ctrl-C when the requests in work are answered. The files
of TLS are read again when they have changed; a request from before the start is not answered.
Revocation lists are made on this machine: virt-pki crl publish.

EXAMPLES
   virt-pki ca serve --authority ./authority --auth-key auth.key
   virt-pki ca serve --authority ./authority --auth-key auth.key --listen 192.0.2.10:8888 \
        --tls-cert servercert.pem --tls-key serverkey.pem --client-ca cacert.pem \
        --allow 'O=Acme,CN=operator*'

EXIT STATUS
   0 ended as it was told   2 wrong usage   3 could not complete`,
		Flags: append(append(authorityFlags(), []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: "127.0.0.1:8888", Usage: "`HOST:PORT`: listen there"},
			&cli.StringFlag{Name: "auth-key", Usage: "`FILE`: the HMAC key, in hexadecimal digits"},
			&cli.StringFlag{Name: "tls-cert", Usage: "`FILE`: speak TLS, with this certificate"},
			&cli.StringFlag{Name: "tls-key", Usage: "`FILE`: the private key of --tls-cert"},
			&cli.StringFlag{Name: "client-ca", Usage: "`FILE`: clients need a certificate of this CA"},
			&cli.StringSliceFlag{Name: "allow", Usage: "`PATTERN`: only clients whose name it matches, as in tls_allowed_dn_list"},
			&cli.BoolFlag{Name: "plain", Usage: "listen without TLS beyond this machine"},
			&cli.DurationFlag{Name: "timeout", Value: remote.DefaultTimeout, Usage: "`TIME`: limit of each request"},
			&cli.StringFlag{Name: "ca-key", Usage: "`FILE|URI`: the CA's key, when it is elsewhere than the authority says: a PEM file or pkcs11:..."},
			quietFlag(),
		}...), passphraseFlags()...),
		Action: p.caServe,
	}
}

func (p *program) caServe(c *cli.Context) error {
	if c.Args().Present() {
		return usage("ca serve takes no argument %s", quote(c.Args().First())).hint("name the authority with --authority")
	}
	o, err := p.serverOptions(c)
	if err != nil {
		return err
	}
	a, err := p.openAuthority(c)
	if err != nil {
		return err
	}
	defer a.Close()
	place, err := a.Place()
	if err != nil {
		return err
	}
	if place.Remote != nil && !c.IsSet("ca-key") {
		return &hintedError{fmt.Errorf("the CA's key of the authority in %q is not here, but %s", a.Dir(), place), []string{"serve where the key is"}}
	}
	// What is in work when it is told to end still needs the key.
	if _, err := p.unlockIn(context.WithoutCancel(c.Context), c, a); err != nil {
		return err
	}
	o.Signer = servedAuthority{p, a}
	var allow *dnmatch.List
	if patterns := c.StringSlice("allow"); len(patterns) > 0 {
		if allow, err = dnmatch.NewList(patterns); err != nil {
			return &usageError{"--allow: " + err.Error(), hints(err)}
		}
	}
	o.Admit, o.Name = p.admission(a, o.TLS, allow), gnutlsName
	listener, err := new(net.ListenConfig).Listen(c.Context, "tcp", c.String("listen"))
	if err != nil {
		return fmt.Errorf("serving: %w", err)
	}
	if !c.Bool("quiet") {
		how := "TLS"
		if o.TLS == nil {
			how = "plain"
		}
		name := a.Dir()
		if chain, err := a.Certificates(); err == nil {
			name, _ = chain[0].Subject.Text()
		}
		fmt.Fprintf(p.stderr, "virt-pki: serving %s on %s, %s\n", visible(name), listener.Addr(), how)
		o.Log = p.accessLog()
	}
	return remote.Serve(c.Context, listener, o)
}

// serverOptions decodes the flags.
func (p *program) serverOptions(c *cli.Context) (remote.ServerOptions, error) {
	o := remote.ServerOptions{Now: p.now, Begun: p.now(), Timeout: c.Duration("timeout")}
	address := c.String("listen")
	if _, _, err := net.SplitHostPort(address); err != nil {
		return o, invalid("--listen", address, errors.New("not HOST:PORT"))
	}
	if o.Timeout < time.Second || o.Timeout > time.Hour {
		return o, usage("--timeout %s: from 1s to 1h", o.Timeout)
	}
	named := 0
	for _, f := range []string{"tls-cert", "tls-key", "client-ca"} {
		if c.String(f) != "" {
			named++
		}
	}
	switch {
	case named != 0 && named != 3:
		return o, usage("--tls-cert, --tls-key and --client-ca go together")
	case named != 0 && c.Bool("plain"):
		return o, usage("--plain excludes --tls-cert")
	case named == 0 && len(c.StringSlice("allow")) > 0:
		return o, usage("--allow is about the names in clients' certificates; it needs TLS").hint("--tls-cert FILE --tls-key FILE --client-ca FILE")
	case named == 0 && !remote.Loopback(address) && !c.Bool("plain"):
		return o, usage("--listen %s without TLS: whoever is in between reads along", shellQuote(address)).
			hint("speak TLS: --tls-cert FILE --tls-key FILE --client-ca FILE").hint("if it is a tunnel's end: --plain")
	case c.String("auth-key") == "":
		return o, usage("ca serve needs --auth-key").hint("%s", (&remote.AuthKeyError{}).Hints()[0])
	}
	text, err := p.read("the HMAC key", c.String("auth-key"))
	if err != nil {
		return o, err
	}
	defer clear(text)
	if o.AuthKey, err = remote.ParseAuthKey(text); err != nil {
		return o, &fileError{c.String("auth-key"), "reading the HMAC key", err}
	}
	if named == 0 {
		return o, nil
	}
	served, err := newServedTLS(p, [3]string{c.String("tls-cert"), c.String("tls-key"), c.String("client-ca")}, c.Bool("quiet"))
	if err != nil {
		return o, err
	}
	o.TLS = served.Config()
	return o, nil
}

// servedAuthority signs for remote operators.
type servedAuthority struct {
	program *program
	*ca.Authority
}

// Sign signs one request.
func (s servedAuthority) Sign(ctx context.Context, r remote.Request) ([]byte, string, error) {
	i, err := s.SignRequest(ctx, s.program.now(), r)
	if err != nil {
		return nil, "", err
	}
	return i.PEM(), fmt.Sprintf("%s %s, serial %s", i.Order.Role, visible(i.Entry.Subject), i.Entry.Serial), nil
}

// CA gives the CA's certificate and those above it.
func (s servedAuthority) CA() []byte { return s.BundlePEM() }

// Lifetime is the policy's.
func (s servedAuthority) Lifetime() time.Duration { return s.Policy().Lifetime }

// admission judges clients' certificates: their names, and whether one of the authority's own is good.
func (p *program) admission(a *ca.Authority, config *tls.Config, allow *dnmatch.List) func(context.Context, *x509.Certificate) error {
	if config == nil {
		return nil
	}
	return func(ctx context.Context, client *x509.Certificate) error {
		cert, err := certs.Import(client.Raw)
		if err != nil {
			return err
		}
		name, err := cert.Subject.Text()
		if err != nil {
			return err
		}
		if allow != nil {
			if _, ok := allow.Match(name); !ok {
				return fmt.Errorf("%q is not among those that are let in", name)
			}
		}
		key, err := a.KeyOf(cert)
		var stranger *ca.StrangerError
		if errors.As(err, &stranger) { // of another CA
			return nil
		}
		if err != nil {
			return err
		}
		e, err := a.Inventory().Get(ctx, key)
		switch {
		case errors.Is(err, inventory.ErrNotFound):
			return fmt.Errorf("the certificate of %q is not in the inventory", name)
		case err != nil:
			return err
		case e.Revoked != nil:
			return fmt.Errorf("the certificate of %q is revoked", name)
		}
		return nil
	}
}

// gnutlsName gives a certificate's subject as libvirt writes it.
func gnutlsName(client *x509.Certificate) string {
	cert, err := certs.Import(client.Raw)
	if err != nil {
		return ""
	}
	name, _ := cert.Subject.Text()
	return name
}

// accessLog writes one line for each request.
func (p *program) accessLog() func(remote.Access) {
	var one sync.Mutex
	return func(a remote.Access) {
		one.Lock()
		defer one.Unlock()
		words := []string{a.Time.UTC().Format(time.RFC3339)}
		if a.Path != "" {
			client := a.Client
			if client == "" {
				client = "-"
			}
			words = append(words, a.Remote, quote(client), quote(a.Path), fmt.Sprint(a.Status), a.Took.Round(time.Millisecond).String())
		}
		fmt.Fprintln(p.stderr, strings.Join(append(words, visible(a.Done)), " "))
	}
}
