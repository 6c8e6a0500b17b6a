package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/remote"
	"github.com/virt-pki/virt-pki/pkg/token"
)

// signerFlags say where the CA's key is, besides the authority's directory. init writes it into the authority's signer.json;
// for the other commands that is the default.
func signerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "signer", Usage: "`URL`: have certificates signed by virt-pki ca serve or cfssl serve: cfssl://HOST:PORT"},
		&cli.StringFlag{Name: "signer-auth-key", Usage: "`FILE`: the HMAC key for --signer, in hexadecimal digits"},
		&cli.StringFlag{Name: "signer-ca", Usage: "`FILE`: speak TLS with --signer, and trust this CA for it"},
		&cli.StringFlag{Name: "signer-cert", Usage: "`FILE`: this machine's TLS certificate for --signer"},
		&cli.StringFlag{Name: "signer-cert-key", Usage: "`FILE`: the private key of --signer-cert"},
		&cli.DurationFlag{Name: "signer-timeout", Usage: "`TIME`: limit of each request to --signer", DefaultText: remote.DefaultTimeout.String()},
	}
}

// keyFlags are those of commands that use the CA's key.
func keyFlags() []cli.Flag {
	return append(append([]cli.Flag{
		&cli.StringFlag{Name: "ca-key", Usage: "`FILE|URI`: the CA's key, when it is elsewhere than the authority says: a PEM file or pkcs11:..."},
	}, signerFlags()...), passphraseFlags()...)
}

// place decodes where the flags say that the CA's key is; ok is false when they do not.
func (p *program) place(c *cli.Context) (_ ca.Place, ok bool, err error) {
	if url := c.String("signer"); url != "" {
		r, err := remotePlace(c, url)
		return ca.Place{Remote: r}, true, err
	}
	for _, f := range []string{"signer-auth-key", "signer-ca", "signer-cert", "signer-cert-key", "signer-timeout"} {
		if c.IsSet(f) {
			return ca.Place{}, false, usage("--%s belongs to --signer", f).hint("--signer cfssl://HOST:PORT")
		}
	}
	text := c.String("ca-key")
	if !token.IsURI(text) {
		return ca.Place{}, false, nil
	}
	u, err := tokenURI("--ca-key", text)
	return ca.Place{Token: u.String()}, true, err
}

// tokenURI reads a URI from the command line.
func tokenURI(flag, text string) (token.URI, error) {
	u, err := token.ParseURI(text)
	switch {
	case err != nil: // without the text: it may hold a PIN
		return u, &usageError{flag + " pkcs11:...: " + err.Error(), hints(err)}
	case u.PINValue != nil:
		return u, usage("%s pkcs11:...: the PIN does not belong into the command line, where every user of this machine sees it", flag).
			hint("put it into a file that only you can read, and name that: ?pin-source=file:/root/pin")
	}
	return u, nil
}

// remotePlace decodes --signer and what belongs to it.
func remotePlace(c *cli.Context, url string) (*ca.RemotePlace, error) {
	u, err := remote.ParseURL(url)
	if err != nil {
		return nil, invalid("--signer", url, err)
	}
	if c.IsSet("ca-key") {
		return nil, usage("--signer and --ca-key exclude each other")
	}
	r := &ca.RemotePlace{URL: u.String()}
	for _, f := range []struct {
		flag string
		into *string
	}{{"signer-auth-key", &r.AuthKey}, {"signer-ca", &r.CA}, {"signer-cert", &r.Cert}, {"signer-cert-key", &r.Key}} {
		if name := c.String(f.flag); name != "" {
			if *f.into, err = filepath.Abs(name); err != nil {
				return nil, err
			}
		}
	}
	switch {
	case r.AuthKey == "":
		return nil, usage("--signer needs --signer-auth-key").hint("%s", (&remote.AuthKeyError{}).Hints()[0])
	case (r.Cert == "") != (r.Key == ""):
		return nil, usage("--signer-cert and --signer-cert-key go together")
	}
	if c.IsSet("signer-timeout") {
		d := c.Duration("signer-timeout")
		if d < 100*time.Millisecond || d > time.Hour {
			return nil, usage("--signer-timeout %s: from 100ms to 1h", d)
		}
		r.Timeout = d.String()
	}
	return r, nil
}

// unlock gives the authority its key, from where the flags or the authority say that it is, and reports whether that is
// protected: by a passphrase, a token or another machine.
func (p *program) unlock(c *cli.Context, a *ca.Authority) (protected bool, err error) {
	return p.unlockIn(c.Context, c, a)
}

// unlockIn is unlock for a key that is good until ctx ends.
func (p *program) unlockIn(ctx context.Context, c *cli.Context, a *ca.Authority) (protected bool, err error) {
	place, ok, err := p.place(c)
	if err == nil && !ok && c.String("ca-key") == "" {
		place, err = a.Place()
	}
	if err != nil {
		return false, err
	}
	switch {
	case !place.InDirectory():
		return true, p.unlockAt(ctx, c, a, place)
	case c.String("ca-key") != "":
		return p.unlockWithFile(c, a, c.String("ca-key"))
	}
	err = a.Unlock(nil)
	if !errors.Is(err, certs.ErrPassphraseNeeded) {
		return false, err
	}
	source := p.passphrase(c)
	secret, err := source.forExisting(err)
	if err != nil {
		return true, err
	}
	return true, source.explain(a.Unlock(secret))
}

// unlockAt gives the authority a key that is not in its directory.
func (p *program) unlockAt(ctx context.Context, c *cli.Context, a *ca.Authority, place ca.Place) error {
	if place.Remote != nil {
		client, err := place.Remote.Client(p.now)
		if err == nil {
			a.UseRemote(client)
		}
		return err
	}
	key, err := p.openToken(c, ctx, place.Token, token.Options{Public: a.PublicKey()})
	if err != nil {
		return err
	}
	if err := a.Use(key); err != nil {
		key.Close()
		return fmt.Errorf("the key in token %q: %w", key.Token(), err)
	}
	return nil
}

// unlockWithFile gives the authority a key from a file that is kept apart.
func (p *program) unlockWithFile(c *cli.Context, a *ca.Authority, name string) (encrypted bool, err error) {
	text, err := p.read("the CA key", name)
	if err != nil {
		return false, err
	}
	defer clear(text)
	key, err := certs.ParseKey(text, nil)
	if errors.Is(err, certs.ErrPassphraseNeeded) {
		encrypted = true
		source := p.passphrase(c)
		var secret []byte
		if secret, err = source.forExisting(fmt.Errorf("reading the CA key %q: %w", name, err)); err != nil {
			return true, err
		}
		key, err = certs.ParseKey(text, secret)
		err = source.explain(err)
	}
	if err == nil {
		err = a.Use(key)
	}
	if err != nil {
		return encrypted, &fileError{name, "reading the CA key", err}
	}
	return encrypted, nil
}

// openToken opens a key in a token. The PIN is that of pin-source, --passphrase-file or $VIRT_PKI_PASSPHRASE, or is asked for.
func (p *program) openToken(c *cli.Context, ctx context.Context, text string, o token.Options) (*token.Key, error) {
	u, err := token.ParseURI(text)
	if err != nil {
		return nil, err
	}
	o.Program, o.Env = p.tokenProgram(), environmentOfOthers(os.Environ())
	source := p.passphrase(c)
	from := ""
	file, err := u.PINFile()
	if err != nil {
		return nil, fmt.Errorf("the URI of the CA's key: %w", err)
	}
	if file != "" {
		if o.PIN, err = p.pinFile(file); err != nil {
			return nil, err
		}
		from = "the PIN was taken from " + shellQuote(file)
	} else {
		var ok bool
		if o.PIN, ok, err = source.given(); err != nil {
			return nil, err
		} else if ok {
			from = "it was taken from $" + passphraseVariable
			if source.file != "" {
				from = "the PIN was taken from the first line of " + shellQuote(source.file)
			}
		}
	}
	key, err := token.Open(ctx, u, o)
	if errors.Is(err, &token.Error{Code: token.PINNeeded}) {
		if source.none || !source.interactive() {
			return nil, &hintedError{fmt.Errorf("the CA's key: %w", err), []string{"give it with pin-source in the URI, with --passphrase-file or in $" + passphraseVariable}}
		}
		if o.PIN, err = source.ask(err.Error() + ": "); err != nil {
			return nil, err
		}
		key, err = token.Open(ctx, u, o)
	}
	clear(o.PIN)
	if errors.Is(err, &token.Error{Code: token.PINWrong}) && from != "" {
		err = &hintedError{err, []string{from}}
	}
	if err != nil {
		return nil, fmt.Errorf("the CA's key: %w", err)
	}
	return key, nil
}

// pinFile reads a PIN: the first line.
func (p *program) pinFile(name string) ([]byte, error) {
	text, err := p.read("the PIN", name)
	if err != nil {
		return nil, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	if line = bytes.TrimSuffix(line, []byte("\r")); len(line) == 0 {
		return nil, fmt.Errorf("reading the PIN %q: the first line is empty", name)
	}
	return line, nil
}

// tokenVariable is the environment variable with the path of the program that speaks with tokens.
const tokenVariable = "VIRT_PKI_PKCS11"

// tokenProgram finds virt-pki-pkcs11: beside this program, then in PATH.
func (p *program) tokenProgram() string {
	const name = "virt-pki-pkcs11"
	if path := p.getenv(tokenVariable); path != "" {
		return path
	}
	if path := companion(name); path != "" {
		return path
	}
	return name
}

// newKey makes or finds the key of a new CA in a token.
func (p *program) newKey(c *cli.Context, ctx context.Context, place ca.Place, algorithm certs.KeyAlgorithm) (*token.Key, error) {
	asked := algorithm != ""
	if !asked {
		algorithm = certs.ECDSAP256
	}
	key, err := p.openToken(c, ctx, place.Token, token.Options{Make: algorithm})
	if err != nil {
		return nil, err
	}
	if got, _ := certs.AlgorithmOf(key.Public()); asked && got != algorithm {
		key.Close()
		return nil, usage("the key that is in the token is %s, not %s", got, algorithm).
			hint("do not name its type, or name another object for a new key")
	}
	if !key.Made() {
		p.hint("the key was in token %s already and is used as it is", quote(key.Token()))
	}
	return key, nil
}

// settleKey ends the use of the key of a new CA; when the CA did not come about, a key that was made for it is removed.
func (p *program) settleKey(key *token.Key, ok bool) {
	if !ok && key.Made() {
		if err := key.Destroy(); err != nil {
			p.warn("the key that was made in token %s stays there, unused: %v", quote(key.Token()), err)
		}
	}
	key.Close()
}

// tokenAdoption is foundation for a CA that exists and whose key is in a token. The PIN is needed when it is made, not before.
func (p *program) tokenAdoption(c *cli.Context, ad ca.Adoption, place ca.Place) (*ca.Authority, founding, error) {
	ad.KeyPath, ad.Place = place.Token, place
	double, err := ad.Rehearse()
	if err != nil {
		return nil, founding{}, err
	}
	settle := func(bool) {}
	return double, founding{where: place.String(), settle: func(ok bool) { settle(ok) },
		authority: func(ctx context.Context, dir string, _ []byte) (*ca.Authority, error) {
			key, err := p.openToken(c, ctx, place.Token, token.Options{Public: double.PublicKey()})
			if err != nil {
				return nil, err
			}
			settle = func(bool) { key.Close() }
			ad.Signer = key
			return ca.Adopt(ctx, dir, ad)
		}}, nil
}

// remoteFoundation is foundation for a CA that signs elsewhere: its certificate is asked for there, or given.
func (p *program) remoteFoundation(c *cli.Context, spec cluster.Spec, policy ca.Policy, place ca.Place, staged bool) (*ca.Authority, founding, error) {
	if err := onlyForNew(c, "--signer"); err != nil {
		return nil, founding{}, err
	}
	client, err := place.Remote.Client(p.now)
	if err != nil {
		return nil, founding{}, err
	}
	ad := ca.Adoption{CertPath: place.Remote.URL, Policy: policy, Now: spec.Now, Staged: staged, Remote: client, Place: place}
	if name := c.String("ca-cert"); name != "" {
		ad.CertPath = name
		ad.Cert, err = p.read("the CA certificate", name)
	} else if !place.Remote.UsesTLS() && !remote.Loopback(client.URL().Host) {
		return nil, founding{}, usage("--signer %s without TLS: anybody in between could give another CA's certificate", client.URL()).
			hint("speak TLS: --signer-ca FILE").hint("or give the CA's certificate: --ca-cert FILE")
	} else {
		ad.Cert, err = client.CA(c.Context)
	}
	if err != nil {
		return nil, founding{}, err
	}
	double, err := ad.Rehearse()
	if err != nil {
		return nil, founding{}, err
	}
	return double, founding{where: place.String(), settle: func(bool) { client.Close() },
		authority: func(ctx context.Context, dir string, _ []byte) (*ca.Authority, error) { return ca.Adopt(ctx, dir, ad) }}, nil
}

// successorPlace decodes where the key of the CA is to be that takes an authority's place.
func (p *program) successorPlace(c *cli.Context, a *ca.Authority) (ca.Place, error) {
	old, err := a.Place()
	if err != nil {
		return ca.Place{}, err
	}
	if old.Remote != nil {
		return ca.Place{}, &hintedError{fmt.Errorf("the CA's key is with %s, and the CA is replaced there", old.Remote.URL),
			[]string{"on the machine that has the key: virt-pki ca rotate"}}
	}
	text := c.String("new-ca-key")
	if text == "" {
		return ca.Place{}, nil
	}
	if !token.IsURI(text) {
		return ca.Place{}, usage("--new-ca-key %s: not pkcs11:...", shellQuote(text)).hint("without it the key is made in the authority's directory")
	}
	u, err := tokenURI("--new-ca-key", text)
	if err == nil && u.String() == old.Token {
		err = usage("--new-ca-key is the old CA's key").hint("name another object for the new one")
	}
	return ca.Place{Token: u.String()}, err
}

// successorKey makes that key, and gives what is to be called when all is done, or not.
func (p *program) successorKey(c *cli.Context, s *ca.Successor) (func(ok bool), error) {
	if s.Place.InDirectory() {
		return func(bool) {}, nil
	}
	key, err := p.newKey(c, c.Context, s.Place, s.Key)
	if err != nil {
		return nil, err
	}
	s.Signer = key
	if got, ok := certs.AlgorithmOf(key.Public()); ok {
		s.Key = got
	}
	return func(ok bool) { p.settleKey(key, ok) }, nil
}
